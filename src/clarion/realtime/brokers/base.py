"""The contract of a broker, and what those over a network have in common."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings

logger = logging.getLogger("clarion")

Receive = Callable[[bytes], None]

PROBE_INTERVAL = 1.0  # seconds between two messages to ourselves; one that stays out is a dead line
PATIENCE = 1.0  # seconds for any single call to what the broker stands on
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts to come back


class Broker(ABC):
    """Carries bytes from any thread of any process to every line that holds their topic.

    At most once: a message may be lost (the hub finds out by versions), but must not be waited for.
    """

    @abstractmethod
    def publish(self, topic: str, data: bytes) -> None:
        """Send `data` to the lines of `topic`. From any thread; never blocks and never raises."""

    @abstractmethod
    def attach(self, receive: Receive, resync: Callable[[], None]) -> Line:
        """Open a line for the running event loop.

        `receive` is called in that loop with each message. `resync` is called when messages may
        have been lost, as after a broken connection.
        """


class Line(ABC):
    """One event loop's subscriptions."""

    healthy: bool = True
    """False while messages are known not to come through."""

    @abstractmethod
    async def subscribe(self, topic: str) -> None:
        """Hold `topic`. Returns when messages come, or after a second when they don't."""

    @abstractmethod
    async def unsubscribe(self, topic: str) -> None:
        """Let go of `topic`."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. The line is not used again."""


class RemoteLine(Line):
    """A line over a network: comes back after any fault, and tests itself by its own messages."""

    def __init__(self, receive: Receive, resync: Callable[[], None]) -> None:
        self.healthy = False
        self.topics: set[str] = set()
        self.probe = f"probe.{os.getpid()}.{os.urandom(4).hex()}"
        self._receive, self._resync = receive, resync
        self._answered = 0.0
        self._loop = asyncio.get_running_loop()
        self._connected = asyncio.Event()
        self._task = self._loop.create_task(self._stay())

    @abstractmethod
    async def _connect(self) -> None:
        """Open a new connection and hold all of `self.topics` and `self.probe`."""

    @abstractmethod
    async def _listen(self) -> None:
        """Pass messages to `self._hear` until the connection fails."""

    @abstractmethod
    async def _send_probe(self) -> None:
        """Send b"" to `self.probe`."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Drop whatever is left of the connection."""

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _stay(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(PATIENCE * 2):
                    await self._connect()
                pause = FIRST_PAUSE
                await self._serve()
            except Exception as error:  # noqa: BLE001 - whatever a broker raises, we come back
                self._lost(error)
            finally:
                await self._drop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _serve(self) -> None:
        self._answered = self._loop.time()
        self._connected.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            sent = self._loop.time()
            async with asyncio.timeout(PATIENCE):
                await self._send_probe()
            await asyncio.sleep(PROBE_INTERVAL)
            if self._answered >= sent:
                continue
            raise TimeoutError("the broker did not return a message to ourselves")

    def _hear(self, topic: str, data: bytes) -> None:
        if topic == self.probe:
            self._answered = self._loop.time()
            if not self.healthy:
                self._found()
        elif data:
            self._receive(data)

    def _found(self) -> None:
        """Messages come through again; whatever was sent meanwhile is asked of the database."""
        self.healthy = True
        self._resync()

    def _lost(self, error: Exception) -> None:
        if self.healthy:
            logger.warning("broker lost, screens are fed from the database: %r", _cause(error))
        was, self.healthy = self.healthy, False
        if was:
            self._resync()

    async def _drop(self) -> None:
        self._connected.clear()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._disconnect()
        except Exception as error:  # noqa: BLE001 - it is broken anyway
            logger.debug("while dropping a broken line: %r", error)


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def namespaced(topic: str) -> str:
    """The name of `topic` outside. Sites that share a Redis don't hear each other: keys differ."""
    secret: Any = django_settings.SECRET_KEY
    space = hashlib.blake2s(str(secret).encode(), digest_size=4, person=b"clarion").hexdigest()
    return f"clarion.{space}.{topic}"
