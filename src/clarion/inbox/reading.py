"""What an inbox holds: pages, counts, and everything that changed since a version.

A position is always read before the rows it stands for: a change in between comes again, and is
known by its version; the other way round it would be lost.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import BooleanField, DateTimeField, F, Func, Q, QuerySet, Subquery, Value
from django.db.models.lookups import LessThan

from clarion import items
from clarion.conf import settings
from clarion.exceptions import BadCursor
from clarion.inbox.adding import admit
from clarion.inbox.rows import mine
from clarion.models import (
    ARCHIVED,
    LISTED,
    NEWEST_FIRST,
    SNOOZED,
    UNREAD,
    Event,
    Inbox,
    Notification,
    PublicStream,
)
from clarion.realtime import frames
from clarion.realtime.frames import ZERO, Position

FILTERS: dict[str, Q] = {"all": LISTED, "unread": UNREAD, "archived": ARCHIVED, "snoozed": SNOOZED}
_BEHIND = 1000  # changes; a client further behind gets a fresh start instead of a replay
_SNAPSHOT = 50  # newest notifications of a fresh start
_IN_A_FRAME = 100  # items
_AT_ONCE = 200  # recipients in one query


@dataclass(frozen=True)
class Counts:
    """Listed notifications that weren't read, and those that weren't even seen."""

    unread: int = 0
    unseen: int = 0


@dataclass(frozen=True)
class Page:
    """One page, newest first, pinned ones before all."""

    items: list[items.Item]
    next: str | None  # cursor of the page behind it
    position: Position
    counts: Counts


@dataclass(frozen=True)
class CatchUp:
    """Where a stream stands, and the frames that lead there; none when nothing is missing."""

    position: Position
    counts: Counts | None
    frames: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class _State:
    """An inbox as it stood when the question was asked. No row yet: all zero."""

    pk: Any
    epoch: str = ""
    version: int = 0
    floor: int = 0
    unread: int = 0
    unseen: int = 0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.version)

    @property
    def counts(self) -> Counts:
        return Counts(self.unread, self.unseen)


def counts(recipient: Any) -> Counts:
    """How many are unread and unseen."""
    return _state(recipient).counts


def position(recipient: Any) -> Position:
    """Where the inbox stands. Read it before the data, and resume from it."""
    return _state(recipient).position


def page(
    recipient: Any, *, filter: str = "all", before: str | None = None, limit: int | None = None
) -> Page:
    """One page of `filter` ("all", "unread", "archived", "snoozed"), older than the cursor `before`.

    Raises:
        BadCursor: unknown filter, a limit outside 1..MAX_PAGE_SIZE, or a cursor not from `next`.
    """
    if filter not in FILTERS:
        raise BadCursor(f"filter: {filter!r} is not one of {', '.join(FILTERS)}.")
    limit = settings.PAGE_SIZE if limit is None else limit
    if not 1 <= limit <= settings.MAX_PAGE_SIZE:
        raise BadCursor(f"limit: {limit} is not between 1 and {settings.MAX_PAGE_SIZE}.")
    state = _state(recipient)
    rows = _rows(recipient, filter, before)[: limit + 1]
    found = list(rows)
    shown = items.render_all(found[:limit])
    return Page(shown, _cursor(found, limit), state.position, state.counts)


def _rows(recipient: Any, filter: str, before: str | None) -> QuerySet[Notification]:
    rows = mine(recipient).filter(FILTERS[filter]).select_related("event").order_by(*NEWEST_FIRST)
    return rows if before is None else rows.filter(_older(before))


def _cursor(found: Sequence[Notification], limit: int) -> str | None:
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    raw = json.dumps([int(last.pinned), last.arrived_at.isoformat(), last.pk])
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _older(cursor: str) -> LessThan:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        pinned, text, pk = json.loads(raw)
        moment = datetime.fromisoformat(text)
        pinned, pk = bool(pinned), int(pk)
    except (ValueError, TypeError) as error:
        raise BadCursor("before: not a cursor; use `next` of the page before.") from error
    if moment.tzinfo is None or abs(pk) >= 2**63:
        raise BadCursor("before: not a cursor; use `next` of the page before.")
    return LessThan(
        _row_of(F("pinned"), F("arrived_at"), F("pk")),
        _row_of(Value(pinned), Value(moment, DateTimeField()), Value(pk)),
    )


def _row_of(*columns: Any) -> Func:
    """A row value, which an index over the same columns compares as a whole."""
    return Func(*columns, template="(%(expressions)s)", output_field=BooleanField())


def _state(recipient: Any) -> _State:
    pk = getattr(recipient, "pk", recipient)
    return _states([pk]).get(pk) or _State(pk)


def _states(ids: Sequence[Any]) -> dict[Any, _State]:
    """The inboxes of `ids`, with announcements made into rows. One query when there is none new."""
    found = _read_states(ids)
    behind = [pk for pk, (_, is_behind) in found.items() if is_behind]
    if behind:
        admit(behind)
        found.update(_read_states(behind))
    return {pk: state for pk, (state, _) in found.items()}


def _read_states(ids: Sequence[Any]) -> dict[Any, tuple[_State, bool]]:
    users = get_user_model()._base_manager.filter(pk__in=ids)
    box = "clarion_inbox__"
    columns = ("pk", *(box + name for name in ("epoch", "version", "floor", "unread", "unseen")))
    public = Subquery(PublicStream.objects.values("version")[:1])
    rows = users.values_list(*columns, box + "announced", public)
    return {
        row[0]: (
            _State(*row[:6]) if row[1] is not None else _State(row[0]),
            (row[7] or 0) > (row[6] or 0),
        )
        for row in rows
    }


def catch_up(cursors: Mapping[Any, Position | None]) -> dict[Any, CatchUp]:
    """Bring clients up to date: for each recipient, the frames from a position to where it stands.

    A recipient's cursor None asks only where the inbox stands. A wrong epoch, a position from the
    future or below the floor, or too many changes give one `reset` frame. Recipients that don't
    exist are left out. The number of queries doesn't depend on how many ask.
    """
    states: dict[Any, _State] = {}
    for ids in _batches(list(cursors)):
        states.update(_states(ids))
    languages = _languages(list(states))
    behind = {
        pk: cursor
        for pk, cursor in cursors.items()
        if cursor is not None and pk in states and _replayable(cursor, states[pk])
    }
    changed = _changes(behind, states)
    return {
        pk: CatchUp(
            state.position,
            state.counts,
            _frames(cursors[pk], state, changed.get(pk), languages.get(pk)),
        )
        for pk, state in states.items()
    }


def _batches(ids: list[Any]) -> Iterable[list[Any]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _replayable(cursor: Position, state: _State) -> bool:
    return cursor.version < state.version and _reset_reason(cursor, state) is None


def _reset_reason(cursor: Position, state: _State) -> str | None:
    if cursor != ZERO and cursor.epoch != state.epoch:
        return "epoch"
    if cursor.version > state.version:
        return "future"
    if cursor.version < state.floor:
        return "floor"
    if state.version - cursor.version > _BEHIND:
        return "behind"
    return None


def _changes(
    behind: Mapping[Any, Position], states: Mapping[Any, _State]
) -> dict[Any, list[Notification]]:
    """Rows changed since each cursor, oldest change first."""
    changed: dict[Any, list[Notification]] = defaultdict(list)
    for ids in _batches(list(behind)):
        for row in _changed_rows(ids, behind, states):
            changed[row.recipient_id].append(row)
    items.prefetch(row.event for rows in changed.values() for row in rows if not row.removed_at)
    return changed


def _changed_rows(
    ids: list[Any], behind: Mapping[Any, Position], states: Mapping[Any, _State]
) -> list[Notification]:
    ranges = Q()
    for pk in ids:
        ranges |= Q(recipient=pk, version__gt=behind[pk].version, version__lte=states[pk].version)
    rows = Notification.objects.filter(ranges).select_related("event")
    limit = _BEHIND * 5
    found = list(rows.order_by("version", "pk")[: limit + 1])
    if len(found) <= limit or len(ids) == 1:
        return found
    return [row for pk in ids for row in _changed_rows([pk], behind, states)]


def _frames(
    cursor: Position | None,
    state: _State,
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
            counts=asdict(counts) if counts else None,
            more=number < len(parts),
            message=part[-1].get("message") if part and number == len(parts) else None,
        )
        for number, part in enumerate(parts, 1)
    ]


def _reset(state: _State, reason: str, language: str | None) -> bytes:
    found = list(_rows(state.pk, "all", None)[: _SNAPSHOT + 1])
    items.prefetch(row.event for row in found)
    return frames.reset(
        "inbox",
        epoch=state.epoch,
        version=state.version,
        reason=reason,
        items=[items.render(row, language) for row in found[:_SNAPSHOT]],
        counts=asdict(state.counts),
        next=_cursor(found, _SNAPSHOT),
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
    state = _State(None, current.epoch, current.version, floor)
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


def credentials(ids: Sequence[Any]) -> dict[Any, tuple[bool, str, str, int]]:
    """For each user that exists: active or not, stored password, epoch and version. One query."""
    users = get_user_model()
    active = "is_active" if _has_field(users, "is_active") else None
    rows = (
        users._base_manager.filter(pk__in=ids)
        .annotate(box_epoch=F("clarion_inbox__epoch"), box_version=F("clarion_inbox__version"))
        .values_list("pk", "password", "box_epoch", "box_version", *filter(None, [active]))
    )
    return {row[0]: (bool((*row[4:], True)[0]), row[1], row[2] or "", row[3] or 0) for row in rows}


def _has_field(model: Any, name: str) -> bool:
    return any(entry.name == name for entry in model._meta.concrete_fields)
