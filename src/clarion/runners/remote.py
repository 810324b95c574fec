"""Runners whose work is done by other processes: how these are told, without holding up anybody."""

from __future__ import annotations

import atexit
import time
from abc import abstractmethod

from clarion.runner import Runner
from clarion.runners.loop import Loop

_BETWEEN = 0.05  # seconds between two messages, however many requests commit
_PATIENCE = 2.0  # seconds that the end of the process waits for the last message


class RemoteRunner(Runner):
    """Tells the workers from a thread of its own, whatever state their broker is in.

    A thousand calls become a few messages; the last call is always followed by one. While nobody
    can be told it goes on trying: a delay, since workers look for themselves, too.
    """

    def __init__(self) -> None:
        self.teller = Loop("clarion-wake", self._tell, polls=False)
        atexit.register(self.teller.rest, _PATIENCE)

    @abstractmethod
    def tell(self) -> None:
        """Tell the workers that something is due. It may take its time, and raise anything."""

    def wake(self) -> None:
        self.teller.wake()

    def stop(self, timeout: float | None = None) -> None:
        self.teller.stop()
        self.teller.join(timeout)

    def _tell(self) -> int:
        self.tell()
        time.sleep(_BETWEEN)
        return 0
