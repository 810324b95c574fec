"""The one module in which an inbox's rows, counters and version change together.

Everything that writes notifications does it through here, under the lock of the inbox row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import (
    Count,
    DateTimeField,
    F,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.utils import timezone

from clarion import items
from clarion.audiences import users_have
from clarion.models import UNREAD, UNSEEN, Event, Inbox, Notification, PublicStream
from clarion.postgres import as_array
from clarion.realtime import frames
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge, aside

COUNTERS = {"unread": Count("pk", filter=UNREAD), "unseen": Count("pk", filter=UNSEEN)}
UNSTAMPED = {"unstamped": Count("pk", filter=Q(version__isnull=True))}
RETIRED = "-"  # before the collapse key of a row that takes no more repeats; no type begins so
_COUNTED = ("version", "unread", "unseen")
_FOLDED = (
    "event", "version", "count", "members", "actors", "arrived_at", "expires_at", "seen_at",
    "read_at",
)  # fmt: skip
_NAMED_IN_A_NUDGE = 100  # recipients; more are told by range
_MEMBERS_AT_MOST = 200  # repeats that a collapsed row can still name, to take one back
_ANNOUNCEMENTS_AT_MOST = 100  # that somebody who was long away finds in the inbox


def lock(ids: Iterable[Any]) -> dict[Any, Inbox]:
    """Lock the inboxes of `ids` until commit, making those that are missing.

    Always in primary-key order and in one pass, so that two of these can't deadlock.
    """
    ordered = sorted(set(ids))
    if len(ordered) == 1:
        held = Inbox.objects.select_for_update().filter(pk=ordered[0]).first()
        if held is not None:
            return {held.pk: held}
    _make_and_lock(ordered)
    return {box.pk: box for box in Inbox.objects.select_for_update().filter(pk__in=ordered)}


def _make_and_lock(ordered: list[Any]) -> None:
    if connection.vendor != "postgresql":  # SQLite has one writer; MariaDB locks while inserting
        there: set[Any] = set()
        if not connection.features.has_select_for_update:
            there.update(Inbox.objects.filter(pk__in=ordered).values_list("pk", flat=True))
        missing = [Inbox(recipient_id=pk) for pk in ordered if pk not in there]
        Inbox.objects.bulk_create(missing, ignore_conflicts=True, batch_size=500)
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {Inbox._meta.db_table} AS box (recipient_id, epoch)
            SELECT id, substr(md5(random()::text), 1, 8)
            FROM unnest(%s::{Inbox._meta.pk.rel_db_type(connection)}[]) AS wanted(id) ORDER BY id
            ON CONFLICT (recipient_id) DO UPDATE SET floor = box.floor
            """,  # noqa: S608 - names of our own table and type
            [as_array(ordered)],
        )


def save(boxes: Iterable[Inbox]) -> None:
    """Write version and counters of locked inboxes."""
    boxes = list(boxes)
    if len(boxes) == 1:
        values = {name: getattr(boxes[0], name) for name in (*_COUNTED, "active_at")}
        Inbox.objects.filter(pk=boxes[0].pk).update(**values)
    else:
        _write(boxes, _COUNTED)


