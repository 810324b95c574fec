"""What every runner does when it is woken."""

from __future__ import annotations

from clarion import fanout, upkeep


def sweep() -> int:
    """Do what is due: events, rows saved in other ways, snoozes, expiries. Returns how much."""
    return fanout.run_due() + upkeep.stamp() + upkeep.wake_snoozed() + upkeep.expire()
