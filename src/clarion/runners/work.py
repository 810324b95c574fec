"""What every runner does when it is woken."""

from __future__ import annotations

from django.utils import timezone

from clarion import fanout, outbox, upkeep
from clarion.models import SNOOZED, Delivery, Event, Notification

AT_ONCE = 50
"""Deliveries in one claim: few, so that who is told to stop does soon, and others get some."""


def sweep() -> int:
    """Do all that is due. Returns how much."""
    return sweep_events() + outbox.deliver_due()


def sweep_events() -> int:
    """Events, rows saved in other ways, snoozes, expiries: what never waits for another server."""
    return fanout.run_due() + upkeep.stamp() + upkeep.wake_snoozed() + upkeep.expire()


def look_for_events() -> int:
    """`sweep_events` for those who ask every second: one query when nothing is due."""
    return sweep_events() if _are_events_due() else 0


def _are_events_due() -> bool:
    """Whether `sweep_events` would find anything."""
    now = timezone.now()
    events = Event.objects.filter(due_at__lte=now)
    rows = Notification.objects.all()
    looks = [
        rows.filter(version__isnull=True),
        rows.filter(SNOOZED, snoozed_until__lte=now),
        rows.filter(expires_at__lte=now, archived_at__isnull=True, removed_at__isnull=True),
    ]
    others = [look.order_by().values_list("pk") for look in looks]
    return bool(events.order_by().values_list("pk").union(*others, all=True)[:1])


def deliver() -> int:
    """Send some of what is due. Returns how much; one query when there is nothing."""
    # Both values, so that the index on (bulk, due_at) is used.
    due = Delivery.objects.filter(bulk__in=(False, True), due_at__lte=timezone.now())
    return outbox.deliver_due(AT_ONCE) if due.exists() else 0
