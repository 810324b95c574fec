"""A person's inbox: what is in it, and what they do with it.

Everything here takes a user (or the primary key of one) and touches only that person's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Concat
from django.utils import timezone

from clarion import cursors, items
from clarion.audiences import users_have
from clarion.conf import settings
from clarion.deliveries import call_off
from clarion.exceptions import BadCursor, InvalidMark
from clarion.ledger import COUNTERS, RETIRED, UNSTAMPED, admit, lock, save, tell
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
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge, Position

FILTERS: dict[str, Q] = {"all": LISTED, "unread": UNREAD, "archived": ARCHIVED, "snoozed": SNOOZED}
_IDS_AT_MOST = 1000
_RETIRED_KEY = Case(
    When(Q(collapse_key="") | Q(collapse_key__startswith=RETIRED), then=F("collapse_key")),
    default=Concat(Value(RETIRED), F("collapse_key")),
)
_COLUMNS = ("epoch", "version", "floor", "unread", "unseen", "active_at")  # as in State
_PRESENT_FOR = timedelta(minutes=1)
_SHOWN_IN_A_NUDGE = 20  # rows; of more the screens ask the database


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
class State:
    """An inbox as it stood when the question was asked, and its owner. No row yet: all zero."""

    pk: Any
    epoch: str = ""
    version: int = 0
    floor: int = 0
    unread: int = 0
    unseen: int = 0
    active_at: datetime | None = None
    password: str = field(default="", repr=False)
    is_active: bool = True

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.version)

    @property
    def counts(self) -> Counts:
        return Counts(self.unread, self.unseen)


@dataclass(frozen=True)
class Change:
    """The inbox after a mark: its version and counters, and how many rows were changed."""

    version: int
    counts: Counts
    changed: int


def counts(recipient: Any) -> Counts:
    """How many are unread and unseen."""
    return _state(recipient).counts


def position(recipient: Any) -> Position:
    """Where the inbox stands. Read it before the data, and resume from it."""
    return _state(recipient).position


def page(
    recipient: Any, *, filter: str = "all", before: str | None = None, limit: int | None = None
) -> Page:
    """One page of `filter` (all, unread, archived or snoozed), behind the cursor `before`.

    Raises:
        BadCursor: unknown filter, a limit outside 1..MAX_PAGE_SIZE, or a cursor not from `next`.
    """
    if filter not in FILTERS:
        raise BadCursor(f"filter: {filter!r} is not one of {', '.join(FILTERS)}.")
    limit = settings.PAGE_SIZE if limit is None else limit
    if not 1 <= limit <= settings.MAX_PAGE_SIZE:
        raise BadCursor(f"limit: {limit} is not between 1 and {settings.MAX_PAGE_SIZE}.")
    state = _state(recipient)
    found, cursor = newest(recipient, filter, before, limit)
    return Page(items.render_all(found), cursor, state.position, state.counts)


def newest(
    recipient: Any, filter: str = "all", before: str | None = None, limit: int = 50
) -> tuple[list[Notification], str | None]:
    """Rows of a page with their events, and the cursor of the page behind it."""
    rows = rows_of(recipient).filter(FILTERS[filter]).order_by(*NEWEST_FIRST)
    if before is not None:
        rows = rows.filter(cursors.behind(before))
    found = list(rows.select_related("event")[: limit + 1])
    return found[:limit], cursors.after(found[limit - 1]) if len(found) > limit else None


def rows_of(recipient: Any) -> QuerySet[Notification]:
    """The rows of one recipient, given as a user or a primary key."""
    return Notification.objects.filter(recipient=getattr(recipient, "pk", recipient))


def _state(recipient: Any) -> State:
    pk = getattr(recipient, "pk", recipient)
    return states([pk]).get(pk) or State(pk)


def states(ids: Sequence[Any], *, admitting: bool = True) -> dict[Any, State]:
    """The inboxes of those of `ids` that exist: one query, when there is no new announcement.

    With `admitting`, announcements that somebody has no row of yet are made into rows before.
    """
    found = _read_states(ids)
    behind = [pk for pk, (_, is_behind) in found.items() if is_behind]
    if behind and admitting:
        admit(behind)
        found.update(_read_states(behind))
    return {pk: state for pk, (state, _) in found.items()}


def _read_states(ids: Sequence[Any]) -> dict[Any, tuple[State, bool]]:
    users = get_user_model()._base_manager.filter(pk__in=ids)
    box = "clarion_inbox__"
    columns = [box + name for name in _COLUMNS]
    owner = ["password", *(["is_active"] if users_have("is_active") else [])]
    public = Subquery(PublicStream.objects.values("version")[:1])
    rows = users.values_list(public, box + "announced", "pk", *columns, *owner)
    return {
        pk: (
            State(pk, *state)
            if state[0] is not None
            else State(pk, "", 0, 0, 0, 0, None, *state[len(_COLUMNS) :]),
            (current or 0) > (announced or 0),
        )
        for current, announced, pk, *state in rows
    }


def present(state: State) -> None:
    """Its owner loads a page just now: `webpush(unless=ACTIVE)` can wait. At most once a minute."""
    now = timezone.now()
    lately = state.active_at is not None and now - state.active_at < _PRESENT_FOR
    if settings.CHANNELS and state.epoch and not lately:
        Inbox.objects.filter(pk=state.pk).update(active_at=now)


@dataclass(frozen=True)
class _Kind:
    """Which rows a state can be given to, and what it writes."""

    applies: Q
    writes: Callable[[datetime, datetime | None], dict[str, Any]]
    in_bulk: bool = False  # may be given to all rows up to a version


_KINDS = {
    "seen": _Kind(
        Q(seen_at__isnull=True),
        lambda now, _: {"seen_at": now},
        in_bulk=True,
    ),
    "read": _Kind(
        Q(read_at__isnull=True),
        lambda now, _: {"read_at": now, "seen_at": Coalesce("seen_at", Value(now))},
        in_bulk=True,
    ),
    "unread": _Kind(Q(read_at__isnull=False), lambda *_: {"read_at": None}),
    "archived": _Kind(
        Q(archived_at__isnull=True),
        lambda now, _: {"archived_at": now, "pinned": False},
        in_bulk=True,
    ),
    "unarchived": _Kind(  # no longer the live row of its collapse key: there may be a newer one
        ARCHIVED, lambda *_: {"archived_at": None, "collapse_key": _RETIRED_KEY}
    ),
    "pinned": _Kind(Q(pinned=False, archived_at__isnull=True), lambda *_: {"pinned": True}),
    "unpinned": _Kind(Q(pinned=True), lambda *_: {"pinned": False}),
    "snoozed": _Kind(Q(archived_at__isnull=True), lambda _, until: {"snoozed_until": until}),
    "unsnoozed": _Kind(SNOOZED, lambda *_: {"snoozed_until": None}),
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


def _checked(state: str, ids: object, upto: object, until: datetime | None) -> _Kind:
    kind = _KINDS.get(state)
    if kind is None:
        raise InvalidMark(f"as: {state!r} is not one of {', '.join(_KINDS)}.")
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
    box: Inbox, kind: _Kind, named: _Named | None, upto: int | None
) -> QuerySet[Notification]:
    rows = rows_of(box.pk).filter(kind.applies, removed_at__isnull=True)
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
    before = rows.aggregate(**COUNTERS, **UNSTAMPED)
    changed = rows.update(version=box.version + 1, **writes)
    if changed:
        written = rows_of(box.pk).filter(version=box.version + 1)
        if before["unstamped"]:  # which the stored counters may not include yet
            written, before = rows_of(box.pk), {"unread": box.unread, "unseen": box.unseen}
        after = written.aggregate(**COUNTERS)
        box.version += 1
        box.unread += after["unread"] - before["unread"]
        box.unseen += after["unseen"] - before["unseen"]
        box.active_at = timezone.now()
        save([box])
        call_off(box.pk, box.version, state)
        _tell(box, state, changed, upto)
    return Change(box.version, Counts(box.unread, box.unseen), changed)


def _tell(box: Inbox, state: str, changed: int, upto: int | None) -> None:
    if changed > _SHOWN_IN_A_NUDGE if upto is None else upto < box.version - 1:
        tell([box.pk])  # many rows, or a choice by versions that screens may not have
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
    rows = list(rows_of(box.pk).filter(version=box.version).select_related("event"))
    language = items.language_of(box.recipient) if rows and items.speaks() else None
    return items.render_all(rows, language)
