"""What every runner does when it is woken."""

from __future__ import annotations

from clarion import fanout, outbox, upkeep


def sweep() -> int:
    """Do all that is due. Returns how much."""
    return sweep_events() + outbox.deliver_due()


def sweep_events() -> int:
    """Events, rows saved in other ways, snoozes, expiries: what never waits for another server."""
    return fanout.run_due() + upkeep.stamp() + upkeep.wake_snoozed() + upkeep.expire()
