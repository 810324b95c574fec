"""One client as the hub sees it, and the contracts around it: what carries, what supplies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from clarion.realtime.frames import Position
from clarion.realtime.topic import Topic

SLOW, INSUFFICIENT = 4001, 4002
Send = Callable[[Any], Coroutine[Any, Any, None]]


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


class Connection:
    """One client. `send` is the server's; a message given to it is never changed."""

    __slots__ = (
        "allowance", "carrier", "client", "closing", "inbox", "person",
        "public", "send", "slot", "task",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, send: Send, client: str, person: Any = None) -> None:
        self.carrier = carrier
        self.send = send
        self.client = client
        self.person = person  # who it is (auth.Identity), None for an anonymous visitor
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.inbox: Topic | None = None
        self.public: Topic | None = None
        self.closing = 0  # the code, once it is being closed
        self.allowance = 0.0  # until when the frames that it sent use up what it may send
        self.slot: set[Connection] | None = None

    def topics(self) -> list[Topic]:
        return [topic for topic in (self.inbox, self.public) if topic is not None]

    def abort(self) -> None:
        """Give up on a peer that takes nothing, not even a goodbye."""
        # A transport that is only closed waits for its buffer to drain, here for ever.
        server = getattr(self.send, "__self__", None)
        transport = getattr(server, "transport", None)
        if transport is not None:
            transport.abort()
        if self.task is not None:
            self.task.cancel()
