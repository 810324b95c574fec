"""Tasks of Django (6.0 on) or of its backport `django-tasks`: the site's backend does the work.

Such backends keep no time table: `manage.py clarion_worker --once`, called by cron, finds what
falls due later and what they weren't told of.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import django

from clarion.conf import settings
from clarion.runners import work
from clarion.runners.remote import RemoteRunner

tasks: Any = import_module("django.tasks" if django.VERSION >= (6, 0) else "django_tasks")
_task: Callable[[Callable[[], None]], Any] = tasks.task


class DjangoTasksRunner(RemoteRunner):
    """Enqueues a task for what goes to screens, and where there are channels one for them."""

    def tell(self) -> None:
        for task in (sweep, deliver) if settings.CHANNELS else (sweep,):
            task.enqueue()


@_task
def sweep() -> None:
    """Fan out, stamp, wake and expire until nothing is due."""
    while work.look_for_events():
        continue


@_task
def deliver() -> None:
    """Send until nothing is due."""
    while work.deliver():
        continue
