"""A real server on a real socket, and clients that keep what they were sent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

ASGI, GATEWAY = "websockets-sansio", "clarion.realtime.gateway:Gateway"  # uvicorn's --ws


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Screen:
    """One open tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def next(self, kind: str, *, within: float = 5) -> dict[str, Any]:
        """The next frame of that type; others are skipped."""
        until = time.monotonic() + within
        while True:
            frame = json.loads(self.socket.recv(timeout=max(0.001, until - time.monotonic())))
            if frame["type"] == kind:
                return frame

    def hears_nothing(self, kind: str, *, during: float = 0.5) -> bool:
        with suppress(TimeoutError):
            self.next(kind, within=during)
            return False
        return True

    def closed_with(self, *, within: float = 15) -> int:
        until = time.monotonic() + within
        with suppress(ConnectionClosed):
            while True:
                self.socket.recv(timeout=max(0.001, until - time.monotonic()))
        assert self.socket.close_code is not None
        return self.socket.close_code

    def send(self, **frame: Any) -> None:
        self.socket.send(json.dumps(frame))


class Site:
    """Uvicorn in a thread of this process, so that the in-process broker reaches it."""

    def __init__(self, application: Any, lifespan: str = "on", ws: str = ASGI) -> None:
        import uvicorn

        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._open = ExitStack()
        config = uvicorn.Config(
            application,
            port=self.port,
            log_level="warning",
            lifespan=lifespan,
            ws=ws,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Site:
        self._thread.start()
        until = time.monotonic() + 10
        while not self.server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        self._open.close()
        self.server.should_exit = True
        self._thread.join(10)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve()

        asyncio.run(serve())

    @property
    def feed(self) -> Any:
        """The feed of the server's event loop."""
        from clarion.realtime import feed

        assert self.loop is not None
        return feed._feeds[self.loop]

    def open(
        self,
        user: Any = None,
        *,
        path: str = "/ws/notifications/",
        query: str = "",
        cookie: str | None = None,
        **options: Any,
    ) -> Screen:
        """A tab of `user`, signed in by a session of its own."""
        if cookie is None and user is not None:
            cookie = session_cookie(user)
        headers = {"Cookie": cookie} if cookie else {}
        address = f"ws://{self.host}{path}" + (f"?{query}" if query else "")
        options.setdefault("compression", None)
        opening = connect(address, additional_headers=headers, **options)
        return Screen(self._open.enter_context(opening))


def session_cookie(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}"


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Set keys of CLARION for one test."""

    def change(**keys: Any) -> None:
        settings.CLARION = {**settings.CLARION, **keys}

    return change


@pytest.fixture
def ws() -> str:
    """How the site's WebSockets are served."""
    return ASGI


@pytest.fixture
def site(transactional_db: None, configure: Callable[..., None], ws: str) -> Iterator[Site]:
    pytest.importorskip("uvicorn")
    from django.core.asgi import get_asgi_application

    from clarion.asgi import mount

    configure(BROKER="memory", RECONCILE_INTERVAL=60)
    running = Site(mount(get_asgi_application()), ws=ws).start()
    yield running
    running.stop()
