"""What is due, looked at once more: decided again, throttled, gathered.

A parcel is a claimed delivery with its followers: what goes as one to one person by one channel.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from clarion import deliveries
from clarion.audiences import users_have
from clarion.channels.base import get_channel
from clarion.conf import settings
from clarion.decisions import Due, Hours, Known, decide, postponed
from clarion.models import Delivery, Endpoint, Event, Inbox, Notification
from clarion.preferences import People
from clarion.routes import ACTIVE, SEEN, Route, Throttle
from clarion.types import is_required

logger = logging.getLogger("clarion")

BURST = 5  # singles for one person and channel in one claim that go as one
_PRESENT = timedelta(minutes=2)  # since the last thing somebody did: busy on the site
_HELD_AT_MOST = timedelta(minutes=20)  # for somebody who is there and doesn't look


class Shown(NamedTuple):
    """What a person did with a notification on screen."""

    repeats: int = 1
    actors: Sequence[str] = ()
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None
    removed_at: datetime | None = None


@dataclass(eq=False)
class Parcel:
    """Claimed rows that go as one. The leader holds the claim and names the parcel."""

    leader: Delivery
    rows: list[Delivery] = field(default_factory=list)
    """What is still wanted; may be without the leader."""
    shown: Mapping[int, Shown] = field(default_factory=dict)
    """What became of the notifications on screen, by their pk."""
    skipped: str = ""
    """Why the leader itself is left out, where others go on."""

    @property
    def key(self) -> tuple[Any, str]:
        return self.leader.recipient_id, self.leader.channel

    @property
    def kind(self) -> str:
        if len(self.distinct()) < 2:
            return "single"
        name = self.leader.window.removeprefix(deliveries.FLUSHED).partition(":")[0]
        return name if name in ("batch", "digest", "quiet") else "burst"

    def distinct(self) -> list[Delivery]:
        """The rows, and of those that were collapsed into one on screen the last alone."""
        kept = {row.notification_id or -row.pk: row for row in self.rows}
        return list(kept.values())


def gather(leaders: Sequence[Delivery]) -> list[Parcel]:
    """Claimed leaders with all that follows them, and all that they are about.

    Read apart: a hundred deliveries of one event need it once.
    """
    parcels = {leader.pk: Parcel(leader, [leader]) for leader in leaders}
    windowed = [leader.pk for leader in leaders if leader.window]
    rows = list(leaders)
    if windowed:
        followers = Delivery.objects.filter(deliveries.PENDING, leader__in=windowed)
        for row in followers.order_by("pk"):
            parcels[row.leader_id].rows.append(row)  # type: ignore[index]
            rows.append(row)
    _attach(rows, Event.objects, "event")
    _attach(leaders, get_user_model()._base_manager, "recipient")
    _attach(leaders, Endpoint.objects, "endpoint")
    shown = _read_shown(rows)
    for parcel in parcels.values():
        parcel.shown = shown
    return list(parcels.values())


def _attach(rows: Sequence[Delivery], found: Any, name: str) -> None:
    ids = {getattr(row, f"{name}_id") for row in rows} - {None}
    objects = found.in_bulk(ids) if ids else {}
    for row in rows:
        setattr(row, name, objects.get(getattr(row, f"{name}_id")))


def _read_shown(rows: Sequence[Delivery]) -> dict[int, Shown]:
    ids = [row.notification_id for row in rows if row.notification_id is not None]
    found = Notification.objects.filter(pk__in=set(ids))
    return {
        pk: Shown(*state) for pk, *state in found.values_list("pk", "count", *Shown._fields[1:])
    }


def recheck(parcels: Sequence[Parcel], facts: Facts) -> list[Parcel]:
    """Decide everything again, row by row; what isn't wanted is settled, what must wait waits.

    Returns the parcels that have something to send.
    """
    sendable = []
    for parcel in parcels:
        try:
            _sort_out(parcel, facts)
        except Exception as error:  # of this one: it must not hold up the others
            logger.exception("delivery %s could not be decided", parcel.leader.pk)
            deliveries.put_off(parcel.leader, error, get_channel(parcel.leader.channel).waits)
            continue
        if parcel.rows:
            sendable.append(parcel)
    return _merge_bursts(sendable)


def _sort_out(parcel: Parcel, facts: Facts) -> None:
    wanted: list[Delivery] = []
    unwanted: dict[str, list[int]] = defaultdict(list)
    later: dict[Due, list[Delivery]] = defaultdict(list)
    for row in parcel.rows:
        verdict = facts.judge(parcel, row)
        if verdict is None:
            wanted.append(row)
        elif isinstance(verdict, Due) and parcel.leader.attempts > 1:
            deliveries.wait_alone(parcel.leader, verdict)
            parcel.rows = []
            return
        elif isinstance(verdict, Due):
            later[verdict].append(row)
        else:
            unwanted[verdict].append(row.pk)
            parcel.skipped = verdict if row is parcel.leader else parcel.skipped
    over = facts.over_the_limit(parcel, wanted)
    if over is not None:
        later_or_dropped, wanted = wanted, []
        if isinstance(over, Due):
            later[over].extend(later_or_dropped)
        else:
            unwanted[over].extend(row.pk for row in later_or_dropped)
    parcel.rows = wanted
    _write_down(parcel, unwanted, later)


def _write_down(
    parcel: Parcel, unwanted: dict[str, list[int]], later: dict[Due, list[Delivery]]
) -> None:
    """Settle and defer. A leader that is left out goes on leading while others are sent."""
    for reason, ids in unwanted.items():
        ids = [pk for pk in ids if not (parcel.rows and pk == parcel.leader.pk)]
        deliveries.settle(Delivery.objects.filter(deliveries.PENDING, pk__in=ids), reason)
    if parcel.rows and any(parcel.leader in rows for rows in later.values()):
        _promote(parcel)
    for due, rows in later.items():
        deliveries.rehome(rows, due)


def _promote(parcel: Parcel) -> None:
    """The leader has to wait, others haven't: the first of them leads."""
    old, new = parcel.leader, parcel.rows[0]
    same = {"due_at": old.due_at, "claim": old.claim, "attempts": old.attempts}
    Delivery.objects.filter(pk=new.pk).update(leader=None, closed_at=old.closed_at, **same)
    followers = [row.pk for row in parcel.rows[1:]]
    Delivery.objects.filter(pk__in=followers).update(leader=new.pk)
    for name, value in same.items():
        setattr(new, name, value)
    new.leader_id, new.recipient = None, old.recipient
    parcel.leader, parcel.skipped = new, ""


