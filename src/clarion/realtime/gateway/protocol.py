"""A WebSocket connection as uvicorn's HTTP protocol gives it away, without an ASGI conversation.

A frame is made once for everybody and then only written, an open connection has no task and no
parser, and what it costs is a fraction. Other paths get uvicorn's own protocol; hub, stream and
answers are those of `clarion.realtime.websocket`.

RFC 6455; what clients send is parsed by `websockets`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from base64 import b64decode
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr, is_ssl
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side
from websockets.utils import accept_key

from clarion.conf import settings
from clarion.realtime import auth, feed, websocket
from clarion.realtime.connection import Connection, Unavailable
from clarion.realtime.eager import start
from clarion.realtime.websocket import Scope

logger = logging.getLogger("clarion")

_DATA = (Opcode.TEXT, Opcode.CONT, Opcode.BINARY)
_TEXT, _LONG, _VERY_LONG = 0x81, 126, 127  # RFC 6455 5.2
_CLOSE = b"\x88"
_SAID_WITHIN = 0.2  # seconds that the answer to a handshake waits for the first frame
_FAREWELL = 5.0  # seconds for the peer's own close frame
_NO_SENSE = 0.5  # seconds for it, when no frame of the peer can be understood any more
_GONE, _BAD_TEXT, _FAULT, _RESTARTING = 1006, 1007, 1011, 1012
_NO = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_YES = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class _Frames:
    """Frames as the bytes that go over the line."""

    @property
    def heartbeat(self) -> int:
        return websocket.WEBSOCKET.heartbeat

    def message(self, frame: bytes, mark: str | None) -> bytes:
        size = len(frame)
        if size < _LONG:
            return bytes((_TEXT, size)) + frame
        if size < 1 << 16:
            return bytes((_TEXT, _LONG)) + size.to_bytes(2, "big") + frame
        return bytes((_TEXT, _VERY_LONG)) + size.to_bytes(8, "big") + frame

    def farewell(self, frame: bytes, code: int) -> list[bytes]:
        return [self.message(frame, None), _close_frame(code)]

    def hand(self, send: Any, message: bytes) -> Awaitable[Any] | None:
        return send(message)  # type: ignore[no-any-return]


FRAMES = _Frames()


def _close_frame(code: int) -> bytes:
    return Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=False)


class GatewayProtocol(asyncio.Protocol):
    """One connection, given by uvicorn's HTTP protocol when a client asks for a WebSocket."""

    __slots__ = (
        "__weakref__", "_config", "_connection", "_deaf", "_free", "_reader", "_server", "_state",
        "_unsaid", "_waiting", "transport",
    )  # fmt: skip

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._config, self._server, self._state = config, server_state, app_state
        self._connection: Connection | None = None  # once the handshake is done
        self._reader: _Reader | None = None  # while a message is incomplete
        self._waiting: deque[str | None] | None = None  # messages, while one is worked on
        self._free: asyncio.Future[None] | None = None  # while the peer takes nothing
        self._deaf = False  # it has said goodbye, or what can't be understood
        self._unsaid = b""  # the answer to the handshake: it goes out with the first frame

    # As uvicorn and the event loop call it

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self._connection is None:
            return self._shake_hands(data)
        if self._deaf:
            return None
        reader = self._reader or _Reader()
        for text in reader.read(data):
            self._hear(self._connection, text)
        self._reader = reader if reader.incomplete else None
        if reader.answer and not self._connection.closing:
            self._answer(reader.answer)
        if reader.ended:
            self._deaf = True
            self._leave()
            self._hang_up(0 if reader.heard_goodbye else _NO_SENSE)
        return None

    def _answer(self, answer: bytes) -> None:
        if self._free is None:
            self.transport.write(answer)
        else:
            self.transport.abort()  # it talks, and doesn't listen

    def pause_writing(self) -> None:
        self._free = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        free, self._free = self._free, None
        if free is not None and not free.done():
            free.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self.resume_writing()
        self._leave()

    def _leave(self) -> None:
        """Nothing more is sent to it."""
        if self._connection is not None:
            self._connection.closing = self._connection.closing or _GONE
            feed.current().hub.leave(self._connection)

    def shutdown(self) -> None:
        """The server is stopped; whoever wasn't sent elsewhere before is so now."""
        if self._connection is not None and not self._connection.closing:
            self._tell(_close_frame(_RESTARTING))
        self.transport.close()

    # Coming

    def _shake_hands(self, data: bytes) -> None:
        scope = _scope_of(data, self.transport, self._config)
        if not scope["path"].startswith(settings.WEBSOCKET_PATH):
            return self._pass_on(data)
        key = next(iter(auth.headers(scope, b"sec-websocket-key")), "")
        if auth.headers(scope, b"sec-websocket-version") != ["13"]:
            return self._refuse(b"426 Upgrade Required\r\nSec-WebSocket-Version: 13")
        if not _is_key(key):
            return self._refuse(b"400 Bad Request")
        if not auth.origin_allowed(scope):
            return self._refuse(b"403 Forbidden")
        self._accept(key, websocket.subprotocol(scope["subprotocols"]))
        self._connection = connection = Connection(FRAMES, self.send)
        self._work(connection, websocket.enter(connection, scope))
        return None

    def _pass_on(self, data: bytes) -> None:
        """Not ours: let uvicorn's own protocol have it."""
        make: Any = AutoWebSocketsProtocol
        other = make(config=self._config, server_state=self._server, app_state=self._state)
        self._server.connections.discard(self)
        other.connection_made(self.transport)
        other.data_received(data)
        # Our caller is about to set the protocol itself; nothing can come in before this.
        asyncio.get_running_loop().call_soon(self.transport.set_protocol, other)

    def _refuse(self, status: bytes) -> None:
        self.transport.write(_NO % status)
        self.transport.close()

    def _accept(self, key: str, chosen: str | None) -> None:
        answer = f"{_YES}Sec-WebSocket-Accept: {accept_key(key)}\r\n"
        if chosen:
            answer += f"Sec-WebSocket-Protocol: {chosen}\r\n"
        self._unsaid = f"{answer}\r\n".encode("ascii")
        asyncio.get_running_loop().call_later(_SAID_WITHIN, self._speak)
        _notice_silence(self.transport.get_extra_info("socket"))

    # Hearing

    def _hear(self, connection: Connection, text: str | None) -> None:
        if connection.closing:
            return
        if self._waiting is None:
            self._work(connection, websocket.hear(connection, text))
        else:
            self._waiting.append(text)
            self.transport.pause_reading()  # until it has been worked on

    def _work(self, connection: Connection, job: Coroutine[Any, Any, Any]) -> None:
        """Do `job`, and after it what comes in meanwhile."""
        self._waiting = deque()
        feed.current().hub.spawn(self._finish(connection, job, self._waiting))

    async def _finish(
        self, connection: Connection, job: Coroutine[Any, Any, Any], waiting: deque[str | None]
    ) -> None:
        try:
            await job
            while waiting and not connection.closing:
                await websocket.hear(connection, waiting.popleft())
        except Exception as error:  # noqa: BLE001 - sorted out there
            self._failed(connection, error)
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _failed(self, connection: Connection, error: Exception) -> None:
        if isinstance(error, Unavailable | TimeoutError):
            feed.current().hub.shut(connection, websocket.code_of(error))
        elif not isinstance(error, OSError):  # which says that the peer is gone
            logger.error("a connection failed", exc_info=error)
            self._tell(_close_frame(_FAULT))
            self.transport.close()

    # Sending

    def send(self, message: bytes) -> Awaitable[None] | None:
        """Write it, unless the peer has too much to take already: then what to wait for."""
        if self._free is not None:
            return self._send_later(message)
        self._write(message)
        return None

    async def _send_later(self, message: bytes) -> None:
        while self._free is not None:
            await asyncio.shield(self._free)
        self._write(message)

    def _speak(self) -> None:
        if self._unsaid:
            self._tell(b"")

    def _tell(self, message: bytes) -> None:
        """Write it, if the peer is still there."""
        with suppress(ConnectionResetError):
            self._write(message)

    def _write(self, message: bytes) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        self.transport.write(self._unsaid + message if self._unsaid else message)
        self._unsaid = b""
        if message[:1] == _CLOSE:
            self._hang_up(_FAREWELL)

    def _hang_up(self, after: float) -> None:
        """Closing before the peer has said goodbye too might cost it ours (RFC 6455 7.1.1)."""
        if after:
            asyncio.get_running_loop().call_later(after, self.transport.close)
        else:
            self.transport.close()


