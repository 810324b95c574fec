"""From one event to the rows of everyone it concerns: chunked, resumable, in bounded memory.

A chunk is one transaction: recipients in primary-key order behind the checkpoint, decided on,
written, the checkpoint moved. Whoever dies in between leaves a lease that runs out, and the next
one goes on from the checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, transaction
from django.db.models import BooleanField, F, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from clarion import decisions, deliveries, items, ledger, preferences
from clarion.audiences import Audience, users_have
from clarion.conf import settings
from clarion.decisions import Decision, Due
from clarion.exceptions import ClarionError
from clarion.models import AudienceChunk, Delivery, Event, PublicStream
from clarion.postgres import as_array
from clarion.realtime import frames
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge
from clarion.routes import Route
from clarion.types import is_required

logger = logging.getLogger("clarion")

_TRIES = 3  # of a chunk that met another writer


class Recipient(NamedTuple):
    """What the user model says of a recipient."""

    pk: Any
    is_active: bool = True
    role: str = ""
    zone: str = ""


@dataclass(frozen=True)
class _Chunk:
    recipients: Sequence[Recipient]
    checkpoint: str  # after it is served
    is_last: bool
    gone: int = 0  # named recipients that don't exist (any more)


def run(event: Event, *, limit: int | None = None) -> bool:
    """Serve the recipients behind the event's checkpoint. Returns whether nobody is left.

    With `limit`, one chunk of that size and no more: an audience that fits is finished, a larger
    one is left to the runner.
    """
    if event.is_public:
        _publish(event)
        return True
    size = limit or settings.CHUNK_SIZE
    done = _advance(event, size)
    while not done and limit is None:
        done = _advance(event, size)
    return done


def _advance(event: Event, size: int) -> bool:
    """One chunk; tried again when another writer was in the way."""
    for attempt in range(1, _TRIES + 1):
        try:
            with transaction.atomic():
                return _serve(event, size)
        except DatabaseError:
            if attempt == _TRIES:
                raise
    return False


def _serve(event: Event, size: int) -> bool:
    held = _hold(event)
    if held is None:
        return True
    is_first = not held.checkpoint
    chunk = _next_chunk(held, size)
    now = timezone.now()
    plan = _plan(held, chunk.recipients, now)
    if windowed := plan.windowed():
        ledger.lock(windowed)
    added = ledger.add(held, plan.wanted)
    deliveries.write(held, plan.outward, now, bulk=not (is_first and chunk.is_last))
    Delivery.objects.bulk_create(
        [
            Delivery(event=held, recipient_id=pk, outcome="skipped", reason=reason, settled_at=now)
            for pk, reason in plan.skipped
        ],
        ignore_conflicts=True,
        batch_size=1000,
    )
    if is_first:
        deliveries.write_for_teams(held, now)
    _move(held, chunk, added.count, len(plan.skipped) + chunk.gone)
    return chunk.is_last


def _hold(event: Event) -> Event | None:
    """The event's row, locked; None when somebody finished, cancelled or retracted it."""
    held = Event.objects.select_for_update().filter(pk=event.pk, due_at__isnull=False).first()
    if held is None:
        return None
    if held.expires_at and held.expires_at <= timezone.now():
        Event.objects.filter(pk=held.pk).update(due_at=None, cancelled_at=timezone.now())
        return None
    held._state.fields_cache.update(event._state.fields_cache)  # actor and target at hand
    return held


def _move(event: Event, chunk: _Chunk, notified: int, skipped: int) -> None:
    lease = None if chunk.is_last else timezone.now() + timedelta(seconds=settings.LEASE)
    Event.objects.filter(pk=event.pk).update(
        checkpoint=chunk.checkpoint,
        due_at=lease,
        notified=F("notified") + notified,
        skipped=F("skipped") + skipped,
    )


