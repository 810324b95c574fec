"""The WebSocket carrier: an ASGI application that any server runs, and Channels' URLRouter too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from clarion.conf import settings
from clarion.exceptions import BadCursor
from clarion.realtime import auth, feed, frames, stream, tickets
from clarion.realtime.auth import Identity
from clarion.realtime.connection import SLOW, Connection, Unavailable
from clarion.realtime.eager import start

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Any]


class _WebSocket:
    """Frames as text messages."""

    @property
    def heartbeat(self) -> int:
        return max(1, round(settings.HEARTBEAT))

    def message(self, frame: bytes, mark: str | None) -> dict[str, Any]:
        return {"type": "websocket.send", "text": frame.decode()}

    def farewell(self, frame: bytes, code: int) -> list[dict[str, Any]]:
        return [self.message(frame, None), {"type": "websocket.close", "code": code}]

    def hand(self, send: Send, message: Any) -> Awaitable[Any] | None:
        return start(send(message))


WEBSOCKET = _WebSocket()


class NotificationConsumer:
    """Mounts in Channels' `URLRouter` like a consumer, and needs nothing of Channels."""

    @classmethod
    def as_asgi(cls) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        return serve


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """One connection, from the handshake to its end."""
    try:
        connection = await _open(scope, receive, send)
        if connection is not None:
            # What the request was is not kept for as long as the connection lives.
            del scope, send
            await _listen(connection, receive)
    except OSError:  # how servers say that the client is gone while something is sent
        return


async def _open(scope: Scope, receive: Receive, send: Send) -> Connection | None:
    await receive()  # websocket.connect
    if not auth.origin_allowed(scope):
        await send({"type": "websocket.close"})  # before accepting: HTTP 403
        return None
    chosen = subprotocol(scope.get("subprotocols", ()))
    await send({"type": "websocket.accept", "subprotocol": chosen})
    connection = Connection(WEBSOCKET, send)
    connection.task = asyncio.current_task()
    return connection if await enter(connection, scope) else None


def subprotocol(offered: Iterable[str]) -> str | None:
    """What the answer to the handshake names."""
    return frames.PROTOCOL if frames.PROTOCOL in offered else None


async def enter(connection: Connection, scope: Scope) -> bool:
    """Find out who has connected, and bring them into step. False: they were sent away."""
    here = feed.current()
    try:
        connection.person = await _person(here, scope)
        await stream.open_stream(here, connection, wanted=_wanted(scope), cursors=_cursors(scope))
    except (Unavailable, BadCursor, TimeoutError) as error:
        code = code_of(error)
        retry = here.retry_window() if code == feed.RESTARTING else None
        await connection.end(frames.bye(code, retry), code)
        return False
    return True


def code_of(error: Exception) -> int:
    """What to close with."""
    if isinstance(error, Unavailable):
        return error.code
    return stream.BAD_PROTOCOL if isinstance(error, BadCursor) else SLOW


async def _person(here: feed.Feed, scope: Scope) -> Identity | None:
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(tickets.PREFIX):
            return tickets.read(protocol.removeprefix(tickets.PREFIX))
    return await here.identify(scope)


def _wanted(scope: Scope) -> str | None:
    """The primary key at the end of the path, where the site put one."""
    if "url_route" in scope:
        found = scope["url_route"]["kwargs"].get("user_pk")
        return None if found is None else str(found)
    return scope["path"].partition(settings.WEBSOCKET_PATH)[2].removesuffix("/") or None


def _cursors(scope: Scope) -> dict[str, Any]:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return stream.cursors_in({name: values[0] for name, values in query.items()})


async def _listen(connection: Connection, receive: Receive) -> None:
    here = feed.current()
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if connection.closing:
                continue
            await hear(connection, message.get("text"))
            del message
    except (Unavailable, TimeoutError) as error:
        here.hub.shut(connection, code_of(error))
        await receive()
    except asyncio.CancelledError:
        if not connection.closing:
            raise
    finally:
        here.hub.leave(connection)


async def hear(connection: Connection, text: str | None) -> None:
    """Do what a client's message says (None: it was no text). Raise as `stream.obey` does."""
    here = feed.current()
    if not stream.within_rate(connection, asyncio.get_running_loop().time()):
        return here.hub.shut(connection, stream.TOO_MANY_FRAMES, here.retry_window())
    frame = _parsed(text)
    if frame is None:
        return here.hub.shut(connection, stream.BAD_PROTOCOL)
    answer = await stream.obey(here, connection, frame)
    pending = connection.give(answer) if answer is not None else None
    if pending is not None:
        await pending
    return None


def _parsed(text: str | None) -> dict[str, Any] | None:
    """A frame of the client's; None when it is too large or no JSON object."""
    if text is None or len(text) > settings.MAX_FRAME_SIZE:
        return None
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None
