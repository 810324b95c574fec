"""Whatever is lost, repeated or reordered on the way, every client ends where the database is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.exceptions import BadCursor
from clarion.realtime import frames
from clarion.realtime.brokers.memory import MemoryBroker
from clarion.realtime.connection import Connection
from clarion.realtime.eager import start
from clarion.realtime.frames import ZERO, Nudge, Position, aside, pack, unpack
from clarion.realtime.hub import Hub
from clarion.realtime.topic import Topic, Verdict, behind, judge
from clarion.realtime.websocket import WEBSOCKET


class Database:
    """One stream whose change number n is the item n; answers as the real one, after a while."""

    def __init__(self) -> None:
        self.version = 0
        self.reads = 0
        self.hub: Hub

    def commit(self) -> Nudge:
        self.version += 1
        return Nudge("public", "e", self.version - 1, self.version, self.frame(self.version - 1))

    def frame(self, after: int, version: int | None = None) -> bytes:
        version = version or self.version
        shown = [{"id": number} for number in range(after + 1, version + 1)]
        return frames.change("public", epoch="e", after=after, version=version, items=shown)

    def _since(self, cursor: Position | None) -> Caught:
        self.reads += 1
        at = Position("e", self.version) if self.version else ZERO
        if cursor is None or cursor.version >= self.version:
            return Caught(at)
        return Caught(at, [self.frame(cursor.version)])

    async def read(
        self, connection: Connection, cursors: Mapping[Topic, Position | None]
    ) -> dict[Topic, Caught]:
        found = {topic: self._since(cursor) for topic, cursor in cursors.items()}
        await asyncio.sleep(0)
        return found

    def heal(self, topic: Topic) -> None:
        assert topic.position is not None
        found = self._since(topic.position)
        asyncio.get_running_loop().call_soon(self.hub.refill, topic, found)


@dataclass
class Caught:
    position: Position
    frames: list[bytes] = field(default_factory=list)
    counts: None = None


class Client:
    """Follows the client's rules of the protocol, and notes when it has to complain."""

    def __init__(self, hub: Hub, version: int = 0) -> None:
        self.hub = hub
        self.at = version
        self.items: set[int] = set(range(1, version + 1))
        self.gaps = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self.connection = Connection(WEBSOCKET, self.send)

    async def send(self, message: dict[str, Any]) -> None:
        await self.writable.wait()
        frame = json.loads(message.get("text", "{}"))
        if frame.get("type") != "change" or frame["version"] <= self.at:
            return
        if frame["after"] > self.at:
            self.gaps += 1
            return
        self.items |= {item["id"] for item in frame["items"]}
        self.at = frame["version"]

    async def join(self) -> None:
        await self.hub.enter(self.connection)
        public = self.connection.public
        assert public is not None
        at = Position("e", self.at) if self.at else ZERO
        await self.hub.settle(self.connection, {public: at})


async def _hub() -> tuple[Hub, Database]:
    database = Database()
    database.hub = hub = Hub(database, MemoryBroker(), lambda: None)
    return hub, database


async def _rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


