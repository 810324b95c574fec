"""Threads in the serving process: all that a site in one process needs.

Several processes may each have them; they share the work by claims in the database.
"""

from __future__ import annotations

import atexit

from clarion.conf import settings
from clarion.runner import Runner
from clarion.runners import work
from clarion.runners.loop import Loop

_PATIENCE = 5.0  # seconds that the end of the process waits for what is being sent


class EmbeddedRunner(Runner):
    """Wakes at once when told, and every SWEEP_INTERVAL for what other programs committed.

    A slow mail server holds up mail alone: what goes to screens has a thread of its own. Others
    send, `senders` of them, where CLARION['CHANNELS'] names any channel.
    """

    def __init__(self, senders: int = 1) -> None:
        self.events = Loop("clarion-events", work.look_for_events)
        self.deliveries = [
            Loop(f"clarion-deliveries-{number}", work.deliver)
            for number in range(1, senders + 1 if settings.CHANNELS else 1)
        ]
        atexit.register(self.stop, _PATIENCE)

    def wake(self) -> None:
        for loop in self._loops():
            loop.wake()

    def ensure(self) -> None:
        for loop in self._loops():
            loop.start()

    def stop(self, timeout: float | None = None) -> None:
        for loop in self._loops():
            loop.stop()
        for loop in self._loops():
            loop.join(timeout)

    def _loops(self) -> list[Loop]:
        return [self.events, *self.deliveries]
