"""One client as the hub sees it, and the contracts around it: what carries, what supplies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from clarion.realtime.frames import Position
from clarion.realtime.topic import Topic

SLOW, INSUFFICIENT = 4001, 4002
Send = Callable[[Any], Any]  # what a carrier hands its messages to


class Caught(Protocol):
    """What the database says about a stream: where it stands and the frames that lead there."""

    @property
    def position(self) -> Position: ...
    @property
    def frames(self) -> list[bytes]: ...


class Unavailable(Exception):
    """The connection can't be served now, or ever; `code` is what to close it with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Source(Protocol):
    """Where missing frames come from."""

    async def read(
        self, connection: Connection, cursors: Mapping[Topic, Position | None]
    ) -> Mapping[Topic, Caught]:
        """The frames from each cursor to where the stream stands. Raise `Unavailable`."""

    def heal(self, topic: Topic) -> None:
        """Soon, read what is missing from `topic.position` on, and give it to `Hub.refill`."""


class Carrier(Protocol):
    """How frames become messages of a transport."""

    @property
    def heartbeat(self) -> int: ...  # seconds
    def message(self, frame: bytes, mark: str | None) -> Any:
        """`mark` names the stream and the position that a client holds after this frame."""

    def farewell(self, frame: bytes, code: int) -> list[Any]:
        """The messages that end a connection."""

    def hand(self, send: Send, message: Any) -> Awaitable[Any] | None:
        """Send at once. What comes back, if anything, waits for a peer that doesn't take it yet.

        Raises whatever `send` raises when the peer is gone. The message is never changed.
        """


class Connection:
    """One client."""

    __slots__ = (
        "allowance", "carrier", "closing", "inbox", "person", "public", "send", "slot", "task",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, send: Send, person: Any = None) -> None:
        self.carrier = carrier
        self.send = send
        self.person = person  # who it is (auth.Identity), None for an anonymous visitor
        self.task: asyncio.Task[Any] | None = None  # ends with it, where it has one
        self.inbox: Topic | None = None
        self.public: Topic | None = None
        self.closing = 0  # the code, once it is being closed
        self.allowance = 0.0  # until when the frames that it sent use up what it may send
        self.slot: set[Connection] | None = None

    def topics(self) -> list[Topic]:
        return [topic for topic in (self.inbox, self.public) if topic is not None]

    def give(self, frame: bytes, mark: str | None = None) -> Awaitable[Any] | None:
        """Send one frame. What comes back, if anything, waits until the peer takes it."""
        return self.carrier.hand(self.send, self.carrier.message(frame, mark))

    async def end(self, frame: bytes, code: int) -> None:
        """Send the last frame, and close with `code`."""
        for message in self.carrier.farewell(frame, code):
            pending = self.carrier.hand(self.send, message)
            if pending is not None:
                await pending

    def abort(self) -> None:
        """Give up on a peer that takes nothing, not even a goodbye."""
        # A transport that is only closed waits for its buffer to drain, here for ever.
        server = getattr(self.send, "__self__", None)
        transport = getattr(server, "transport", None)
        if transport is not None:
            transport.abort()
        if self.task is not None:
            self.task.cancel()
