"""The server-sent events carrier (WHATWG HTML 9.2): the same frames where WebSocket can't pass.

`serve` is a raw ASGI application, which `clarion.asgi.mount` puts before Django: a connection costs
a quarter of what it costs in a view. `stream_view` is for sites that only include `clarion.urls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from clarion.exceptions import BadCursor
from clarion.realtime import auth, feed, frames, stream, tickets
from clarion.realtime.auth import Identity
from clarion.realtime.connection import Carrier, Connection, Unavailable
from clarion.realtime.eager import start
from clarion.realtime.websocket import Receive, Scope, Send

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx
}
_OPENING = b"retry: 1000\n\n"
_HELD_AT_MOST = 32  # messages between the hub and a Django response
_STAYS_AWAY = (
    4500  # close codes from here on tell a client not to come back: 204 for an EventSource
)


class _EventStream:
    heartbeat = 15  # seconds; proxies are less patient with a response that doesn't end

    def message(self, frame: bytes, mark: str | None) -> Any:
        return _part(_event(frame, mark))

    def farewell(self, frame: bytes, code: int) -> list[Any]:
        return [self.message(frame, None), {"type": "http.response.body", "body": b""}]

    def hand(self, send: Send, message: Any) -> Awaitable[Any] | None:
        return start(send(message))


class _Response(_EventStream):
    """Inside a Django response: bytes, and None at the end."""

    def message(self, frame: bytes, mark: str | None) -> Any:
        return _event(frame, mark)

    def farewell(self, frame: bytes, code: int) -> list[Any]:
        return [self.message(frame, None), None]


EVENT_STREAM = _EventStream()
RESPONSE = _Response()


def _event(frame: bytes, mark: str | None) -> bytes:
    return b"%sdata: %s\n\n" % (f"id: {mark}\n".encode() if mark else b"", frame)


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


# Raw ASGI


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """One connection, from the request to its end."""
    refusal = _refused(scope)
    if refusal is not None:
        return await _answer(send, *refusal)
    connection = await _open(scope, send)
    if connection is not None:
        del scope, send
        await _stay(connection, receive)
    return None


async def _open(scope: Scope, send: Send) -> Connection | None:
    here = feed.current()
    headers = dict(_HEADERS) | _cross_origin(scope)
    try:
        cursors, person = _cursors(scope), await _person(here, scope)
        connection = Connection(EVENT_STREAM, _HeldBack(send, headers), person)
        connection.task = asyncio.current_task()
        await stream.open_stream(here, connection, cursors=cursors)
    except BadCursor as error:
        await _answer(send, 400, str(error))
    except Unavailable as error:
        await _answer(send, *_status_of(error.code), retry=here.retry_window()[1])
    except (TimeoutError, OSError):
        return None
    else:
        connection.send = send
        return connection
    return None


class _HeldBack:
    """Starts the response with the first message: until then a refusal can still have a status."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send, self._headers = send, headers
        self._started = False

    async def __call__(self, message: Any) -> None:
        if not self._started:
            self._started = True
            await self._send(_start(200, self._headers))
            await self._send(_part(_OPENING))
        await self._send(message)


async def _stay(connection: Connection, receive: Receive) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            continue
    except asyncio.CancelledError:
        if not connection.closing:
            raise
    finally:
        feed.current().hub.leave(connection)


def _refused(scope: Mapping[str, Any]) -> tuple[int, str] | None:
    if scope["method"] != "GET":
        return 405, "GET only"
    if not auth.origin_allowed(scope):
        return 403, "This origin may not read the stream"
    return None


async def _answer(send: Send, status: int, detail: str, *, retry: int | None = None) -> None:
    body = b"" if status == 204 else _problem(status, detail)
    headers = {"Content-Type": "application/problem+json"} if body else {}
    if retry is not None and status == 503:
        headers["Retry-After"] = str(max(1, retry // 1000))
    await send(_start(status, headers))
    await send({"type": "http.response.body", "body": body})


def _problem(status: int, detail: str) -> bytes:
    return frames.encode({"type": "about:blank", "title": detail, "status": status})


def _status_of(code: int) -> tuple[int, str]:
    if code >= _STAYS_AWAY:
        return 204, ""
    if code == auth.EXPIRED:
        return 401, "The ticket is too old"
    return 503, "Try again later"


def _start(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def _cross_origin(scope: Mapping[str, Any]) -> dict[str, str]:
    """For pages of an origin that the site trusts (Fetch standard, CORS protocol)."""
    origin = next(iter(auth.headers(scope, b"origin")), "")
    if not origin or not auth.is_trusted(origin):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


async def _person(here: feed.Feed, scope: Scope) -> Identity | None:
    ticket = _query(scope).get("ticket")
    return tickets.read(ticket) if ticket else await here.identify(scope)


def _cursors(scope: Mapping[str, Any]) -> dict[str, frames.Position]:
    """Of the address; what the browser got last wins, for an EventSource keeps its old address."""
    cursors = stream.cursors_in(_query(scope))
    for given in auth.headers(scope, b"last-event-id"):
        name, _, cursor = given.partition(".")
        cursors |= stream.cursors_in({name: cursor})
    return cursors


def _query(scope: Mapping[str, Any]) -> dict[str, str]:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return {name: values[0] for name, values in query.items()}


# Inside Django


async def stream_view(request: HttpRequest) -> HttpResponseBase:
    """The stream as a Django view. Under WSGI it says so at once, and the client polls."""
    if not isinstance(request, ASGIRequest):
        return _problem_response(501, "Server-sent events need ASGI; poll instead")
    refusal = _refused(request.scope)
    if refusal is not None:
        return _problem_response(*refusal)
    try:
        cursors, person = _cursors(request.scope), await _person_of(request)
        opened = _Opened()
        connection = Connection(RESPONSE, opened.queue.put, person)
        await stream.open_stream(feed.current(), connection, cursors=cursors)
    except BadCursor as error:
        return _problem_response(400, str(error))
    except (Unavailable, TimeoutError) as error:
        return _refusal_of(getattr(error, "code", 4002))
    headers = _HEADERS | _cross_origin(request.scope)
    opened.connection = connection
    return StreamingHttpResponse(opened, headers=headers)


async def _person_of(request: ASGIRequest) -> Identity | None:
    ticket = request.GET.get("ticket")
    if ticket:
        return tickets.read(ticket)
    user = await request.auser()
    if not user.is_authenticated:
        return None
    return await sync_to_async(auth.identity_of)(user, request.session)


class _Opened:
    """The way from the hub into a Django response. When it is full, the client is a slow one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_HELD_AT_MOST)
        self.connection: Connection | None = None
        self._feed, self._loop = feed.current(), asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.connection is None:
            return
        self.connection.task = asyncio.current_task()
        yield _OPENING
        try:
            while (event := await self.queue.get()) is not None:
                yield event
        except asyncio.CancelledError:
            if not self.connection.closing:
                raise

    def close(self) -> None:
        """Django calls this in the end, whether or not anything was ever sent; from any thread."""
        if self.connection is not None:
            self._loop.call_soon_threadsafe(self._feed.hub.leave, self.connection)


def _refusal_of(code: int) -> HttpResponse:
    status, detail = _status_of(code)
    return HttpResponse(status=204) if status == 204 else _problem_response(status, detail)


def _problem_response(status: int, title: str) -> HttpResponse:
    problem = {"type": "about:blank", "title": title, "status": status}
    return JsonResponse(problem, status=status, content_type="application/problem+json")


_: tuple[Carrier, ...] = (EVENT_STREAM, RESPONSE)  # both keep the carrier's contract