def _write(rows: Sequence[Model], names: Iterable[str]) -> None:
    """What bulk_update() does, without its millisecond of Python for each row."""
    if not rows:
        return
    meta: Any = rows[0]._meta
    quoted = connection.ops.quote_name
    fields = [*map(meta.get_field, names), meta.pk]
    assigned = ", ".join(f"{quoted(field.column)} = %s" for field in fields[:-1])
    values = [
        [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {quoted(meta.db_table)} SET {assigned} WHERE {quoted(meta.pk.column)} = %s",  # noqa: S608
            values,
        )


def touch(rows: QuerySet[Notification], ids: Iterable[Any], **changes: Any) -> int:
    """Change rows of several recipients: a new version for each, counters counted anew.

    Returns how many rows changed. Their screens are told after commit.
    """
    ids = sorted(set(ids))
    with transaction.atomic():
        boxes = lock(ids)
        Inbox.objects.filter(pk__in=ids).update(version=F("version") + 1)
        version = Subquery(Inbox.objects.filter(pk=OuterRef("recipient_id")).values("version")[:1])
        changed = rows.filter(recipient__in=ids).update(version=version, **changes)
        recount(boxes)
        tell(ids)
    return changed


def recount(ids: Iterable[Any]) -> None:
    """Set the counters of locked inboxes to what their rows say."""
    boxes = list(Inbox.objects.filter(pk__in=list(ids)))
    rows = Notification.objects.filter(UNREAD | UNSEEN, recipient__in=[box.pk for box in boxes])
    counted = rows.order_by().values("recipient").annotate(**COUNTERS)
    found = {pk: numbers for pk, *numbers in counted.values_list("recipient", *COUNTERS)}
    for box in boxes:
        box.unread, box.unseen = found.get(box.pk, (0, 0))
    _write(boxes, COUNTERS)


def tell(ids: list[Any], event: int | None = None) -> None:
    """After commit, tell the screens of these recipients to look: one message, however many."""
    if not ids:
        return
    nudge = Nudge(f"inbox.{ids[0]}", "", 0, 0, b"") if len(ids) == 1 else _batch(ids, event)
    transaction.on_commit(lambda: publish(nudge), robust=True)


def _batch(ids: list[Any], event: int | None) -> Nudge:
    whom = {"ids": ids} if len(ids) <= _NAMED_IN_A_NUDGE else {"first": ids[0], "last": ids[-1]}
    return aside("batch", json.dumps({"event": event, **whom}, default=str).encode())


@dataclass(frozen=True)
class Added:
    """Rows written for an event: how many, and the row itself where it is only one."""

    count: int
    notification: Notification | None = None
    inbox: Inbox | None = None


def add(event: Event, ids: Sequence[Any], *, now: datetime | None = None) -> Added:
    """Write a row of `event` for each recipient in `ids` that has none, and tell their screens.

    Call it inside a transaction; inboxes are locked in primary-key order. A repeat adds nothing.
    """
    if not ids:
        return Added(0)
    now = now or timezone.now()
    ordered = sorted(ids)
    if event.collapse_key:
        added = _collapse(event, ordered, now)
    elif connection.vendor == "postgresql":
        added = _insert_set_wise(event, ordered, now)
    else:
        added = _insert(event, ordered, now)
    _tell_added(event, ordered, added)
    return added


# One statement however many recipients. Inboxes are raised in primary-key order; the rows are made
# from what was raised, so that both or neither happen. The range keeps the database from reading,
# chunk after chunk, all rows that the event has already.
_SET_WISE = """
WITH wanted AS (
    SELECT id FROM unnest(%(ids)s::{pk}[]) AS list(id)
), fresh AS (
    SELECT id FROM wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM {notification} WHERE event_id = %(event)s AND recipient_id = wanted.id
        AND recipient_id BETWEEN (SELECT id FROM wanted ORDER BY id LIMIT 1)
            AND (SELECT id FROM wanted ORDER BY id DESC LIMIT 1)
    )
    ORDER BY id
), raised AS (
    INSERT INTO {inbox} AS box
        (recipient_id, epoch, version, floor, unread, unseen, announced, delivered)
    SELECT id, substr(md5(random()::text), 1, 8), 1, 0, 1, 1, 0, 0 FROM fresh
    ON CONFLICT (recipient_id) DO UPDATE SET
        version = box.version + 1, unread = box.unread + 1, unseen = box.unseen + 1
    RETURNING recipient_id, epoch, version, unread, unseen
), written AS (
    INSERT INTO {notification} (event_id, recipient_id, version, created_at, arrived_at, expires_at)
    SELECT %(event)s, recipient_id, version, %(now)s, %(now)s, %(expires)s FROM raised
    RETURNING id, recipient_id
)
"""
_ONE = "SELECT id, epoch, version, unread, unseen FROM written JOIN raised USING (recipient_id)"
_MANY = "SELECT count(*) FROM written"


def _insert_set_wise(event: Event, ordered: list[Any], now: datetime) -> Added:
    values: dict[str, Any] = {
        "ids": as_array(ordered),
        "event": event.pk,
        "now": now,
        "expires": event.expires_at,
    }
    alone = len(ordered) == 1
    statement = _SET_WISE.format(
        pk=Inbox._meta.pk.rel_db_type(connection),
        inbox=Inbox._meta.db_table,
        notification=Notification._meta.db_table,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement + (_ONE if alone else _MANY), values)
        row = cursor.fetchone()
    if not alone:
        return Added(row[0])
    return _alone(event, ordered[0], now, row) if row else Added(0)


def _alone(event: Event, recipient: Any, now: datetime, row: tuple[Any, ...]) -> Added:
    pk, epoch, version, unread, unseen = row
    box = Inbox(recipient_id=recipient, epoch=epoch, version=version, unread=unread, unseen=unseen)
    return Added(1, _row(event, recipient, version, now, pk), box)


def _row(
    event: Event, recipient: Any, version: int, now: datetime, pk: int | None = None
) -> Notification:
    return Notification(
        pk=pk,
        event=event,
        recipient_id=recipient,
        version=version,
        created_at=now,
        arrived_at=now,
        expires_at=event.expires_at,
        collapse_key=_collapse_key(event),
        members=[event.pk] if event.collapse_key else [],
        actors=[event.actor_key] if event.collapse_key else [],
    )


def _insert(event: Event, ordered: list[Any], now: datetime) -> Added:
    boxes = lock(ordered)
    known = Notification.objects.filter(event=event, recipient__in=ordered)
    there = set(known.values_list("recipient_id", flat=True))
    fresh = [boxes[pk] for pk in ordered if pk not in there]
    if len(fresh) > 1:
        return _insert_many(event, [box.pk for box in fresh], now)
    rows = [_count_in(event, box, now) for box in fresh]
    Notification.objects.bulk_create(rows)
    save(fresh)
    return _added(rows, boxes)


def _insert_many(event: Event, ids: list[Any], now: datetime) -> Added:
    """As above, for locked inboxes and any database: raised in one statement, read in another."""
    raised = Inbox.objects.filter(pk__in=ids)
    raised.update(version=F("version") + 1, unread=F("unread") + 1, unseen=F("unseen") + 1)
    moments = [Value(moment, DateTimeField()) for moment in (now, now, event.expires_at)]
    rows = raised.order_by("pk").values_list("pk", "version", Value(event.pk), *moments)
    select, parameters = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Notification._meta.db_table} (recipient_id, version, event_id, "
            f"created_at, arrived_at, expires_at) {select}",
            parameters,
        )
    return Added(len(ids))


