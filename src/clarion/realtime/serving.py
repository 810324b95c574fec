"""What a serving process does besides its requests: choosing who answers, start, stop and drain."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

from django.urls import NoReverseMatch, reverse

from clarion import runner
from clarion.conf import settings
from clarion.realtime import feed, sse, websocket
from clarion.realtime.websocket import Receive, Scope, Send

Application = Callable[[Any, Any, Any], Awaitable[None]]


def before(application: Application) -> Application:
    """Serve WEBSOCKET_PATH and the event stream; give everything else to `application`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await _chosen(scope, application)(scope, receive, send)

    return serve


def _chosen(scope: Scope, application: Application) -> Application:
    kind = scope["type"]
    if kind == "lifespan":
        return _lifespan
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if kind == "websocket" and path.startswith(settings.WEBSOCKET_PATH):
        return websocket.serve
    if kind == "http" and path == _stream_path():
        return sse.serve
    return application


def _stream_path() -> str | None:
    try:
        return reverse("clarion:stream")
    except NoReverseMatch:  # a site without `clarion.urls`
        return None


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI lifespan protocol 2.0."""
    await receive()
    runner.ensure()
    here = feed.current()
    restore = _drain_on_sigterm(here)
    gc.collect()
    gc.freeze()  # what was loaded stays; collections need not look at it again
    await send({"type": "lifespan.startup.complete"})
    await receive()
    restore()
    await here.close()
    await send({"type": "lifespan.shutdown.complete"})


def _drain_on_sigterm(here: feed.Feed) -> Callable[[], None]:
    """Servers close all sockets at once when they are told to stop; ours are sent elsewhere before.

    Works where the server uses `signal.signal`, as uvicorn does. A second signal is not held back.
    """
    theirs = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(theirs):
        return lambda: None
    loop = asyncio.get_running_loop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, theirs)
        pass_on = partial(theirs, number, frame)
        if here.hub.count and settings.DRAIN_SECONDS:
            loop.call_soon_threadsafe(here.hub.spawn, _drain(here, pass_on))
        else:
            pass_on()

    signal.signal(signal.SIGTERM, on_signal)
    return lambda: _restore(on_signal, theirs)


def _restore(ours: Any, theirs: Any) -> None:
    if signal.getsignal(signal.SIGTERM) is ours:
        signal.signal(signal.SIGTERM, theirs)


async def _drain(here: feed.Feed, then: Callable[[], Any]) -> None:
    try:
        await here.drain(settings.DRAIN_SECONDS)
    finally:
        then()
