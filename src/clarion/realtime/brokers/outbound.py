"""One thread that sends what all other threads publish, so that no request waits for a broker."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from clarion.realtime.brokers.base import FIRST_PAUSE, LONGEST_PAUSE

logger = logging.getLogger("clarion")

Message = tuple[str, bytes]

_HELD_AT_MOST = 10_000  # messages; beyond that they are dropped, and the database heals
_SENT_AT_ONCE = 256


class Outbound:
    """A bounded queue and its thread, started by the first message in each process.

    While sending fails, what is queued is thrown away: it is only hints, and must not pile up.
    """

    def __init__(self, make_send: Callable[[], Callable[[Sequence[Message]], None]]) -> None:
        """`make_send` is called in the thread, once after each fault, for a function that sends."""
        self._make_send = make_send
        self._reset()
        me = weakref.ref(self)
        if hasattr(os, "register_at_fork"):
            # A forked child has neither the thread nor a socket of its own.
            os.register_at_fork(after_in_child=lambda: _with(me, Outbound._reset))
        atexit.register(lambda: _with(me, lambda it: it.flush(1.0)))

    def _reset(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._sent = False  # anything since the last fault

    def put(self, topic: str, data: bytes) -> None:
        """Queue a message. Never blocks, never raises."""
        if self._queue.qsize() >= _HELD_AT_MOST:
            return
        self._queue.put((topic, data))
        if self._thread is None:
            self._start()

    def flush(self, seconds: float) -> None:
        """Wait until all is sent, but not longer than `seconds`: a command that ends right away."""
        until = time.monotonic() + seconds
        while self._thread and (self._busy or not self._queue.empty()):
            if time.monotonic() > until:
                return
            time.sleep(0.002)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clarion-out", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread = None

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                self._pump(self._make_send())
            except Exception as error:  # noqa: BLE001 - the database heals what isn't sent
                logger.warning("nudges can't be published (%r); trying again", error)
            pause = FIRST_PAUSE if self._sent else min(pause * 2, LONGEST_PAUSE)
            self._rest(pause)

    def _pump(self, send: Callable[[Sequence[Message]], None]) -> None:
        self._sent = False
        while True:
            self._busy = False
            batch = [self._queue.get()]
            self._busy = True
            while len(batch) < _SENT_AT_ONCE and not self._queue.empty():
                batch.append(self._queue.get())
            send(batch)
            self._sent = True

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                self._queue.get(timeout=left)
            except queue.Empty:
                return


def _with(reference: weakref.ref[Outbound], act: Callable[[Outbound], None]) -> None:
    """For hooks that the interpreter keeps for ever: they must not keep a broker."""
    alive = reference()
    if alive is not None:
        act(alive)
