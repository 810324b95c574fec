"""A person at the example site, without a browser: cookies, forms with CSRF, a WebSocket."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

SOCKET_PATH = "ws/notifications/"
PROTOCOL = "clarion.v1"


class Visitor:
    """One browser profile on the site at `url` (with a slash at its end)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self.posted_at = 0.0  # when the last form was sent, by time.perf_counter()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> str:
        """The page or JSON at `path`. Raise `urllib.error.HTTPError`."""
        with self._opener.open(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, *, page: str | None = None, **fields: str) -> str:
        """Fill in the form that is sent to `path`; the address of the page that follows.

        Args:
            page: where the form is, if not at `path` itself.
        """
        self.get(path if page is None else page)  # sets the CSRF cookie, as the form would
        fields["csrfmiddlewaretoken"] = self._cookie("csrftoken")
        request = urllib.request.Request(
            self.url + path,
            data=urllib.parse.urlencode(fields).encode(),
            headers={"Referer": self.url + path},
        )
        self.posted_at = time.perf_counter()
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.geturl())

    def sign_in(self, name: str, password: str) -> None:
        """Sign in through the site's page. Raise `AssertionError` when it doesn't let us."""
        page = self.post("login/", username=name, password=password)
        assert "login" not in page, f"{name} could not sign in"

    def open_tab(self) -> Tab:
        """A tab that is open on some page of the site: its WebSocket, greeted."""
        origin = self.url.rstrip("/")
        pairs = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        opening = connect(
            origin.replace("http", "ws", 1) + "/" + SOCKET_PATH,
            origin=origin,  # type: ignore[arg-type]
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            additional_headers={"Cookie": pairs},
            compression=None,
        )
        return Tab(opening)

    def _cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")


class Tab:
    """A WebSocket of protocol clarion.v1. A thread notes when each frame arrives."""

    def __init__(self, opening: AbstractContextManager[ClientConnection]) -> None:
        self._open = contextlib.ExitStack()
        self.socket = self._open.enter_context(opening)
        self.arrived_at = 0.0  # of the frame that was returned last, by time.perf_counter()
        self._frames: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.hello = self.wait("hello")

    def __enter__(self) -> Tab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self._open.close()

    def send(self, **frame: Any) -> None:
        self.socket.send(json.dumps(frame))

    def wait(self, kind: str, *, timeout: float = 10.0, **matching: Any) -> dict[str, Any]:
        """The next frame of type `kind` whose fields are as in `matching`. Raise `TimeoutError`."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self._next(deadline)
            if frame["type"] == kind and all(frame.get(k) == v for k, v in matching.items()):
                return frame

    def item(self, *, timeout: float = 10.0, **matching: Any) -> dict[str, Any]:
        """The next item of any change frame with these fields. Raise `TimeoutError`."""
        deadline = time.monotonic() + timeout
        while True:
            for item in self._next(deadline).get("items", ()):
                if all(item.get(name) == value for name, value in matching.items()):
                    return dict(item)

    def drain(self, seconds: float) -> list[dict[str, Any]]:
        """Everything that arrives within `seconds`."""
        deadline = time.monotonic() + seconds
        arrived = []
        try:
            while True:
                arrived.append(self._next(deadline))
        except TimeoutError:
            return arrived

    def _next(self, deadline: float) -> dict[str, Any]:
        try:
            self.arrived_at, frame = self._frames.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError("the frame did not arrive in time") from None
        return frame

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = json.loads(self.socket.recv())
                self._frames.put((time.perf_counter(), frame))


class Watcher:
    """Somebody who looks at what the sink at `url` got."""

    def __init__(self, url: str) -> None:
        self.url = url

    def mail(self, *, to: str, saying: str, timeout: float = 20.0) -> dict[str, Any]:
        """The newest mail to `to` with `saying` in its text. Raise `TimeoutError`."""
        return self._wait(
            "mails", lambda mail: to in mail["to"] and saying in mail["text"], timeout
        )

    def webhook(self, *, of: str, timeout: float = 20.0) -> dict[str, Any]:
        """The newest webhook of the type `of`. Raise `TimeoutError`."""
        return self._wait("webhooks", lambda hook: hook["type"] == of, timeout)

    def push(self, *, saying: str, timeout: float = 20.0) -> dict[str, Any]:
        """The newest push message with `saying` in its title. Raise `TimeoutError`."""
        return self._wait("pushes", lambda push: saying in push["title"], timeout)

    def all(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that arrived, newest first: "mails", "webhooks" and "pushes"."""
        with urllib.request.urlopen(self.url + "api/", timeout=10) as answer:
            return dict(json.load(answer))

    def _wait(
        self, kind: str, fits: Callable[[dict[str, Any]], bool], timeout: float
    ) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for found in self.all()[kind]:
                if fits(found):
                    return found
            time.sleep(0.02)
        raise TimeoutError(f"none of the {kind} that arrived is the expected one")
