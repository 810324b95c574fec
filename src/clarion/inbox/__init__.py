"""A person's inbox: rows, counters and versions, which change together under one lock.

Everything below takes a user (or a primary key of one) and touches only that person's rows.
"""

from clarion.inbox.adding import Added, add, admit, stamp
from clarion.inbox.marking import (
    Change,
    acknowledge,
    archive,
    expire,
    mark,
    mark_all_read,
    mark_read,
    mark_seen,
    mark_unread,
    pin,
    remove,
    snooze,
    unarchive,
    unpin,
    unsnooze,
    wake_snoozed,
)
from clarion.inbox.reading import (
    CatchUp,
    Counts,
    Page,
    catch_up,
    counts,
    credentials,
    page,
    position,
    public_catch_up,
    public_position,
)
from clarion.inbox.upkeep import Drift, forget, prune, prune_events, renew_epoch, repair, verify

__all__ = [
    "Added", "CatchUp", "Change", "Counts", "Drift", "Page",
    "acknowledge", "add", "admit", "archive", "catch_up", "counts", "credentials", "expire", "forget",
    "mark", "mark_all_read", "mark_read", "mark_seen", "mark_unread", "page", "pin", "position",
    "prune", "prune_events", "public_catch_up", "public_position", "remove", "renew_epoch", "repair", "snooze",
    "stamp", "unarchive", "unpin", "unsnooze", "verify", "wake_snoozed",
]  # fmt: skip
