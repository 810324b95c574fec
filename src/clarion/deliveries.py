"""Delivery rows: written by the fan-out, gathered into windows, called off when nobody needs them.

What goes as one is a window: its first row leads and has the due time, the others follow it. Who
joins or opens a window holds the inbox of the recipient, so that there is never a second one.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Value
from django.db.models.functions import Concat, Least
from django.utils import timezone

from clarion import runner, timing
from clarion.channels.base import reason_of
from clarion.conf import settings
from clarion.decisions import Decision, Due
from clarion.exceptions import ClarionError
from clarion.ledger import lock
from clarion.models import Delivery, Endpoint, Event, Notification
from clarion.routes import INBOX, Batch, Route
from clarion.types import get_type

logger = logging.getLogger("clarion")

PENDING = Q(outcome=Delivery.Outcome.PENDING)
OPEN = PENDING & Q(closed_at__isnull=True, due_at__isnull=False)
FLUSHED = "flushed:"  # before the name of a window that was closed ahead of its time
_ROWS_AT_ONCE = 1000
_PLAIN_INBOX = Route(channel=INBOX)


class Planned(NamedTuple):
    """What was decided for one recipient on one route; `due` None: it is skipped."""

    recipient: Any
    route: Route
    decision: Decision
    due: Due | None


def routes_of(event: Event) -> Sequence[Route]:
    """The routes of the event's type that lead out; none for a type that is gone."""
    try:
        routes = get_type(event.type).routes()
    except ClarionError:
        return ()
    return [route for route in routes if route.channel in settings.CHANNELS]


def inbox_route(event: Event) -> Route | None:
    """The route into the inbox; None for types that have none. What lost its type has one."""
    try:
        routes = get_type(event.type).routes()
    except ClarionError:
        return _PLAIN_INBOX
    return next((route for route in routes if route.channel == INBOX), None)


def write(event: Event, planned: Sequence[Planned], now: datetime, *, bulk: bool = False) -> None:
    """Write the rows of a chunk; those of windows join them. The runner is woken after commit.

    Call it in the transaction that writes the notifications, holding the inboxes of all who have a
    window.
    """
    if not planned:
        return
    rows = [_row(event, plan, now, bulk) for plan in planned]
    waiting = [row for row in rows if row.outcome == Delivery.Outcome.PENDING]
    _find_notifications(event, waiting)
    for route in {plan.route.channel: plan.route for plan in planned}.values():
        windowed = [row for row in waiting if row.window and row.channel == route.channel]
        batch = route.batch if isinstance(route.batch, Batch) else None
        _join(windowed, batch, now)
    Delivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_ROWS_AT_ONCE)
    if any(row.due_at and row.due_at <= now for row in waiting):
        transaction.on_commit(runner.wake, robust=True)


def _row(event: Event, plan: Planned, now: datetime, bulk: bool) -> Delivery:
    row = Delivery(
        event=event,
        recipient_id=plan.recipient,
        channel=plan.route.channel,
        decision=plan.decision.reason[:300],
        created_at=now,
        bulk=bulk,
    )
    if plan.due is None:
        row.outcome, row.settled_at, row.reason = Delivery.Outcome.SKIPPED, now, row.decision
        return row
    row.due_at, row.window = plan.due.at, plan.due.window[:150]
    if plan.due.reason:
        row.reason = f"waits: {plan.due.reason}"
    return row


def _find_notifications(event: Event, rows: list[Delivery]) -> None:
    if not rows:
        return
    ids: list[Any] = [row.recipient_id for row in rows]
    found = Notification.objects.filter(
        event=event, recipient__gte=min(ids), recipient__lte=max(ids)
    )
    by_recipient: dict[Any, int] = dict(found.values_list("recipient_id", "pk"))
    for row in rows:
        row.notification_id = by_recipient.get(row.recipient_id)


def _join(rows: list[Delivery], batch: Batch | None, now: datetime) -> None:
    """Make each row a follower of the window that is open for it, or the leader of a new one."""
    by_window: dict[str, list[Delivery]] = defaultdict(list)
    for row in rows:
        by_window[row.window].append(row)
    for window, joining in by_window.items():
        leaders = _open_leaders(joining[0].channel, window, [row.recipient_id for row in joining])
        is_batch = batch is not None and window.startswith("batch:")
        for row in joining:
            if row.recipient_id in leaders:
                row.leader_id, row.due_at = leaders[row.recipient_id], None
        if batch is not None and is_batch:
            _let_first_go(batch, joining, leaders, now)
            _move_end(batch, list(leaders.values()), now)


