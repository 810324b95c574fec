"""A thread in the serving process: all that a site in one process needs.

Several processes may each have one; they share the work by claims in the database.
"""

from __future__ import annotations

import logging
import os
import threading

from django.db import close_old_connections

from clarion.conf import settings
from clarion.runner import Runner
from clarion.runners.work import sweep

logger = logging.getLogger("clarion")

_PAUSE_AFTER_A_FAULT = 5.0  # seconds


class EmbeddedRunner(Runner):
    """Wakes at once when told, and every SWEEP_INTERVAL for what other programs committed."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget) if hasattr(
            os, "register_at_fork"
        ) else None

    def wake(self) -> None:
        self.ensure()
        self._woken.set()

    def ensure(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="clarion", daemon=True)
                self._thread.start()

    def _forget(self) -> None:
        """A forked child has none of its parent's threads, and must not wait for its locks."""
        self._woken, self._lock, self._thread = threading.Event(), threading.Lock(), None

    def _run(self) -> None:
        while True:
            self._woken.wait(settings.SWEEP_INTERVAL)
            self._woken.clear()
            self._sweep()

    def _sweep(self) -> None:
        close_old_connections()
        try:
            while sweep():
                continue
        except Exception:  # a database that is away comes back
            logger.exception("the sweep failed; it is tried again")
            self._woken.wait(_PAUSE_AFTER_A_FAULT)
        finally:
            close_old_connections()