def _count_in(event: Event, box: Inbox, now: datetime) -> Notification:
    box.version, box.unread, box.unseen = box.version + 1, box.unread + 1, box.unseen + 1
    return _row(event, box.pk, box.version, now)


def _added(rows: list[Notification], boxes: dict[Any, Inbox]) -> Added:
    alone = rows[0] if len(rows) == 1 and len(boxes) == 1 and rows[0].pk else None
    return Added(len(rows), alone, boxes[alone.recipient_id] if alone else None)


def _collapse_key(event: Event) -> str:
    """Where the live row of these repeats is found: a key means the same within one type only."""
    return f"{event.type}:{event.collapse_key}" if event.collapse_key else ""


def _collapse(event: Event, ordered: list[Any], now: datetime) -> Added:
    """Fold the event into the live row of its collapse key; where there is none, make it."""
    boxes = lock(ordered)
    live = {
        row.recipient_id: row
        for row in Notification.objects.filter(
            recipient__in=ordered,
            collapse_key=_collapse_key(event),
            archived_at__isnull=True,
            removed_at__isnull=True,
        )
    }
    repeated = [row for row in live.values() if event.pk not in row.members]
    for row in repeated:
        _fold(event, row, boxes[row.recipient_id], now)
    fresh = [_count_in(event, boxes[pk], now) for pk in ordered if pk not in live]
    _write(repeated, _FOLDED)
    Notification.objects.bulk_create(fresh, batch_size=1000)
    save(boxes.values())
    return _added([*repeated, *fresh], boxes)


def _fold(event: Event, row: Notification, box: Inbox, now: datetime) -> None:
    """One more of the same: the row counts up, moves up, and is new and unread again."""
    box.version += 1
    if row.is_listed:
        box.unread += row.read_at is not None
        box.unseen += row.seen_at is not None
    row.event, row.version, row.count = event, box.version, row.count + 1
    row.members = [*row.members, event.pk][-_MEMBERS_AT_MOST:]
    row.actors = [*dict.fromkeys([*row.actors, event.actor_key])][-_MEMBERS_AT_MOST:]
    row.arrived_at, row.expires_at = now, event.expires_at
    row.seen_at = row.read_at = None


def _tell_added(event: Event, ordered: list[Any], added: Added) -> None:
    if added.notification is None or added.inbox is None:
        if added.count:
            tell(ordered, event.pk)
        return
    row, box = added.notification, added.inbox
    item = items.render(row, items.language_of(row.recipient) if items.speaks() else None)
    frame = frames.change(
        "inbox",
        epoch=box.epoch,
        after=box.version - 1,
        version=box.version,
        items=[item],
        counts={"unread": box.unread, "unseen": box.unseen},
        message=None if event.public_version else item["message"],  # open screens had it already
    )
    nudge = Nudge(f"inbox.{box.pk}", box.epoch, box.version - 1, box.version, frame)
    transaction.on_commit(lambda: publish(nudge), robust=True)


def admit(ids: Iterable[Any]) -> None:
    """Make the rows of announcements that these recipients don't have yet."""
    current = PublicStream.objects.values_list("version", flat=True).first() or 0
    if not current:
        return
    with transaction.atomic():
        behind = {pk: box for pk, box in lock(ids).items() if box.announced < current}
        for event in _announcements_since(behind.values()):
            if event.retracted_at is None:
                add(event, _owed(event, behind), now=event.created_at)
            else:  # its row may have been made while it was being taken back
                rows = Notification.objects.filter(event=event, removed_at__isnull=True)
                late = rows.filter(recipient__in=list(behind))
                touch(late, late.values_list("recipient", flat=True), removed_at=timezone.now())
        Inbox.objects.filter(pk__in=list(behind)).update(announced=current)


def _announcements_since(boxes: Iterable[Inbox]) -> list[Event]:
    oldest = min((box.announced for box in boxes), default=None)
    if oldest is None:
        return []
    unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    newest = Event.objects.filter(unexpired, public_version__gt=oldest)
    return list(newest.order_by("-public_version")[:_ANNOUNCEMENTS_AT_MOST])[::-1]


def _owed(event: Event, behind: dict[Any, Inbox]) -> list[Any]:
    """Who of them was here already when it was announced, and didn't get it."""
    actor = None if event.include_actor else event.actor_user_id
    ids = [
        pk
        for pk, box in behind.items()
        if box.announced < (event.public_version or 0) and str(pk) != actor
    ]
    if not users_have("date_joined"):
        return ids
    joined = get_user_model()._base_manager.filter(pk__in=ids, date_joined__lte=event.created_at)
    return list(joined.values_list("pk", flat=True))