def _open_leaders(channel: str, window: str, recipients: Sequence[Any]) -> dict[Any, int]:
    rows = Delivery.objects.filter(
        OPEN,
        channel=channel,
        window=window,
        recipient__gte=min(recipients),
        recipient__lte=max(recipients),
    )
    found = rows.order_by("pk").select_for_update().values_list("recipient_id", "pk")
    wanted = set(recipients)
    return {recipient: pk for recipient, pk in found if recipient in wanted}


def _let_first_go(
    batch: Batch, rows: list[Delivery], leaders: Mapping[Any, int], now: datetime
) -> None:
    """With `leading`, whoever had none lately gets the first at once; the next opens the window."""
    if not batch.leading:
        return
    length = _length(batch.window)
    opening = [row for row in rows if row.recipient_id not in leaders]
    recent = Delivery.objects.filter(
        recipient__in=[row.recipient_id for row in opening],
        channel=rows[0].channel,
        window=rows[0].window,
        created_at__gt=now - length,
    ).exclude(outcome=Delivery.Outcome.SKIPPED)
    lately = dict(recent.order_by("created_at").values_list("recipient_id", "created_at"))
    for row in opening:
        if row.recipient_id in lately:
            row.due_at = lately[row.recipient_id] + length
        else:
            row.due_at = row.closed_at = now


def _move_end(batch: Batch, leaders: list[int], now: datetime) -> None:
    open_now = Delivery.objects.filter(pk__in=leaders)
    if leaders and batch.sliding and batch.most is not None:
        longest = F("created_at") + _length(batch.most)
        open_now.update(due_at=Least(now + _length(batch.window), longest))
    if leaders and batch.items is not None:
        full = open_now.annotate(held=Count("followers")).filter(held__gte=batch.items - 2)
        full_ids = list(full.values_list("pk", flat=True))
        open_now.filter(pk__in=full_ids).update(due_at=now)


def _length(given: Any) -> timedelta:
    assert isinstance(given, timedelta)  # noqa: S101 - Batch made it one
    return given


def rehome(rows: Sequence[Delivery], due: Due) -> None:
    """Have rows of one recipient and channel wait for another time, in another company."""
    first = rows[0]
    with transaction.atomic():
        lock([first.recipient_id])
        leaders = {}
        if due.window:
            leaders = _open_leaders(first.channel, due.window, [first.recipient_id])
        leader = leaders.get(first.recipient_id)
        mine = Delivery.objects.filter(PENDING, pk__in=[row.pk for row in rows])
        wait = {
            "window": due.window[:150],
            "closed_at": None,
            "claim": "",
            "attempts": 0,
            "reason": f"waits: {due.reason}",
        }
        if leader is not None:
            mine.update(leader=leader, due_at=None, **wait)
        elif due.window:
            mine.exclude(pk=first.pk).update(leader=first.pk, due_at=None, **wait)
            mine.filter(pk=first.pk).update(leader=None, due_at=due.at, **wait)
        else:
            mine.update(leader=None, due_at=due.at, **wait)


def write_for_teams(event: Event, now: datetime) -> None:
    """A row for each endpoint of a team, of the event's group or of none, that asks for it."""
    channels = [route.channel for route in routes_of(event)]
    if not channels:
        return
    group = event.audience.get("group")
    teams = Endpoint.objects.filter(
        Q(group__isnull=True) | Q(group=group),
        recipient__isnull=True,
        retired_at__isnull=True,
        channel__in=channels,
    )
    rows = [
        Delivery(
            event=event,
            endpoint=team,
            channel=team.channel,
            created_at=now,
            due_at=now,
            decision="asked for by a team",
        )
        for team in teams
        if _asks_for(team.types, event.type)
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    if rows:
        transaction.on_commit(runner.wake, robust=True)


def _asks_for(patterns: Iterable[str], name: str) -> bool:
    return not patterns or any(
        name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))
        for pattern in patterns
    )


# --- not needed any more