def _next_chunk(event: Event, size: int) -> _Chunk:
    if "users" in event.audience or "chunks" in event.audience:
        return _named_chunk(event, size)
    behind = _members(event).order_by("pk")
    if event.checkpoint:
        behind = behind.filter(pk__gt=event.checkpoint)
    found = _recipients(behind, size + 1)
    served = found[:size]
    checkpoint = str(served[-1].pk) if served else event.checkpoint
    return _Chunk(served, checkpoint, is_last=len(found) <= size)


def _named_chunk(event: Event, size: int) -> _Chunk:
    """The next of the recipients that were named one by one; the checkpoint counts them."""
    start = int(event.checkpoint or 0)
    total, ids = _named_ids(event, start)
    ids = ids[:size]
    found = _recipients(_users_among(ids).order_by("pk"), size)
    stop = start + len(ids)
    return _Chunk(found, str(stop), is_last=stop >= total, gone=len(ids) - len(found))


def _users_among(ids: list[Any]) -> QuerySet[Any]:
    """PostgreSQL reads one sorted array many times as fast as 5,000 parameters."""
    if connection.vendor != "postgresql":
        return _users().filter(pk__in=ids)
    meta = get_user_model()._meta
    quoted = connection.ops.quote_name
    column = f"{quoted(meta.db_table)}.{quoted(str(meta.pk.column))}"
    kind = meta.pk.rel_db_type(connection)
    there = RawSQL(f"{column} = ANY(%s::{kind}[])", [as_array(ids)], BooleanField())  # noqa: S611 - our names
    return _users().filter(there)


def _named_ids(event: Event, start: int) -> tuple[int, list[Any]]:
    if "users" in event.audience:
        ids = event.audience["users"]
        return len(ids), ids[start:]
    part = (
        AudienceChunk.objects.filter(event=event, position__lte=start).order_by("-position").first()
    )
    return event.audience["chunks"], part.ids[start - part.position :] if part else []


def _recipients(users: QuerySet[Any], limit: int) -> list[Recipient]:
    columns = {
        "is_active": "is_active" if users_have("is_active") else None,
        "role": settings.RECIPIENT_ROLE,
        "zone": settings.RECIPIENT_TIME_ZONE,
    }
    there = {name: column for name, column in columns.items() if column}
    rows = users.values_list("pk", *there.values())[:limit]
    if list(there) == ["is_active"]:
        return [Recipient(pk, bool(active)) for pk, active in rows]
    return [Recipient(row[0], **dict(zip(there, row[1:], strict=True))) for row in rows]


def _users() -> QuerySet[Any]:
    return get_user_model()._base_manager.all()


def _members(event: Event) -> QuerySet[Any]:
    """The users that a group or a named audience means now."""
    audience = event.audience
    if "group" in audience:
        return _users().filter(groups=audience["group"])
    if "name" in audience:
        named = Audience(audience["name"], **audience.get("arguments", {})).members()
        return _plain(named, _users())
    raise ClarionError(f"event {event.pk}: its audience {audience!r} says nobody to notify")


def _plain(named: QuerySet[Any], users: QuerySet[Any]) -> QuerySet[Any]:
    """A queryset with joins may hold somebody twice, and may be sliced: take its ids."""
    query = named.query
    simple = not (query.is_sliced or query.distinct or query.combinator or len(query.alias_map) > 1)
    return named if simple else users.filter(pk__in=named.values("pk"))


@dataclass
class _Plan:
    """Who of a chunk gets it, where, and who doesn't and why."""

    wanted: list[Any] = field(default_factory=list)
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    outward: list[deliveries.Planned] = field(default_factory=list)

    def windowed(self) -> list[Any]:
        """Those whose inbox is held while they join a window."""
        return [plan.recipient for plan in self.outward if plan.due and plan.due.window]


