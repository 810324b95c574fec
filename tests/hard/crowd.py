"""Two hundred clients in one loop, each of which logs what it showed, and when.

Most hold a WebSocket, some an event stream, some poll; half come with a ticket, half with a cookie.
What they do with a frame is `client.Screen`; here is only how frames come in: reconnects with
jitter, resumes after a gap, and a sharp eye for cursors that don't rise.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.hard import http
from tests.hard.client import Cursor, Item, Screen

GRACE, ANSWER = (
    2.0,
    5.0,
)  # seconds for a frame that a heartbeat promised; for the answer to a resume
NEVER = float("inf")
STABLE, LONGEST_PAUSE = 2.0, 4.0  # seconds; a browser takes 10 and 30
HEARTBEAT = 4.0
MARKS = 0.05  # chance that a frame moves its reader to mark something
FAULTS = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError, EOFError)


@dataclass(frozen=True)
class Shown:
    """A client showed an item of an event for the first time, or as new."""

    at: float
    event: int | None
    id: int | str
    text: str
    arrived_at: str


class Client(ABC):
    """One screen of one person, on whatever carrier, that comes back after any fault."""

    def __init__(self, name: str, person: dict[str, Any], ports: list[int], seed: str) -> None:
        self.name, self.person, self.ports = name, person, ports
        self.dice = random.Random(f"{seed}.{name}")
        self.screen = Screen()
        self.first: dict[int | str, Shown] = {}  # by event, or by id where a tombstone names none
        self.new: list[Shown] = []
        self.faults: list[str] = []  # what no client should ever see
        self.connected = 0
        self.marks = True
        self.since = time.time()
        self._attempt = 0
        self._window: list[int] | None = None

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                await self.attend()
            except FAULTS:
                pass
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.faults.append(repr(error))
            if time.monotonic() - started > STABLE:
                self._attempt = 0
            await asyncio.sleep(self._pause())

    @abstractmethod
    async def attend(self) -> None:
        """Hold one connection until it breaks."""

    @property
    def port(self) -> int:
        return self.dice.choice(self.ports)

    def _pause(self) -> float:
        """Full jitter, or the window that the server gave."""
        least, most = self._window or (0, 1000 * min(LONGEST_PAUSE, 0.5 * 2**self._attempt))
        self._attempt, self._window = self._attempt + 1, None
        return self.dice.uniform(least, most) / 1000

    async def open_page(self) -> None:
        """As somebody who comes later: the page first, then what happened since."""
        answer = await http.get_json(self.port, "/notifications/api/inbox/?limit=1000", self.cookie)
        self.screen.cursors["inbox"] = Cursor.parse(answer["position"])
        self.screen.cursors["public"] = Cursor.parse(answer["public"])
        self.screen.add_page(answer, self.screen.generation)
        for item in answer["items"]:
            self._show(item, is_new=False)

    @property
    def cookie(self) -> str:
        return self.person["cookie"]

    async def changes(self) -> dict[str, Any]:
        query = urlencode(self.screen.query())
        answer = await http.get_json(self.port, f"/notifications/api/changes/?{query}", self.cookie)
        for frame in answer["frames"]:
            self.take(frame)
        self.screen.greet(answer)
        return answer

    def take(self, frame: dict[str, Any]) -> bool:
        """Apply a change or a reset. Returns whether it fitted."""
        stream = frame["stream"]
        before = self.screen.cursors.get(stream)
        arrived = self.screen.apply(frame)
        after = self.screen.cursors[stream]
        if before and before.epoch == after.epoch and before.version > after.version:
            self.faults.append(f"{stream} went back from {before} to {after}")
        if arrived is None:
            return False
        for item in frame["items"]:
            self._show(item, is_new=item in arrived)
        return True

    def _show(self, item: Item, *, is_new: bool) -> None:
        if item.get("removed"):
            return
        event = item["event"]
        shown = Shown(time.time(), event, item["id"], item["message"], item["arrived_at"])
        self.first.setdefault(event, shown)
        if is_new:
            self.new.append(shown)


class Socket(Client):
    """A WebSocket."""

    async def attend(self) -> None:
        query = urlencode(self.screen.query())
        ticket = self.person["ticket"]
        async with connect(
            f"ws://127.0.0.1:{self.port}/ws/notifications/?{query}",
            subprotocols=["clarion.v1", *([f"ticket.{ticket}"] if ticket else [])],  # type: ignore[list-item]
            additional_headers={} if ticket else {"Cookie": self.cookie},
            compression=None,
            ping_interval=None,
            open_timeout=10,
            close_timeout=1,
            proxy=None,
        ) as socket:
            self.connected += 1
            try:
                await self._listen(socket)
            finally:
                if (socket.close_code or 0) >= 4500:
                    self.faults.append(f"sent away with {socket.close_code}")

    async def _listen(self, socket: ClientConnection) -> None:
        now = asyncio.get_running_loop().time
        promised: dict[str, Any] = {}  # where the streams stand, by the last heartbeat
        look_at = answer_by = NEVER
        while True:
            silence = now() + HEARTBEAT * 1.5
            text = await _next(socket, min(silence, look_at, answer_by))
            if text is None:
                if now() < look_at:
                    raise TimeoutError("nothing heard")
                look_at = NEVER
                if self.screen.behind(promised):
                    answer_by = await self._resume(socket)
                continue
            frame = json.loads(text)
            if frame["type"] in ("hello", "heartbeat"):
                promised = frame["streams"]
                look_at = now() + GRACE if self.screen.greet(frame) else NEVER
            elif frame["type"] in ("change", "reset"):
                answer_by = NEVER if self.take(frame) else await self._resume(socket)
                await self._react(socket, frame)
            elif frame["type"] == "bye":
                self._window = frame.get("retry")
            elif frame["type"] == "reply" and not frame["ok"] and frame["error"]["status"] != 503:
                self.faults.append(f"refused: {frame['error']}")

    async def _resume(self, socket: ClientConnection) -> float:
        """Returns by when there must be an answer."""
        await socket.send(json.dumps({"type": "resume", **self.screen.query()}))
        return asyncio.get_running_loop().time() + ANSWER

    async def _react(self, socket: ClientConnection, frame: dict[str, Any]) -> None:
        if frame["stream"] != "inbox":
            return
        version = self.screen.cursors["inbox"].version
        await socket.send(json.dumps({"type": "ack", "inbox": version}))
        if not self.marks or self.dice.random() > MARKS:
            return
        state = self.dice.choice(["seen", "read", "archived"])
        listed = self.screen.list("all")
        mark: dict[str, Any] = {"type": "mark", "id": "m", "as": state}
        if self.dice.random() < 0.3 or not listed:
            mark["upto"] = version
        else:
            mark["ids"] = [self.dice.choice(listed)["id"]]
        await socket.send(json.dumps(mark))


async def _next(socket: ClientConnection, until: float) -> str | None:
    try:
        async with asyncio.timeout_at(until):
            return str(await socket.recv())
    except TimeoutError:
        return None


class EventStream(Client):
    """Server-sent events, as an EventSource takes them."""

    _last_id = ""

    async def attend(self) -> None:
        query = urlencode(self.screen.query())
        path = f"/notifications/stream/?{query}"
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        async with http.stream(self.port, path, self.cookie, headers) as lines:
            self.connected += 1
            while True:
                async with asyncio.timeout(15 * 1.5):
                    line = await anext(lines)
                if line.startswith("id: "):
                    self._last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    await self._hear(json.loads(line.removeprefix("data: ")))

    async def _hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] in ("change", "reset"):
            if not self.take(frame):
                await self.changes()
        elif frame["type"] == "heartbeat" and self.screen.behind(frame["streams"]):
            await self.changes()
        elif frame["type"] == "hello":
            self.screen.greet(frame)


class Poller(Client):
    """Asks again and again."""

    async def attend(self) -> None:
        while True:
            answer = await self.changes()
            self.connected += 1
            await asyncio.sleep(answer["interval"])


class Notices(Client):
    """A client of the stock pattern. It has no cursor to come back with."""

    async def attend(self) -> None:
        async with connect(
            f"ws://127.0.0.1:{self.port}/ws/notifications/",
            additional_headers={"Cookie": self.cookie},
            compression=None,
            ping_interval=HEARTBEAT,
            open_timeout=10,
            close_timeout=1,
            proxy=None,
        ) as socket:
            self.connected += 1
            self._attempt = 0
            async for text in socket:
                frame = json.loads(text)
                shown = Shown(time.time(), None, frame["id"], frame["text"], "")
                self.first.setdefault(frame["id"], shown)


class Crowd:
    """All clients, in a thread of their own."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._leave).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def join(self, clients: list[Client], *, with_page: bool = False) -> None:
        async def start() -> None:
            for client in clients:
                self._tasks.append(asyncio.create_task(_come(client, with_page)))

        self.clients += clients
        self._do(start).result(10)

    def look(self, question: Callable[[list[Client]], Any]) -> Any:
        """Ask in the clients' own loop, between two frames."""

        async def ask() -> Any:
            return question(self.clients)

        return self._do(ask).result(20)

    def _do(self, job: Callable[[], Awaitable[Any]]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(job(), self._loop)  # type: ignore[arg-type]

    async def _leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=10)


async def _come(client: Client, with_page: bool) -> None:
    while with_page:
        try:
            await client.open_page()
            break
        except FAULTS:
            await asyncio.sleep(client.dice.uniform(0, 1))
    await client.run()
