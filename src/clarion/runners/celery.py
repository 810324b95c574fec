"""Celery workers do the work; their beat looks for what they weren't told of.

    app.conf.beat_schedule = beat_schedule()

A task carries nothing: it looks into the database for what is due. So none can be lost, late or
doubled to any harm, and a broker that forgets everything costs a few seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

from celery import shared_task
from celery.schedules import crontab

from clarion import runner
from clarion.conf import settings
from clarion.runners.remote import RemoteRunner

# This module may be imported by the site's settings: models are imported where they are used.

logger = logging.getLogger("clarion")

_LONGEST = 30.0  # seconds that a task sends before other tasks have their turn
_STALE = 60.0  # seconds: while no worker runs, no more messages than of a minute pile up
_SOON = {"max_retries": 1, "interval_start": 0, "interval_step": 0}  # a connection may have died


class CeleryRunner(RemoteRunner):
    """Sends a task for what goes to screens, and where there are channels one for them."""

    def tell(self) -> None:
        for task in (sweep, deliver) if settings.CHANNELS else (sweep,):
            task.apply_async(expires=_STALE, retry=True, retry_policy=_SOON)


def beat_schedule(seconds: float = 5.0) -> dict[str, dict[str, Any]]:
    """Entries for Celery's `beat_schedule`: look every `seconds`, prune at night."""
    often = {"schedule": seconds, "options": {"expires": _STALE}}
    nightly = {"schedule": crontab(hour=3, minute=17), "options": {"expires": 6 * 3600}}
    return {
        "clarion.sweep": {"task": "clarion.sweep", **often},
        "clarion.deliver": {"task": "clarion.deliver", **often},
        "clarion.prune": {"task": "clarion.prune", **nightly},
    }


def _task(name: str) -> Callable[[Callable[[], None]], Any]:
    """Make a task of whatever Celery app the site has."""
    made: Callable[[Callable[[], None]], Any] = shared_task(
        name=name, acks_late=True, reject_on_worker_lost=True, ignore_result=True
    )
    return made


@_task("clarion.sweep")
def sweep() -> None:
    """Fan out, stamp, wake and expire until nothing is due."""
    from clarion.runners import work

    while work.look_for_events():
        continue


@_task("clarion.deliver")
def deliver() -> None:
    """Send until nothing is due, or for half a minute. Where there is much, another one helps."""
    from clarion.runners import work

    until = time.monotonic() + _LONGEST
    called = False
    while count := work.deliver():
        is_last = time.monotonic() > until
        if not called and (is_last or count >= work.AT_ONCE):
            called = True
            runner.wake()
        if is_last:
            return


@_task("clarion.prune")
def prune() -> None:
    """Delete what is older than CLARION['RETENTION_DAYS'], if that is set."""
    from django.core.management import call_command

    if settings.RETENTION_DAYS is not None:
        call_command("clarion_prune", stdout=(said := StringIO()))
        logger.info(said.getvalue().strip())