def _merge_bursts(parcels: list[Parcel]) -> list[Parcel]:
    """Many singles at once for one person go as one, whatever went wrong to make so many."""
    together: dict[tuple[Any, str], list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        first_try = parcel.leader.attempts == 1 and parcel.leader.recipient_id is not None
        if first_try and not parcel.leader.window and get_channel(parcel.leader.channel).gathers:
            together[parcel.key].append(parcel)
    merged: set[int] = set()
    for same in together.values():
        if len(same) < BURST:
            continue
        first, *others = same
        ids = [parcel.leader.pk for parcel in others]
        Delivery.objects.filter(pk__in=ids).update(leader=first.leader, due_at=None, claim="")
        Delivery.objects.filter(pk=first.leader.pk).update(window="burst")
        first.leader.window = "burst"
        first.rows += [row for parcel in others for row in parcel.rows]
        merged |= set(ids)
    return [parcel for parcel in parcels if parcel.leader.pk not in merged]


class Facts:
    """All that is asked about the parcels of one claim, read in a constant number of queries."""

    def __init__(self, parcels: Sequence[Parcel], now: datetime) -> None:
        self.now = now
        rows = [row for parcel in parcels for row in parcel.rows]
        ids = {row.recipient_id for row in rows if row.recipient_id is not None}
        self.people = People({"recipient__in": ids}, {row.event for row in rows})
        self.people.read_schedules()
        self.routes = {row.event.type: _routes(row.event) for row in rows}
        self.active = self._read_active(rows)
        self.recent = self._read_recent(parcels)

    def _read_active(self, rows: Sequence[Delivery]) -> dict[Any, datetime]:
        asking = {row.recipient_id for row in rows if self.route(row).unless == ACTIVE}
        if not asking:
            return {}
        found = Inbox.objects.filter(pk__in=asking, active_at__gt=self.now - _PRESENT)
        return {box.pk: box.active_at for box in found if box.active_at is not None}

    def _read_recent(self, parcels: Sequence[Parcel]) -> dict[tuple[Any, str], list[Any]]:
        """What each person got lately by each channel: (when, type), the newest first."""
        limits = [limit for parcel in parcels for limit in self.limits(parcel.leader)]
        if not limits:
            return {}
        rows = Delivery.objects.filter(
            recipient__in={parcel.leader.recipient_id for parcel in parcels},
            channel__in={parcel.leader.channel for parcel in parcels},
            settled_at__gt=self.now - max(limit.period for limit in limits),
            outcome=Delivery.Outcome.DELIVERED,
            leader__isnull=True,
        ).order_by("-settled_at")
        found: dict[tuple[Any, str], list[Any]] = defaultdict(list)
        for pk, channel, *got in rows.values_list(
            "recipient_id", "channel", "settled_at", "event__type"
        ):
            found[pk, channel].append(tuple(got))
        return found

    def route(self, row: Delivery) -> Route:
        """The route as the type declares it now; a plain one where it doesn't any more."""
        found = self.routes[row.event.type].get(row.channel)
        return found or Route(channel=row.channel)

    def judge(self, parcel: Parcel, row: Delivery) -> str | Due | None:
        """None: send it. A text: it isn't wanted, and why. A `Due`: later."""
        leader, shown = parcel.leader, parcel.shown.get(row.notification_id or 0)
        gone = _gone(row, shown, self.now)
        if gone or row.recipient_id is None:
            return gone or None
        route, required = self.route(row), is_required(row.event.type)
        unneeded = _unneeded(leader, shown, route)
        if unneeded:
            return unneeded
        recipient = leader.recipient
        known = self.people.known(
            row.event,
            row.recipient_id,
            is_active=getattr(recipient, "is_active", True) if users_have("is_active") else True,
            is_actor=str(row.recipient_id) == row.event.actor_user_id,
            role=_value(recipient, settings.RECIPIENT_ROLE),
        )
        decision = decide(row.event, route, known, required=required)
        if not decision.send:
            return decision.reason
        if leader.window.startswith(deliveries.FLUSHED):
            return None
        wait = postponed(
            row.event, route, decision, self.hours(leader),
            made_at=leader.created_at, now=self.now, required=required,
        )  # fmt: skip
        return wait or self._present(row, route, known)

    def hours(self, leader: Delivery) -> Hours:
        return self.people.hours(
            leader.recipient_id, _value(leader.recipient, settings.RECIPIENT_TIME_ZONE)
        )

    def _present(self, row: Delivery, route: Route, known: Known) -> Due | None:
        """Idle desktop, hard disconnect: held while they act, not while a tab is open."""
        if row.recipient_id not in self.active or self.now - row.created_at > _HELD_AT_MOST:
            return None
        until = self.active[row.recipient_id] + _PRESENT
        return Due(max(until, self.now + timedelta(seconds=10)), "", "busy on the site just now")

    def limits(self, row: Delivery) -> list[Throttle]:
        if row.recipient_id is None or is_required(row.event.type):
            return []
        own = self.route(row).throttle
        storm = settings.STORM_LIMIT if get_channel(row.channel).gathers else None
        return [
            *([own] if isinstance(own, Throttle) else []),
            *([_storm(storm)] if storm else []),
        ]

    def over_the_limit(self, parcel: Parcel, rows: Sequence[Delivery]) -> str | Due | None:
        """Where there is no room for one more: until when it waits, or why it is dropped."""
        leader = parcel.leader
        if not rows or leader.attempts > 1:
            return None
        got = self.recent.setdefault(parcel.key, [])
        for limit in self.limits(leader):
            own = limit is self.route(leader).throttle
            counted = [when for when, name in got if not own or name == leader.event.type]
            counted = [when for when in counted if when > self.now - limit.period]
            if len(counted) < limit.limit:
                continue
            if limit.then == "drop":
                return f"over its limit of {limit.rate}"
            room = counted[limit.limit - 1] + limit.period
            window = f"throttle:{leader.event.type if own else '*'}"
            together = limit.then == "summarise"
            return Due(room, window if together else "", f"over its limit of {limit.rate}")
        got.insert(0, (self.now, leader.event.type))
        return None


_storm = lru_cache(8)(Throttle)


def _routes(event: Event) -> dict[str, Route]:
    return {route.channel: route for route in deliveries.routes_of(event)}


def _gone(row: Delivery, shown: Shown | None, now: datetime) -> str:
    if row.event.retracted_at or row.event.cancelled_at:
        return "was taken back"
    if row.event.expires_at and row.event.expires_at <= now:
        return "expired before it was due"
    if shown is not None and shown.removed_at:
        return "was taken back"
    return ""


def _unneeded(leader: Delivery, shown: Shown | None, route: Route) -> str:
    """Read before send: what the person dealt with on screen needs no mail."""
    if shown is None:
        return ""
    if shown.archived_at:
        return "archived before it was due"
    if shown.read_at and (route.unless is not None or leader.window):
        return "read before it was due"
    if shown.seen_at and route.unless in (SEEN, ACTIVE):
        return "seen before it was due"
    return ""


def _value(recipient: Any, path: str | None) -> str:
    """The value of a column path of the user, such as "profile__zone"."""
    found = recipient
    for name in path.split("__") if path else ():
        found = getattr(found, name, None)
    return str(found or "") if path else ""