faults = st.lists(
    st.sampled_from(["commit", "lose", "repeat", "swap", "empty", "join", "block", "free", "turn"]),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(faults)
def test_every_client_ends_where_the_database_is(happening: list[str]) -> None:
    asyncio.run(_everybody_converges(happening))


async def _everybody_converges(happening: list[str]) -> None:
    hub, database = await _hub()
    clients = [Client(hub)]
    await clients[0].join()
    kept: list[Nudge] = []
    joining: list[asyncio.Task[None]] = []
    for what in happening:
        if what in ("commit", "lose", "swap", "empty"):
            nudge = database.commit()
            kept.append(nudge)
            if what == "commit":
                hub.receive(pack(nudge))
            elif what == "swap":
                other = database.commit()
                hub.receive(pack(other))
                hub.receive(pack(nudge))
            elif what == "empty":
                hub.receive(pack(Nudge("public", "", 0, 0, b"")))
        elif what == "repeat" and kept:
            hub.receive(pack(kept[len(kept) // 2]))
        elif what == "join":
            clients.append(Client(hub, database.version // 2))
            joining.append(asyncio.ensure_future(clients[-1].join()))
        elif what in ("block", "free"):
            client = clients[len(kept) % len(clients)]
            (client.writable.clear if what == "block" else client.writable.set)()
        elif what == "turn":
            await asyncio.sleep(0)

    for client in clients:
        client.writable.set()
    await asyncio.gather(*joining)
    await _rest()
    hub.gap(hub.topics["public"])  # as the comparison with the database does when it differs
    await _rest()

    for client in clients:
        assert client.at == database.version
        assert client.items == set(range(1, database.version + 1))
        assert client.gaps == 0, "the hub must know by itself who misses what"
    await hub.close()


numbers = st.integers(0, 6)
positions = st.builds(Position, st.sampled_from(["a", "b"]), numbers) | st.just(ZERO)


@given(positions, numbers, numbers, st.sampled_from(["a", "b"]))
def test_a_nudge_is_followed_only_when_nothing_lies_between(
    at: Position, after: int, length: int, epoch: str
) -> None:
    nudge = Nudge("public", epoch, after, after + length, b"{}")

    verdict = judge(at, nudge)

    same = at == ZERO or at.epoch == epoch
    covered = after <= at.version < nudge.version
    assert (verdict is Verdict.NEXT) == (same and covered)
    if verdict is Verdict.REPEAT and nudge.version:
        assert not behind(at, Position(epoch, nudge.version))


async def test_a_quiet_topic_costs_no_read_when_the_next_nudge_fits() -> None:
    hub, database = await _hub()
    client = Client(hub)
    await client.join()
    before = database.reads

    for _ in range(10):
        hub.receive(pack(database.commit()))

    assert client.at == 10
    assert database.reads == before
    await hub.close()


async def test_one_slow_socket_delays_nobody_and_costs_one_pending_send() -> None:
    hub, database = await _hub()
    slow, quick = Client(hub), Client(hub)
    for client in (slow, quick):
        await client.join()
    slow.writable.clear()

    for _ in range(1000):
        hub.receive(pack(database.commit()))

    assert quick.at == 1000
    assert len(hub._tasks) == 1
    slow.writable.set()
    await _rest()
    assert slow.at == 1000
    await hub.close()


async def test_a_large_audience_gets_every_frame_in_order() -> None:
    hub, database = await _hub()
    clients = [Client(hub) for _ in range(700)]
    for client in clients:
        await client.join()

    for _ in range(200):  # more than may wait: the rest comes from the database
        hub.receive(pack(database.commit()))
    async with asyncio.timeout(20):
        while {client.at for client in clients} != {200}:
            await asyncio.sleep(0.05)

    assert sum(client.gaps for client in clients) == 0
    await hub.close()


async def test_a_toast_moves_no_cursor() -> None:
    hub, _ = await _hub()
    client = Client(hub)
    await client.join()

    hub.receive(pack(aside("public", frames.toast("hi"))))

    assert hub.topics["public"].position == ZERO
    await hub.close()


@pytest.mark.parametrize("data", [b"", b"\n", b"public e 1\n{}", b"public e x y\n{}", b"\xff \n"])
async def test_what_is_no_nudge_harms_nobody(data: bytes) -> None:
    hub, _ = await _hub()

    hub.receive(data)

    await hub.close()


async def test_a_topic_nobody_came_back_to_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clarion.realtime.hub._LINGER", 0.0)
    hub, _ = await _hub()
    client = Client(hub)
    await client.join()

    hub.leave(client.connection)
    await hub.retire()

    assert hub.topics == {}
    assert hub.count == 0
    await hub.close()


async def test_a_send_that_need_not_wait_is_done_at_once_and_one_that_waits_can_be_awaited() -> (
    None
):
    gate = asyncio.Event()
    done: list[str] = []

    async def send(name: str, wait: Callable[[], Awaitable[Any]] | None = None) -> str:
        if wait is not None:
            await wait()
            await asyncio.sleep(0)
        done.append(name)
        return name

    assert start(send("quick")) is None
    pending = start(send("slow", gate.wait))
    assert done == ["quick"]

    gate.set()
    assert pending is not None
    assert await pending == "slow"


async def test_a_started_send_can_be_cancelled() -> None:
    ended: list[str] = []

    async def send() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("yes")

    pending = start(send())
    assert pending is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pending

    assert ended == ["yes"]


cursors = st.builds(
    Position, st.from_regex(r"[A-Za-z0-9_-]{0,12}", fullmatch=True), st.integers(0, 2**53)
)


@given(cursors)
def test_a_position_is_read_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(st.text() | st.none() | st.integers())
def test_any_other_text_is_a_bad_cursor(text: Any) -> None:
    try:
        position = Position.parse(text)
    except BadCursor:
        return
    assert Position.parse(str(position)) == position


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.integers()))
def test_a_frame_is_one_line_whatever_is_in_it(title: str, body: str, item: dict[str, Any]) -> None:
    frame = frames.change("inbox", epoch="e", after=0, version=1, items=[{"t": title, **item}])
    frame += frames.toast(title, body=body)

    assert b"\n" not in frame
    assert b"\r" not in frame


@given(
    st.builds(
        Nudge,
        st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9-]{0,12}", fullmatch=True),
        st.integers(0, 2**53),
        st.integers(0, 2**53),
        st.binary(),
    )
)
def test_a_nudge_arrives_as_it_was_sent(nudge: Nudge) -> None:
    assert unpack(pack(nudge)) == nudge
