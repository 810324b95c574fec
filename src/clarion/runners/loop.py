"""A thread that works until nothing is left, whenever it is woken and now and then."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from django.db import connections

from clarion.conf import settings

logger = logging.getLogger("clarion")

_PAUSE_AFTER_A_FAULT = 5.0  # seconds
_BETWEEN_COMPLAINTS = 60.0
_CONNECTION_AGE = 60.0


class Loop:
    """One thread of this process; a forked child has its own. Use it from any thread.

    Args:
        name: of the thread.
        work: does some of what there is to do, and returns how much; 0 when nothing is left. What
            it raises is logged, and it is called again after a pause.
        polls: whether it is called every SWEEP_INTERVAL, too, without being woken.
    """

    def __init__(self, name: str, work: Callable[[], int], *, polls: bool = True) -> None:
        self.name = name
        self.done = 0  # sum of what `work` returned
        self._work = work
        self._polls = polls
        self._complain_at = 0.0
        self.forget_thread()
        _loops.add(self)

    def forget_thread(self) -> None:
        """A forked child has none of its parent's threads, and must not wait for its locks."""
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None
        self._woken = self._working = self._stopping = self._failed = False
        self._close_at = 0.0

    def start(self) -> None:
        """Have the thread run, unless it was stopped. It looks for work at once, if it polls."""
        with self._state:
            if not self._stopping and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """There is something to do. Returns at once; what comes in while it works is seen after."""
        with self._state:
            self._woken = True
            self._state.notify_all()
            self.start()

    def stop(self) -> None:
        """Have the thread end when it has finished what it holds. See `join`."""
        with self._state:
            self._stopping = True
            self._state.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, for `timeout` seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)

    def rest(self, timeout: float) -> bool:
        """Wait until it did all it was woken for, or failed. Returns whether within `timeout`."""
        with self._state:
            return self._state.wait_for(self._is_resting, timeout)

    def _run(self) -> None:
        pause = 0.0 if self._polls else None
        while self._is_time(pause):
            self._failed = not self._work_off()
            self._let_go()
            pause = settings.SWEEP_INTERVAL if self._polls else None
            pause = _PAUSE_AFTER_A_FAULT if self._failed else pause
        connections.close_all()

    def _is_time(self, pause: float | None) -> bool:
        """Wait for it. Returns whether to go on."""
        with self._state:
            self._working = False
            self._state.notify_all()
            self._state.wait_for(self._is_wanted, pause)
            self._working, self._woken = not self._stopping, False
            return not self._stopping

    def _is_wanted(self) -> bool:
        return self._stopping or (self._woken and not self._failed)

    def _is_resting(self) -> bool:
        return not self._working and (self._stopping or self._failed or not self._woken)

    def _work_off(self) -> bool:
        """Work until nothing is left. Returns whether that went well: a database comes back."""
        try:
            while (count := self._work()) and not self._stopping:
                self.done += count
            self.done += count
        except Exception:
            if self._may_complain():
                logger.exception("%s failed; it is tried again", self.name)
            return False
        return True

    def _may_complain(self) -> bool:
        """Once a minute is enough: what failed will fail again."""
        now = time.monotonic()
        if now < self._complain_at:
            return False
        self._complain_at = now + _BETWEEN_COMPLAINTS
        return True

    def _let_go(self) -> None:
        """Looking every second needs no new connection each time; but none is kept for ever."""
        now = time.monotonic()
        opened = connections.all(initialized_only=True)
        pooled = any("pool" in each.settings_dict["OPTIONS"] for each in opened)
        comes_back = self._polls or self._woken
        if self._failed or pooled or not comes_back or now > self._close_at:
            connections.close_all()
            self._close_at = now + _CONNECTION_AGE


_loops: WeakSet[Loop] = WeakSet()


def _forget_threads() -> None:
    for loop in _loops:
        loop.forget_thread()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_threads)
