"""All connections of one process, and what reaches them. Knows bytes and topics, no database.

A nudge costs one range check, then a loop over those in step with its topic: one prepared message
for all, each send started at once. Whoever can't take it (a slow consumer) leaves `live`: it is a
lagging cursor, whose pending send is finished before it is caught up from the database and comes
back. So one slow socket never delays another, and costs no more memory than its cursor.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from clarion.conf import settings
from clarion.realtime import frames
from clarion.realtime.brokers import shard
from clarion.realtime.brokers.base import Broker
from clarion.realtime.connection import SLOW, Carrier, Caught, Connection, Source, Unavailable
from clarion.realtime.frames import EPHEMERAL, ZERO, Nudge, Position, unpack
from clarion.realtime.topic import Topic, Verdict, judge

logger = logging.getLogger("clarion")

_PACE = 256  # sends between two turns of the loop
_QUEUED_AT_MOST = 64  # frames waiting for a large audience
_READS = 4  # attempts to get in step before the database's word is taken as it is
_FAREWELL = 5.0  # seconds a closing client has to take our goodbye
_LINGER = 30.0  # seconds a topic without connections is still held


class Hub:
    """One for each process and event loop."""

    def __init__(self, source: Source, broker: Broker, resync: Callable[[], None]) -> None:
        self.topics: dict[str, Topic] = {}
        self.on_word: dict[str, Callable[[dict[str, Any]], None]] = {}  # "batch", "control"
        self.line = broker.attach(self.receive, resync)
        self.count = 0
        self._source = source
        self._shards: dict[str, int] = {}
        self._idle: dict[Topic, float] = {}
        self._wheels: dict[Carrier, list[set[Connection]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()

    # Who is here

    def connections(self) -> Iterable[Connection]:
        return (each for wheel in self._wheels.values() for slot in wheel for each in slot)

    async def enter(self, connection: Connection, pk: Any = None) -> None:
        """Take in a connection of the user `pk` (None: a visitor), and hold its topics."""
        wheel = self._wheels.get(connection.carrier)
        if wheel is None:
            wheel = [set() for _ in range(connection.carrier.heartbeat)]
            self._wheels[connection.carrier] = wheel
        connection.slot = wheel[self.count % len(wheel)]
        connection.slot.add(connection)
        self.count += 1
        connection.public = self._topic("public", None)
        if pk is not None:
            connection.inbox = self._topic(f"inbox.{pk}", pk)
        for topic in connection.topics():
            await self._hold(topic)

    def leave(self, connection: Connection) -> None:
        if connection.slot is None:
            return
        connection.slot.discard(connection)
        connection.slot = None
        self.count -= 1
        for topic in connection.topics():
            topic.live.discard(connection)
            topic.connections -= 1
            if not topic.connections:
                self._idle[topic] = self._loop.time() + _LINGER

    def _topic(self, name: str, pk: Any) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, pk)
            topic.shard = shard(name)
            self._shards[topic.shard] = self._shards.get(topic.shard, 0) + 1
        topic.connections += 1
        self._idle.pop(topic, None)
        return topic

    async def _hold(self, topic: Topic) -> None:
        if topic.connections == 1 or topic.position is None:
            await self.line.subscribe(topic.shard)

    async def retire(self) -> None:
        """Let go of topics that nobody came back to."""
        now = self._loop.time()
        for topic in [topic for topic, until in self._idle.items() if until <= now]:
            del self._idle[topic], self.topics[topic.name]
            self._shards[topic.shard] -= 1
            if not self._shards[topic.shard]:
                del self._shards[topic.shard]
                await self.line.unsubscribe(topic.shard)

    # What comes in

    def receive(self, data: bytes) -> None:
        """A message from the broker."""
        try:
            nudge = unpack(data)
            word = self.on_word.get(nudge.topic)
            if word is not None:
                word(json.loads(nudge.frame))
            elif (topic := self.topics.get(nudge.topic)) is not None:
                self.accept(topic, nudge)
        except Exception:
            logger.exception("a nudge was not understood")

    def accept(self, topic: Topic, nudge: Nudge) -> None:
        if nudge.epoch == EPHEMERAL:
            return self._broadcast(topic, nudge.frame, None)
        topic.remember(nudge)
        if topic.position is None:
            topic.stale |= not nudge.version
            return None
        verdict = judge(topic.position, nudge)
        if verdict is Verdict.NEXT and not self._is_full(topic):
            topic.position = Position(nudge.epoch, nudge.version)
            self._broadcast(topic, nudge.frame, topic.position)
        elif verdict is not Verdict.REPEAT:
            self.gap(topic, nudge)
        return None

    def gap(self, topic: Topic, nudge: Nudge | None = None) -> None:
        """Something is missing. Whoever is in step gets it from the database."""
        if topic.live and not self._is_full(topic):
            self._source.heal(topic)
        elif topic.live or topic.joining:
            topic.stale = True
        elif nudge is not None:
            topic.pass_by(nudge)

    def refill(self, topic: Topic, caught: Caught) -> None:
        """What was missing is here: frames from where `topic` was to `caught.position`."""
        if topic.position is None or caught.position == topic.position:
            return
        same = caught.position.epoch == topic.position.epoch
        if same and caught.position.version < topic.position.version:
            return
        if not caught.frames and topic.position != ZERO:
            return  # it was asked from somewhere else; the next comparison knows better
        after, topic.position = topic.position, caught.position
        found = caught.frames or [_nothing(topic, after, caught.position)]
        for frame in found[:-1]:
            self._broadcast(topic, frame, None)
        self._broadcast(topic, found[-1], caught.position)

    # What goes out

    def _is_full(self, topic: Topic) -> bool:
        return topic.queue is not None and len(topic.queue) >= _QUEUED_AT_MOST

    def _broadcast(self, topic: Topic, frame: bytes, to: Position | None) -> None:
        """`to` is where a client is after this frame; None when the frame does not move it."""
        if topic.queue is not None:
            topic.queue.append((frame, to))
        elif len(topic.live) <= _PACE:
            self._send_all(topic, tuple(topic.live), frame, to)
            topic.settled = to or topic.settled
        else:
            topic.queue = deque([(frame, to)])
            self.spawn(self._pump(topic, topic.queue))

    async def _pump(self, topic: Topic, queue: deque[tuple[bytes, Position | None]]) -> None:
        """A large audience gets a frame in portions, so that others get a turn."""
        while queue:
            frame, to = queue.popleft()
            members = tuple(topic.live)
            for first in range(0, len(members), _PACE):
                self._send_all(topic, members[first : first + _PACE], frame, to)
                await asyncio.sleep(0)
            topic.settled = to or topic.settled
        topic.queue = None
        self._mend(topic)

    def _mend(self, topic: Topic) -> None:
        if topic.stale and topic.live:
            topic.stale = False
            self._source.heal(topic)

    def _send_all(
        self, topic: Topic, members: Iterable[Connection], frame: bytes, to: Position | None
    ) -> None:
        mark = f"{topic.stream}.{to}" if to is not None else None
        prepared: dict[Carrier, Any] = {}
        live = topic.live
        for connection in members:
            if connection not in live:  # it fell back while this was under way
                continue
            carrier = connection.carrier
            message = prepared.get(carrier)
            if message is None:
                message = prepared[carrier] = carrier.message(frame, mark)
            try:
                pending = carrier.hand(connection.send, message)
            except Exception:  # noqa: BLE001 - it is gone; its own coroutine will hear of it
                live.discard(connection)
                continue
            if pending is not None:
                self._fall_back(connection, pending)

    def _send(self, connection: Connection, message: Any) -> None:
        try:
            pending = connection.carrier.hand(connection.send, message)
        except Exception:  # noqa: BLE001 - as above
            return
        if pending is not None:
            self._fall_back(connection, pending)

    # Falling behind and catching up

    def _fall_back(self, connection: Connection, pending: Awaitable[Any]) -> None:
        cursors: dict[Topic, Position | None] = {}
        for topic in connection.topics():
            if connection in topic.live:
                topic.live.discard(connection)
                cursors[topic] = topic.settled
        self.spawn(self._recover(connection, pending, cursors))

    async def _recover(
        self, connection: Connection, pending: Awaitable[Any], cursors: dict[Topic, Position | None]
    ) -> None:
        try:
            async with asyncio.timeout(settings.SLOW_TIMEOUT):
                await pending
            if cursors:
                await self.settle(connection, cursors)
        except TimeoutError:
            self.shut(connection, SLOW)
        except Unavailable as error:
            self.shut(connection, error.code)
        except Exception as error:  # noqa: BLE001 - it is gone
            logger.debug("a lagging connection is gone: %r", error)

    async def settle(
        self,
        connection: Connection,
        cursors: Mapping[Topic, Position | None],
        *,
        greet: Callable[[Mapping[Topic, Any]], bytes] | None = None,
        answer: bool = False,
    ) -> None:
        """Bring a connection from `cursors` (None: from now) into step: the only way into `live`.

        `greet` makes a first frame of what was read; with `answer` each topic gets some frame.
        Raises `Unavailable`, TimeoutError for a peer that takes nothing, or what `send` raises.
        """
        joining = tuple(cursors)
        for topic in joining:
            topic.begin_joining()
        try:
            await self._settle(connection, dict(cursors), greet, answer=answer)
        finally:
            for topic in joining:
                topic.end_joining()

    async def _settle(
        self,
        connection: Connection,
        cursors: dict[Topic, Position | None],
        greet: Callable[[Mapping[Topic, Any]], bytes] | None,
        *,
        answer: bool,
    ) -> None:
        for attempt in range(1, _READS + 1):
            read = await self._source.read(connection, cursors)
            if greet is not None and attempt == 1:
                await self._give(connection, greet(read), None)
            for topic, caught in read.items():
                del cursors[topic]
                await self._replay(connection, topic, caught, answer=answer and attempt == 1)
                force = attempt == _READS
                reached = await self._join(connection, topic, caught.position, force=force)
                if reached is not None:
                    cursors[topic] = reached
            if not cursors or connection.closing:
                return

    async def _replay(
        self, connection: Connection, topic: Topic, caught: Caught, *, answer: bool
    ) -> None:
        found = caught.frames
        if answer and not found:
            found = [_nothing(topic, caught.position, caught.position)]
        for number, frame in enumerate(found, 1):
            to = caught.position if number == len(found) else None
            await self._give(connection, frame, f"{topic.stream}.{to}" if to else None)

    async def _join(
        self, connection: Connection, topic: Topic, at: Position, *, force: bool
    ) -> Position | None:
        """Put it into `live`, and return None; or return the position from which to read again."""
        while not connection.closing:
            missing = topic.missing(at)
            if missing is None and not force:
                return at
            if not missing:
                if not topic.live:
                    topic.adopt(at)
                topic.live.add(connection)
                self._mend(topic)
                return None
            for nudge in missing:
                at = Position(nudge.epoch, nudge.version)
                await self._give(connection, nudge.frame, f"{topic.stream}.{at}")
        return None

    async def _give(self, connection: Connection, frame: bytes, mark: str | None) -> None:
        pending = connection.give(frame, mark)
        if pending is not None:
            async with asyncio.timeout(settings.SLOW_TIMEOUT):
                await pending

    # The passing of time

    async def beat(self, second: int) -> None:
        """Heartbeats for those whose turn it is: a different share of all in each second."""
        for carrier, wheel in self._wheels.items():
            slot = tuple(wheel[second % len(wheel)])
            for number, connection in enumerate(slot, 1):
                if connection.public is not None and connection in connection.public.live:
                    self._send(connection, carrier.message(self.heartbeat(connection), None))
                if number % _PACE == 0:
                    await asyncio.sleep(0)

    def heartbeat(self, connection: Connection) -> bytes:
        return frames.heartbeat({topic.stream: topic.verified for topic in connection.topics()})

    def shut(self, connection: Connection, code: int, retry: tuple[int, int] | None = None) -> None:
        """Say goodbye and close. The connection hears nothing else from now on."""
        if connection.closing:
            return
        connection.closing = code
        for topic in connection.topics():
            topic.live.discard(connection)
        self.spawn(self._farewell(connection, frames.bye(code, retry), code))

    async def _farewell(self, connection: Connection, bye: bytes, code: int) -> None:
        try:
            async with asyncio.timeout(_FAREWELL):
                await connection.end(bye, code)
        except Exception as error:  # noqa: BLE001 - one way or another, it ends here
            logger.debug("a goodbye was not taken: %r", error)
            connection.abort()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside everything else, and keep it from being collected."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.line.close()


def _nothing(topic: Topic, after: Position, to: Position) -> bytes:
    """A change without content: it only moves the cursor, or says that nothing is missing."""
    start_of_range = after.version if after.epoch == to.epoch else 0
    return frames.change(
        topic.stream, epoch=to.epoch, after=min(start_of_range, to.version), version=to.version
    )
