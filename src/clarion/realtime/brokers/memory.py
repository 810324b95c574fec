"""Within one process: from any thread to any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clarion.realtime.brokers.base import Broker, Line, Receive


class MemoryBroker(Broker):
    """For sites that run in one process, and for tests."""

    def __init__(self) -> None:
        self._lines: tuple[MemoryLine, ...] = ()

    def publish(self, topic: str, data: bytes) -> None:
        for line in self._lines:
            if topic in line.topics:
                line.hand_over(data)

    def attach(self, receive: Receive, resync: Callable[[], None]) -> Line:
        line = MemoryLine(self, receive)
        self._lines = (*self._lines, line)
        return line

    def remove(self, line: MemoryLine) -> None:
        self._lines = tuple(other for other in self._lines if other is not line)


class MemoryLine(Line):
    def __init__(self, broker: MemoryBroker, receive: Receive) -> None:
        self.topics: set[str] = set()
        self._broker, self._receive = broker, receive
        self._loop = asyncio.get_running_loop()

    def hand_over(self, data: bytes) -> None:
        try:
            self._loop.call_soon_threadsafe(self._receive, data)
        except RuntimeError:  # its loop has ended without a word
            self._broker.remove(self)

    async def subscribe(self, topic: str) -> None:
        self.topics.add(topic)

    async def unsubscribe(self, topic: str) -> None:
        self.topics.discard(topic)

    async def close(self) -> None:
        self._broker.remove(self)
