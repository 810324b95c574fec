"""Changes of state: each is one new version, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from clarion import items
from clarion.exceptions import InvalidMark
from clarion.inbox.adding import admit
from clarion.inbox.reading import Counts
from clarion.inbox.rows import COUNTERS, lock, mine, save, tell, touch
from clarion.models import ARCHIVED, LISTED, SNOOZED, Event, Inbox, Notification
from clarion.realtime import frames
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge

_IDS_AT_MOST = 1000
_SHOWN_IN_A_NUDGE = 20  # rows; of more the screens ask the database


@dataclass(frozen=True)
class Change:
    """The inbox after a mark: its version and counters, and how many rows were changed."""

    version: int
    counts: Counts
    changed: int


@dataclass(frozen=True)
class _State:
    """Which rows a state can be given to, and what it writes."""

    applies: Q
    writes: Callable[[datetime, datetime | None], dict[str, Any]]
    in_bulk: bool = False  # may be given to all rows up to a version


_STATES = {
    "seen": _State(
        Q(seen_at__isnull=True),
        lambda now, _: {"seen_at": now},
        in_bulk=True,
    ),
    "read": _State(
        Q(read_at__isnull=True),
        lambda now, _: {"read_at": now, "seen_at": Coalesce("seen_at", Value(now))},
        in_bulk=True,
    ),
    "unread": _State(Q(read_at__isnull=False), lambda *_: {"read_at": None}),
    "archived": _State(
        Q(archived_at__isnull=True),
        lambda now, _: {"archived_at": now, "pinned": False},
        in_bulk=True,
    ),
    "unarchived": _State(  # no longer the live row of its collapse key: there may be a newer one
        ARCHIVED, lambda *_: {"archived_at": None, "collapse_key": ""}
    ),
    "pinned": _State(Q(pinned=False, archived_at__isnull=True), lambda *_: {"pinned": True}),
    "unpinned": _State(Q(pinned=True), lambda *_: {"pinned": False}),
    "snoozed": _State(Q(archived_at__isnull=True), lambda _, until: {"snoozed_until": until}),
    "unsnoozed": _State(SNOOZED, lambda *_: {"snoozed_until": None}),
}


def mark(
    recipient: Any,
    state: str,
    ids: Iterable[int | str] | None = None,
    *,
    upto: int | None = None,
    until: datetime | None = None,
) -> Change:
    """Give rows of the recipient a state: those named, or all listed ones up to a version.

    A repeat changes nothing, nor do ids of others. `ids` are notification ids, or "a<event id>" for
    announcements. `upto` is a version, so that what arrives meanwhile isn't swallowed; it goes with
    seen, read and archived. `until` goes with snoozed.

    Raises:
        InvalidMark: unknown state, neither or both of `ids` and `upto`, bad values.
    """
    kind = _checked(state, ids, upto, until)
    named = None if ids is None else _named(ids)
    pk = getattr(recipient, "pk", recipient)
    if named is not None and named.announcements:
        admit([pk])
    with transaction.atomic():
        box = lock([pk])[pk]
        rows = _matching(box, kind, named, upto)
        return _apply(box, rows, state, kind.writes(timezone.now(), until), upto)


def mark_seen(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "seen", ids)


def mark_read(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "read", ids)


def mark_unread(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "unread", ids)


def mark_all_read(recipient: Any) -> Change:
    """Everything that is listed now, as one change."""
    pk = getattr(recipient, "pk", recipient)
    admit([pk])
    version = Inbox.objects.filter(pk=pk).values_list("version", flat=True).first()
    return mark(recipient, "read", upto=version or 0)


def archive(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "archived", ids)


def unarchive(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "unarchived", ids)


def pin(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "pinned", ids)


def unpin(recipient: Any, ids: Iterable[int | str]) -> Change:
    return mark(recipient, "unpinned", ids)


def snooze(recipient: Any, ids: Iterable[int | str], until: datetime) -> Change:
    """Out of sight until then; it comes back on top, unread and unseen, with its own time."""
    return mark(recipient, "snoozed", ids, until=until)


def unsnooze(recipient: Any, ids: Iterable[int | str]) -> Change:
    """Back at once, exactly as it was."""
    return mark(recipient, "unsnoozed", ids)


@dataclass(frozen=True)
class _Named:
    notifications: list[int]
    announcements: list[int]


def _checked(state: str, ids: object, upto: object, until: datetime | None) -> _State:
    kind = _STATES.get(state)
    if kind is None:
        raise InvalidMark(f"as: {state!r} is not one of {', '.join(_STATES)}.")
    if (ids is None) == (upto is None):
        raise InvalidMark("Give either ids or upto.")
    if upto is not None and not kind.in_bulk:
        raise InvalidMark(f"upto: not possible with {state!r}; give ids.")
    if upto is not None and (type(upto) is not int or not 0 <= upto < 2**63):
        raise InvalidMark(f"upto: {upto!r} is not a version.")
    if (until is not None) != (state == "snoozed"):
        raise InvalidMark("until: needed for 'snoozed', and only there.")
    if until is not None and (until.tzinfo is None or until <= timezone.now()):
        raise InvalidMark("until: must be a time in the future, with a time zone.")
    return kind


def _named(ids: Iterable[int | str]) -> _Named:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidMark("ids: must be a list.")
    named = _Named([], [])
    for entry in ids:
        text = entry[1:] if isinstance(entry, str) and entry[:1] == "a" else None
        if text is not None and text.isascii() and text.isdigit() and len(text) < 19:
            named.announcements.append(int(text))
        elif type(entry) is int and 0 <= entry < 2**63:
            named.notifications.append(entry)
        else:
            raise InvalidMark(f"ids: {str(entry)[:40]!r} is not the id of a notification.")
    if len(named.notifications) + len(named.announcements) > _IDS_AT_MOST:
        raise InvalidMark(f"ids: at most {_IDS_AT_MOST}; use upto for more.")
    return named


def _matching(
    box: Inbox, kind: _State, named: _Named | None, upto: int | None
) -> QuerySet[Notification]:
    rows = mine(box.pk).filter(kind.applies, removed_at__isnull=True)
    if named is None:
        return rows.filter(LISTED, version__lte=upto)
    wanted = Q(pk__in=named.notifications)
    if named.announcements:
        announced = Event.objects.filter(pk__in=named.announcements, public_version__isnull=False)
        wanted |= Q(event__in=announced)
    return rows.filter(wanted)


def _apply(
    box: Inbox,
    rows: QuerySet[Notification],
    state: str,
    writes: dict[str, Any],
    upto: int | None,
) -> Change:
    """Counters follow what the rows counted before and count after, whatever was written."""
    before = rows.aggregate(**COUNTERS)
    changed = rows.update(version=box.version + 1, **writes)
    if changed:
        after = mine(box.pk).filter(version=box.version + 1).aggregate(**COUNTERS)
        box.version += 1
        box.unread += after["unread"] - before["unread"]
        box.unseen += after["unseen"] - before["unseen"]
        save([box])
        _tell(box, state, changed, upto)
    return Change(box.version, Counts(box.unread, box.unseen), changed)


def _tell(box: Inbox, state: str, changed: int, upto: int | None) -> None:
    if upto is None and changed > _SHOWN_IN_A_NUDGE:
        tell([box.pk])
        return
    frame = frames.change(
        "inbox",
        epoch=box.epoch,
        after=box.version - 1,
        version=box.version,
        items=_changed_items(box) if upto is None else (),
        marks=[{"as": state, "upto": upto}] if upto is not None else (),
        counts=asdict(Counts(box.unread, box.unseen)),
    )
    nudge = Nudge(f"inbox.{box.pk}", box.epoch, box.version - 1, box.version, frame)
    transaction.on_commit(lambda: publish(nudge), robust=True)


def _changed_items(box: Inbox) -> list[items.Item]:
    rows = list(mine(box.pk).filter(version=box.version).select_related("event"))
    language = items.language_of(box.recipient) if rows and items.speaks() else None
    return items.render_all(rows, language)


def wake_snoozed(limit: int = 500) -> int:
    """Bring back what was snoozed until now: on top, unread and unseen."""
    now = timezone.now()
    due = Notification.objects.filter(SNOOZED, snoozed_until__lte=now)
    return _touch_some(due, limit, snoozed_until=None, read_at=None, seen_at=None, arrived_at=now)


def expire(limit: int = 500) -> int:
    """Archive what has expired."""
    now = timezone.now()
    over = Notification.objects.filter(
        expires_at__lte=now, archived_at__isnull=True, removed_at__isnull=True
    )
    return _touch_some(over, limit, archived_at=now, pinned=False)


def _touch_some(due: QuerySet[Notification], limit: int, **changes: Any) -> int:
    found = list(due.order_by("pk").values_list("pk", "recipient_id")[:limit])
    if not found:
        return 0
    rows = due.filter(pk__in=[pk for pk, _ in found])
    return touch(rows, {recipient for _, recipient in found}, **changes)


def remove(event: Event, limit: int = 500) -> int:
    """Take back an event's rows, leaving tombstones so that every screen drops them.

    A row in which the event is collapsed with others loses that one repeat. Returns how many rows
    changed; call it until it returns 0.
    """
    alone = event.notifications.filter(removed_at__isnull=True, count=1)
    removed = _touch_some(alone, limit, removed_at=timezone.now())
    return removed or _unfold(event, limit)


def _unfold(event: Event, limit: int) -> int:
    if not event.collapse_key:
        return 0
    folded = Notification.objects.filter(
        collapse_key=f"{event.type}:{event.collapse_key}", removed_at__isnull=True, count__gt=1
    )
    rows = [row for row in folded.iterator() if event.pk in row.members][:limit]
    for row in rows:
        members = [member for member in row.members if member != event.pk]
        touch(
            Notification.objects.filter(pk=row.pk),
            [row.recipient_id],
            members=members,
            count=row.count - 1,
            event=members[-1],
        )
    return len(rows)


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