def _plan(event: Event, recipients: Sequence[Recipient], now: datetime) -> _Plan:
    """Decide about everybody on every route. What holds for those of whom nothing is stored is
    decided once, and shared."""
    plan = _Plan()
    if not recipients:
        return plan
    routes = deliveries.routes_of(event)
    people = preferences.People(
        {"recipient__gte": recipients[0].pk, "recipient__lte": recipients[-1].pk}, [event]
    )
    if routes:
        people.read_schedules()
    special = people.with_something()
    decide = partial(_decide, event, people, routes, now)
    shared: dict[Recipient, _Verdict] = {}
    for person in recipients:
        is_actor = str(person.pk) == event.actor_user_id
        if is_actor or person.pk in special:
            verdict = decide(person, is_actor)
        else:
            alike = person._replace(pk=None)
            verdict = shared.get(alike) or shared.setdefault(alike, decide(person, False))
        _note(plan, person.pk, verdict)
    return plan


class _Verdict(NamedTuple):
    inbox: Decision | None  # None: the type has no inbox
    outward: list[tuple[Route, Decision, Due | None]]


def _decide(
    event: Event,
    people: preferences.People,
    routes: Sequence[Route],
    now: datetime,
    person: Recipient,
    is_actor: bool,
) -> _Verdict:
    required = is_required(event.type)
    known = people.known(
        event, person.pk, is_active=person.is_active, is_actor=is_actor, role=person.role
    )
    inside = deliveries.inbox_route(event)
    hours = people.hours(person.pk, person.zone) if routes else None
    outward: list[tuple[Route, Decision, Due | None]] = []
    for route in routes:
        decision = decisions.decide(event, route, known, required=required)
        due = None
        if decision.send and hours is not None:
            due = decisions.due(event, route, decision, hours, made_at=now, required=required)
        outward.append((route, decision, due))
    inbox = None
    if inside is not None:
        inbox = decisions.decide(event, inside, known, required=required)
    return _Verdict(inbox, outward)


def _note(plan: _Plan, pk: Any, verdict: _Verdict) -> None:
    if verdict.inbox is not None:
        if verdict.inbox.send:
            plan.wanted.append(pk)
        else:
            plan.skipped.append((pk, verdict.inbox.reason))
    for route, decision, due in verdict.outward:
        plan.outward.append(deliveries.Planned(pk, route, decision, due))


def _publish(event: Event) -> None:
    """Give an announcement its place on the public stream, and every open screen the frame."""
    with transaction.atomic():
        held = _hold(event)
        if held is None:
            return
        number(held)
        Event.objects.filter(pk=held.pk).update(due_at=None)


def number(event: Event) -> None:
    """Give an announcement, new or changed, the next version of the public stream."""
    stream = PublicStream.objects.select_for_update().get_or_create(pk=1)[0]
    stream.version += 1
    stream.save(update_fields=["version"])
    Event.objects.filter(pk=event.pk).update(public_version=stream.version)
    event.public_version = stream.version
    item = items.render_public(event)
    frame = frames.change(
        "public",
        epoch=stream.epoch,
        after=stream.version - 1,
        version=stream.version,
        items=[item],
        message=item.get("message"),
    )
    nudge = Nudge("public", stream.epoch, stream.version - 1, stream.version, frame)
    transaction.on_commit(lambda: publish(nudge), robust=True)


def run_due(limit: int = 100) -> int:
    """Serve events that are due. A claim moves the due time ahead: compare and set, one wins."""
    now = timezone.now()
    lease = now + timedelta(seconds=settings.LEASE)
    due = Event.objects.filter(due_at__lte=now).order_by("due_at")[:limit]
    claimed = [event for event in due if _take(event, lease)]
    for event in claimed:
        _run_claimed(event)
    return len(claimed)


def _take(event: Event, lease: datetime) -> bool:
    return bool(Event.objects.filter(pk=event.pk, due_at=event.due_at).update(due_at=lease))


def _run_claimed(event: Event) -> None:
    """One event that can't be served must not hold up the others: its lease is its pause."""
    try:
        run(event)
    except Exception:
        logger.exception("event %s was not fanned out; it is tried again", event.pk)
