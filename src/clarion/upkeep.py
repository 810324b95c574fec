"""What time and other programs do to inboxes, and keeping them true and small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from clarion.ledger import COUNTERS, RETIRED, lock, recount, tell, touch
from clarion.models import (
    SNOOZED,
    UNREAD,
    UNSEEN,
    Delivery,
    Event,
    Inbox,
    Notification,
    PublicStream,
    new_epoch,
)

_CHUNK = 500


@dataclass(frozen=True)
class Drift:
    """An inbox whose numbers are not what its rows say."""

    recipient: Any
    stored: dict[str, int]
    actual: dict[str, int]


def stamp(limit: int = 1000) -> int:
    """Stamp rows that were saved in any other way, which publishes them. Returns how many."""
    unstamped = Notification.objects.filter(version__isnull=True)
    found = list(unstamped.order_by("pk").values_list("pk", "recipient_id")[:limit])
    if not found:
        return 0
    rows = unstamped.filter(pk__in=[pk for pk, _ in found])
    return touch(rows, {recipient for _, recipient in found})


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
    key = f"{event.type}:{event.collapse_key}"
    folded = Notification.objects.filter(
        collapse_key__in=[key, f"{RETIRED}{key}"], removed_at__isnull=True, count__gt=1
    )
    rows = [row for row in folded.iterator() if event.pk in row.members][:limit]
    for row in rows:
        with transaction.atomic():
            lock([row.recipient_id])  # other repeats may come in and be taken back just now
            _take_out(event, folded.filter(pk=row.pk))
    return len(rows)


def _take_out(event: Event, found: QuerySet[Notification]) -> None:
    for row in found:
        members = [member for member in row.members if member != event.pk]
        if len(members) < len(row.members):
            left = {event.pk: event for event in Event.objects.filter(pk__in=members)}
            keys = dict.fromkeys(left[pk].actor_key for pk in members if pk in left)
            touch(
                found, [row.recipient_id],
                members=members, actors=[*keys], count=row.count - 1, event=members[-1],
            )  # fmt: skip


def prune(before: datetime, *, limit: int = 1000) -> int:
    """Delete up to `limit` rows that last arrived before a time, and tombstones older than a day.

    Clients that were away since then get a fresh start: the floor of their inbox rises to the
    newest version that was deleted. Pinned and snoozed rows stay. Call it until it returns 0.
    """
    day_ago = timezone.now() - timedelta(days=1)
    old = Q(arrived_at__lt=before, pinned=False, snoozed_until__isnull=True, version__isnull=False)
    found = list(
        Notification.objects.filter(old | Q(removed_at__lt=min(before, day_ago)))
        .order_by("pk")
        .values_list("pk", "recipient_id")[:limit]
    )
    if found:
        _delete([pk for pk, _ in found], sorted({recipient for _, recipient in found}))
    return len(found)


def _delete(rows: list[int], recipients: list[Any]) -> None:
    doomed = Notification.objects.filter(pk__in=rows)
    with transaction.atomic():
        lock(recipients)
        newest = doomed.order_by().values("recipient").annotate(newest=Max("version"))
        for row in newest:
            Inbox.objects.filter(pk=row["recipient"], floor__lt=row["newest"]).update(
                floor=row["newest"]
            )
        listed = set(doomed.filter(UNREAD | UNSEEN).values_list("recipient_id", flat=True))
        doomed._raw_delete(doomed.db)
        Inbox.objects.filter(pk__in=listed).update(version=F("version") + 1)
        recount(listed)
        tell(sorted(listed))


def prune_events(before: datetime, *, limit: int = 1000) -> int:
    """Delete events that are over, older than a time, and concern nobody any more."""
    over = Event.objects.filter(
        created_at__lt=before, due_at__isnull=True, notifications__isnull=True, key__isnull=True
    ).exclude(deliveries__outcome=Delivery.Outcome.PENDING)
    ids = list(over.values_list("pk", flat=True)[:limit])
    Event.objects.filter(pk__in=ids).delete()
    return len(ids)


def verify() -> Iterator[Drift]:
    """Compare every inbox with its rows, in chunks; yield those that differ."""
    last: Any = None
    while chunk := _chunk_after(last):
        last = chunk[-1].pk
        actual = _actual([box.pk for box in chunk])
        for box in chunk:
            stored = {"unread": box.unread, "unseen": box.unseen, "version": box.version}
            counted = dict(zip(stored, actual.get(box.pk, (0, 0, 0)), strict=True))
            ahead = max(counted["version"] or 0, box.version)  # rows lag behind, never lead
            if stored != {**counted, "version": ahead}:
                yield Drift(box.pk, stored, {**counted, "version": ahead})


def _chunk_after(last: Any) -> list[Inbox]:
    boxes = Inbox.objects.order_by("pk")
    return list((boxes if last is None else boxes.filter(pk__gt=last))[:_CHUNK])


def _actual(ids: list[Any]) -> dict[Any, tuple[int, int, int]]:
    """Unread, unseen and the newest version of each recipient that has rows."""
    rows = Notification.objects.filter(recipient__in=ids).order_by().values("recipient")
    counted = rows.annotate(**COUNTERS, newest=Max("version"))
    return {row[0]: row[1:] for row in counted.values_list("recipient", *COUNTERS, "newest")}


def repair() -> int:
    """Set right every inbox that `verify` finds, with a new epoch. Returns how many."""
    drifts = list(verify())
    for drift in drifts:
        with transaction.atomic():
            box = lock([drift.recipient])[drift.recipient]
            box.version = max(box.version, drift.actual["version"]) + 1
            box.epoch = new_epoch()
            box.save(update_fields=["version", "epoch"])
            recount([box.pk])
            tell([box.pk])
    return len(drifts)


def renew_epoch() -> int:
    """Give every inbox and the public stream a new epoch: after a backup was restored.

    Versions that clients saw may not have happened any more; each gets a fresh start.
    """
    renewed = 0
    for row in [*Inbox.objects.iterator(), *PublicStream.objects.all()]:
        renewed += type(row).objects.filter(pk=row.pk).update(epoch=new_epoch())  # type: ignore[attr-defined]
    return renewed


def forget(recipient: Any) -> None:
    """A row was deleted behind our back: clients get a fresh start, counters are counted anew."""
    with transaction.atomic():
        held = Inbox.objects.select_for_update().filter(pk=recipient)
        if held.update(version=F("version") + 1, floor=F("version") + 1):
            recount([recipient])
            tell([recipient])
