"""The one place where an inbox is locked, its version raised and its counters set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F, OuterRef, QuerySet, Subquery

from clarion.models import UNREAD, UNSEEN, Inbox, Notification
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge, aside

COUNTERS = {"unread": Count("pk", filter=UNREAD), "unseen": Count("pk", filter=UNSEEN)}
_NAMED_IN_A_NUDGE = 100  # recipients; more are told by range


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
        Inbox.objects.bulk_create(
            [Inbox(recipient_id=pk) for pk in ordered], ignore_conflicts=True, batch_size=500
        )
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {Inbox._meta.db_table} AS box (recipient_id, epoch)
            SELECT id, substr(md5(random()::text), 1, 8)
            FROM unnest(%s::{Inbox._meta.pk.rel_db_type(connection)}[]) AS wanted(id) ORDER BY id
            ON CONFLICT (recipient_id) DO UPDATE SET floor = box.floor
            """,  # noqa: S608 - names of our own table and type
            [ordered],
        )


def save(boxes: Iterable[Inbox]) -> None:
    """Write version and counters of locked inboxes."""
    boxes = list(boxes)
    if len(boxes) == 1:
        Inbox.objects.filter(pk=boxes[0].pk).update(
            version=boxes[0].version, unread=boxes[0].unread, unseen=boxes[0].unseen
        )
    else:
        Inbox.objects.bulk_update(boxes, ["version", "unread", "unseen"], batch_size=500)


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
    ids = list(ids)
    found = {
        row["recipient"]: row
        for row in Notification.objects.filter(recipient__in=ids)
        .filter(UNREAD | UNSEEN)
        .values("recipient")
        .order_by()
        .annotate(**COUNTERS)
    }
    boxes = list(Inbox.objects.filter(pk__in=ids))
    for box in boxes:
        row = found.get(box.pk, {"unread": 0, "unseen": 0})
        box.unread, box.unseen = row["unread"], row["unseen"]
    Inbox.objects.bulk_update(boxes, ["unread", "unseen"], batch_size=500)


def tell(ids: list[Any], event: int | None = None) -> None:
    """After commit, tell the screens of these recipients to look: one message, however many."""
    if not ids:
        return
    nudge = Nudge(f"inbox.{ids[0]}", "", 0, 0, b"") if len(ids) == 1 else _batch(ids, event)
    transaction.on_commit(lambda: publish(nudge), robust=True)


def _batch(ids: list[Any], event: int | None) -> Nudge:
    whom = {"ids": ids} if len(ids) <= _NAMED_IN_A_NUDGE else {"first": ids[0], "last": ids[-1]}
    return aside("batch", json.dumps({"event": event, **whom}, default=str).encode())


def mine(recipient: Any) -> QuerySet[Notification]:
    """The rows of one recipient, given as a user or a primary key."""
    return Notification.objects.filter(recipient=getattr(recipient, "pk", recipient))