class _Reader:
    """What a client sends, as messages. None stands for one that is no text."""

    __slots__ = ("_parts", "_protocol", "answer", "ended", "heard_goodbye")

    def __init__(self) -> None:
        # Bytes: a text of MAX_FRAME_SIZE characters may need four for each.
        self._protocol = Protocol(Side.SERVER, max_size=4 * settings.MAX_FRAME_SIZE)
        self._parts: list[bytes] = []
        self.answer = b""  # pongs, the answer to a close frame, or one that says what was wrong
        self.ended = self.heard_goodbye = False

    def read(self, data: bytes) -> Iterator[str | None]:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in _DATA:
                yield from self._joined(frame)
        self.answer = b"".join(self._protocol.data_to_send())
        self.ended = self._protocol.close_expected()
        self.heard_goodbye = self._protocol.close_rcvd is not None

    def _joined(self, frame: Frame) -> Iterator[str | None]:
        if frame.opcode is Opcode.BINARY:
            yield None
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            try:
                yield whole.decode()
            except UnicodeDecodeError:
                self._protocol.fail(_BAD_TEXT)

    @property
    def incomplete(self) -> bool:
        return bool(self._parts or self._protocol.reader.buffer)


def _scope_of(data: bytes, transport: Any, config: Config) -> Scope:
    """The request as an ASGI scope, as far as it matters here; uvicorn has checked its syntax."""
    head, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    raw_path, _, query = head.split(b" ")[1].partition(b"?")
    pairs = (line.partition(b": ") for line in lines)
    scope: Scope = {
        "type": "websocket",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "path": unquote(raw_path.decode("ascii")),
        "query_string": query,
        "headers": [(name.lower(), value) for name, _, value in pairs],
    }
    if config.proxy_headers and auth.headers(scope, b"x-forwarded-proto"):
        scope["client"] = get_remote_addr(transport)
        start(_proxied(str(config.forwarded_allow_ips))(scope, None, None))  # type: ignore[arg-type]
    offered = ",".join(auth.headers(scope, b"sec-websocket-protocol"))
    scope["subprotocols"] = [name.strip() for name in offered.split(",")] if offered else []
    return scope


@cache
def _proxied(trusted: str) -> ProxyHeadersMiddleware:
    """What uvicorn puts around an application: the scheme as a trusted proxy says."""

    async def nothing(*_: Any) -> None: ...

    return ProxyHeadersMiddleware(nothing, trusted)


def _is_key(text: str) -> bool:
    with suppress(ValueError):
        return len(b64decode(text, validate=True)) == 16
    return False


def _notice_silence(line: socket.socket) -> None:
    """A peer that vanished without a word takes no heartbeat: let the kernel give it up then."""
    seconds = FRAMES.heartbeat + settings.SLOW_TIMEOUT
    with suppress(OSError, AttributeError):  # not on every system, not on every kind of socket
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