def call_off(recipient: Any, version: int, state: str) -> None:
    """Settle what waits for rows that just became seen, read or archived, where that ends it.

    What is in a window is looked at when the window closes.
    """
    if not settings.CHANNELS or state not in ("seen", "read", "archived"):
        return
    marked = Notification.objects.filter(recipient=recipient, version=version).values("pk")
    waiting = Delivery.objects.filter(
        PENDING, recipient=recipient, settled_at__isnull=True, window="", claim="", attempts=0,
        notification__in=marked,
    ).select_related("event")  # fmt: skip
    ended = [row.pk for row in waiting if _ends(row, state)]
    if ended:
        settle(
            Delivery.objects.filter(PENDING, pk__in=ended, claim=""), f"{state} before it was due"
        )


def _ends(row: Delivery, state: str) -> bool:
    conditions = {route.channel: route.unless for route in routes_of(row.event)}
    unless = conditions.get(row.channel)
    return state == "archived" or unless == state or (state == "read" and unless is not None)


def call_off_event(event: Event, reason: str) -> None:
    """Settle what waits of an event. Leaders stay: others follow them, and they are looked at."""
    settle(event.deliveries.filter(PENDING & (Q(window="") | Q(leader__isnull=False))), reason)


def hand_over(event: Event) -> None:
    """The event is about to be deleted: what follows its deliveries gets another leader."""
    leading = event.deliveries.filter(PENDING, followers__isnull=False).distinct()
    for leader in leading:
        others = leader.followers.filter(PENDING).exclude(event=event).order_by("pk")
        heir = others.first()
        if heir is not None:
            others.exclude(pk=heir.pk).update(leader=heir.pk)
            Delivery.objects.filter(pk=heir.pk).update(leader=None, due_at=leader.due_at)


def settle(rows: QuerySet[Delivery], reason: str, outcome: str = "skipped") -> int:
    """Give pending rows their outcome, and the reason for it."""
    return rows.update(
        outcome=outcome, reason=reason[:300], due_at=None, claim="", settled_at=timezone.now()
    )


def put_off(
    leader: Delivery, error: Exception, waits: Sequence[timedelta], *, last: bool = True
) -> bool:
    """Try a claimed delivery again later. When its waits are used up: False, and with `last` it
    has failed, with all that follows it."""
    due = timing.next_attempt(
        leader.attempts,
        waits,
        now=timezone.now(),
        jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        retry_after=getattr(error, "retry_after", None),
    )
    reason = reason_of(error)
    if due is None:
        if last:
            give_up(leader, reason)
        return False
    logger.warning(
        "delivery %s (%s) is tried again: %s", leader.pk, leader.channel, type(error).__name__
    )
    mine = Delivery.objects.filter(PENDING, pk=leader.pk, claim=leader.claim)
    mine.update(due_at=due, claim="", reason=f"to be tried again: {reason}"[:300])
    return True


def give_up(leader: Delivery, reason: str) -> None:
    """A claimed delivery has failed, with all that follows it."""
    mine = Delivery.objects.filter(PENDING, pk=leader.pk, claim=leader.claim)
    if settle(mine, reason, Delivery.Outcome.FAILED):
        followers = Delivery.objects.filter(PENDING, leader=leader.pk)
        settle(followers, reason, Delivery.Outcome.FAILED)


def wait_alone(leader: Delivery, due: Due) -> None:
    """A parcel that was tried before waits as it is: it keeps its name and its company."""
    mine = Delivery.objects.filter(PENDING, pk=leader.pk, claim=leader.claim)
    mine.update(due_at=due.at, claim="", attempts=F("attempts") - 1, reason=f"waits: {due.reason}")


def flush(recipient: Any = None, *, channel: str | None = None, window: str | None = None) -> int:
    """Close open windows now: of one recipient, channel or window, or all. Returns how many."""
    rows = Delivery.objects.filter(OPEN, claim="").exclude(window="")
    if recipient is not None:
        rows = rows.filter(recipient=recipient)
    if channel is not None:
        rows = rows.filter(channel=channel)
    if window is not None:
        rows = rows.filter(window=window)
    flushed = Concat(Value(FLUSHED), F("window"))
    closed = rows.exclude(window__startswith=FLUSHED).update(due_at=timezone.now(), window=flushed)
    if closed:
        transaction.on_commit(runner.wake, robust=True)
    return closed
