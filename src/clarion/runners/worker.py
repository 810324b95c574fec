"""For processes that leave the work to `manage.py clarion_worker`.

On PostgreSQL the workers are told at once, by NOTIFY; elsewhere they look every SWEEP_INTERVAL.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from clarion.models import Event
from clarion.runners.loop import Loop
from clarion.runners.remote import RemoteRunner

_CHANNEL = "clarion_wake"  # in PostgreSQL's sense
_ASK_AGAIN = 60.0  # seconds: whoever dropped our LISTEN has it again


class WorkerRunner(RemoteRunner):
    """Does nothing itself."""

    def wake(self) -> None:
        if _connection().vendor == "postgresql":
            super().wake()

    def tell(self) -> None:
        with _connection().cursor() as cursor:
            cursor.execute(f"NOTIFY {_CHANNEL}")


def listener(wake: Callable[[], None]) -> Loop | None:
    """A loop, not started, that calls `wake` when a `WorkerRunner` tells; None where none can."""
    return Loop("clarion-listen", partial(_listen, wake)) if _can_listen() else None


def _can_listen() -> bool:
    if _connection().vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


def _listen(wake: Callable[[], None]) -> int:
    connection = _connection()
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {_CHANNEL}")
    wake()  # for what was said while nobody listened
    for _ in connection.connection.notifies(timeout=_ASK_AGAIN):
        wake()
    return 1  # there is always more to hear


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(Event)]
