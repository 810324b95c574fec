"""Bringing clients up to date: everything that changed since a version, as frames.

A position is always read before the rows it stands for: a change in between comes again, and is
known by its version; the other way round it would be lost. For the same reason rows are taken up to
the newest, beyond that position: one that was marked in between has left its old version, and the
frame of that mark may hold no row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from clarion import inbox, items
from clarion.conf import settings
from clarion.inbox import Counts, State
from clarion.models import Event, Inbox, Notification, PublicStream
from clarion.realtime import frames
from clarion.realtime.frames import ZERO, Position

_BEHIND = 1000  # changes; a client further behind gets a fresh start instead of a replay
_SNAPSHOT = 50  # newest notifications of a fresh start
_IN_A_FRAME = 100  # items
_AT_ONCE = 200  # recipients in one query


@dataclass(frozen=True)
class CatchUp:
    """Where a stream stands, and the frames that lead there; none when nothing is missing."""

    position: Position
    counts: Counts | None  # of an inbox
    frames: list[bytes] = field(default_factory=list)
    state: State | None = None  # of an inbox


def catch_up(cursors: Mapping[Any, Position | None]) -> dict[Any, CatchUp]:
    """Bring clients up to date: for each recipient, the frames from a position to where it stands.

    A recipient's cursor None asks only where the inbox stands. A wrong epoch, a position from the
    future or below the floor, or too many changes give one `reset` frame. Recipients that don't
    exist are left out. The number of queries doesn't depend on how many ask.
    """
    states: dict[Any, State] = {}
    for ids in _batches(list(cursors)):
        states.update(inbox.states(ids))
    languages = _languages(list(states))
    behind = {
        pk: cursor
        for pk, cursor in cursors.items()
        if cursor is not None and pk in states and _replayable(cursor, states[pk])
    }
    changed = _changes(behind)
    return {
        pk: CatchUp(
            state.position,
            state.counts,
            _frames(cursors[pk], state, changed.get(pk), languages.get(pk)),
            state,
        )
        for pk, state in states.items()
    }


def _batches(ids: list[Any]) -> Iterable[list[Any]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _replayable(cursor: Position, state: State) -> bool:
    return cursor.version < state.version and _reset_reason(cursor, state) is None


def _reset_reason(cursor: Position, state: State) -> str | None:
    if cursor != ZERO and cursor.epoch != state.epoch:
        return "epoch"
    if cursor.version > state.version:
        return "future"
    if cursor.version < state.floor:
        return "floor"
    if state.version - cursor.version > _BEHIND:
        return "behind"
    return None


def _changes(behind: Mapping[Any, Position]) -> dict[Any, list[Notification]]:
    """Rows changed since each cursor, oldest change first."""
    changed: dict[Any, list[Notification]] = defaultdict(list)
    for ids in _batches(list(behind)):
        for row in _changed_rows(ids, behind):
            changed[row.recipient_id].append(row)
    items.prefetch(row.event for rows in changed.values() for row in rows if not row.removed_at)
    return changed


def _changed_rows(ids: list[Any], behind: Mapping[Any, Position]) -> list[Notification]:
    ranges = Q()
    for pk in ids:
        ranges |= Q(recipient=pk, version__gt=behind[pk].version)
    rows = Notification.objects.filter(ranges).select_related("event")
    limit = _BEHIND * 5
    found = list(rows.order_by("version", "pk")[: limit + 1])
    if len(found) <= limit or len(ids) == 1:
        return found
    return [row for pk in ids for row in _changed_rows([pk], behind)]


def _frames(
    cursor: Position | None,
    state: State,
    rows: list[Notification] | None,
    language: str | None,
) -> list[bytes]:
    if cursor is None:
        return []
    reason = _reset_reason(cursor, state)
    if reason is None and rows is not None and len(rows) > _BEHIND:
        reason = "behind"
    if reason is not None:
        return [_reset(state, reason, language)]
    if cursor.version == state.version:
        return []
    shown = [items.render(row, language) for row in rows or ()]
    return _split("inbox", cursor, state.position, shown, state.counts)


def _split(
    stream: str, cursor: Position, to: Position, shown: list[items.Item], counts: Counts | None
) -> list[bytes]:
    """Change frames of bounded size; only the last one, without `more`, moves the cursor."""
    parts = [shown[at : at + _IN_A_FRAME] for at in range(0, len(shown), _IN_A_FRAME)] or [[]]
    return [
        frames.change(
            stream,
            epoch=to.epoch,
            after=cursor.version,
            version=to.version,
            items=part,
            counts=vars(counts) if counts else None,
            more=number < len(parts),
            message=part[-1].get("message") if part and number == len(parts) else None,
        )
        for number, part in enumerate(parts, 1)
    ]


def _reset(state: State, reason: str, language: str | None) -> bytes:
    found, cursor = inbox.newest(state.pk, limit=_SNAPSHOT)
    items.prefetch(row.event for row in found)
    return frames.reset(
        "inbox",
        epoch=state.epoch,
        version=state.version,
        reason=reason,
        items=[items.render(row, language) for row in found],
        counts=vars(state.counts),
        next=cursor,
    )


def _languages(ids: list[Any]) -> dict[Any, str | None]:
    if settings.RECIPIENT_LANGUAGE is None:
        return {}
    users = get_user_model()._base_manager.in_bulk(ids)
    return {pk: items.language_of(user) for pk, user in users.items()}


def public_position() -> Position:
    """Where the stream of announcements stands."""
    return _public()[0]


def _public() -> tuple[Position, int]:
    row = PublicStream.objects.values_list("epoch", "version", "floor").first()
    return (Position(row[0], row[1]), row[2]) if row else (ZERO, 0)


def public_catch_up(cursor: Position | None) -> CatchUp:
    """The same as `catch_up` for the stream of announcements, which is one for everybody."""
    current, floor = _public()
    if cursor is None:
        return CatchUp(current, None)
    state = State(None, current.epoch, current.version, floor)
    reason = _reset_reason(cursor, state)
    events = Event.objects.filter(public_version__lte=current.version).order_by("public_version")
    if reason is not None:
        return CatchUp(current, None, [_public_reset(events, current, reason)])
    if cursor.version == current.version:
        return CatchUp(current, None)
    missed = list(events.filter(public_version__gt=cursor.version))
    items.prefetch(missed)
    shown = [items.render_public(event) for event in missed]
    return CatchUp(current, None, _split("public", cursor, current, shown, None))


def _public_reset(events: QuerySet[Event], current: Position, reason: str) -> bytes:
    newest = list(events.filter(retracted_at__isnull=True).reverse()[:_SNAPSHOT])
    items.prefetch(newest)
    return frames.reset(
        "public",
        epoch=current.epoch,
        version=current.version,
        reason=reason,
        items=[items.render_public(event) for event in newest],
        counts=None,
        next=None,
    )


def acknowledge(versions: dict[Any, int]) -> None:
    """Record that a client of each recipient holds everything up to a version."""
    now = timezone.now()
    for ids in _parts(sorted(versions)):
        with transaction.atomic():
            ahead = [
                box
                for box in Inbox.objects.select_for_update().filter(pk__in=ids).order_by("pk")
                if box.delivered < min(versions[box.pk], box.version)
            ]
            _deliver(ahead, versions, now)


def _parts(ids: list[Any], size: int = 100) -> list[list[Any]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _deliver(ahead: Sequence[Inbox], versions: dict[Any, int], now: datetime) -> None:
    held = Q()
    for box in ahead:
        version = min(versions[box.pk], box.version)
        held |= Q(recipient=box.pk, version__gt=box.delivered, version__lte=version)
        box.delivered = version
    if ahead:
        Notification.objects.filter(held, delivered_at__isnull=True).update(delivered_at=now)
        Inbox.objects.bulk_update(ahead, ["delivered"])
