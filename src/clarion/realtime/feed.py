"""What a serving process asks of the database for all its connections together.

Questions are collected for a few milliseconds and asked at once; a topic that misses something is
read once, whoever noticed. Every RECONCILE_INTERVAL all that is shown is compared with the
database, so that no nudge has to arrive. Faults of the database are waited out here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, close_old_connections, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from clarion import inbox, runner
from clarion.conf import settings
from clarion.inbox import State
from clarion.realtime import catchup
from clarion.realtime.auth import (
    EXPIRED,
    REVOKED,
    Identity,
    credential_digest,
    person_in,
    persons_of_sessions,
    session_key,
)
from clarion.realtime.brokers import get_broker
from clarion.realtime.catchup import CatchUp
from clarion.realtime.collector import Collector
from clarion.realtime.connection import INSUFFICIENT, Connection, Unavailable
from clarion.realtime.frames import Nudge, Position
from clarion.realtime.hub import Hub
from clarion.realtime.topic import Topic, behind

logger = logging.getLogger("clarion")

RESTARTING = 1012
_IN_A_JOB = 1000  # recipients
_SESSIONS_IN_A_JOB = 100
_THREADS = 4
_KEPT_FOR = 60.0  # seconds that their database connections are used
_POOL = "clarion-db"  # the name of the threads
_READ_TIMEOUT = 10.0  # seconds a connecting client waits for the database
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds after a fault
_RETURNS = 1000  # clients a second that the other processes take back
_GROWTH = 1000  # connections between two visits to the garbage collector

T = TypeVar("T")
Question = tuple[Any, Position | None]  # a recipient, or _PUBLIC; and the cursor
_PUBLIC = None
_ASK = Nudge("", "", 0, 0, b"")  # something changed, ask the database


@dataclass(frozen=True, slots=True)
class Answer:
    """Where somebody stands, and the digest of their password; None if they may not listen."""

    credential: str | None
    caught: CatchUp


_feeds: dict[asyncio.AbstractEventLoop, Feed] = {}


def current() -> Feed:
    """The feed of the running event loop, started when it is first needed."""
    loop = asyncio.get_running_loop()
    feed = _feeds.get(loop)
    if feed is None:
        for ended in [other for other in _feeds if other.is_closed()]:  # by tests, mostly
            del _feeds[ended]
        feed = _feeds[loop] = Feed()
    return feed


class Feed:
    """One for each process and event loop; stands between its hub and the database."""

    def __init__(self) -> None:
        self.hub = Hub(self, get_broker(), self.reconcile_now)
        self.hub.on_word = {"batch": self._on_batch, "control": self._on_control}
        self.draining = False
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(_THREADS, _POOL)
        self._reads = Collector(partial(self.run, _look_up), _rounds, at_once=2)
        self._sessions = Collector(partial(self.run, persons_of_sessions), _portions, at_once=2)
        self._acks: dict[Any, int] = {}
        self._pause = 0.0
        self._due = asyncio.Event()
        self._frozen = 0
        for work in (self._reconcile, self._tick):
            self.hub.spawn(self._for_ever(work))
        runner.ensure()

    async def run(self, job: Callable[..., T], *arguments: Any) -> T:
        """Run `job` in a thread of ours, with a database connection that is known to be good."""
        return await self._loop.run_in_executor(self._pool, _in_thread, job, *arguments)

    async def close(self) -> None:
        _feeds.pop(self._loop, None)
        self._reads.close()
        self._sessions.close()
        await self.hub.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # What connections ask

    async def read(
        self, connection: Connection, cursors: Mapping[Topic, Position | None]
    ) -> dict[Topic, CatchUp]:
        """What leads from each cursor to now. Raise `Unavailable`: revoked, or no database."""
        found: dict[Topic, CatchUp] = {}
        asked = {}
        for topic, cursor in cursors.items():
            if cursor and topic.pk is _PUBLIC and topic.live and cursor == topic.position:
                found[topic] = CatchUp(cursor, None)  # as nearly everybody who comes back
            else:
                asked[topic] = self._reads.ask((topic.pk, cursor))
        if asked and (await asyncio.wait(asked.values(), timeout=_READ_TIMEOUT))[1]:
            raise Unavailable(INSUFFICIENT)
        for topic, answer in asked.items():
            found[topic] = _allowed(connection, topic, answer.result())
        return found

    def heal(self, topic: Topic) -> None:
        if topic.position is not None:
            asked = self._reads.ask((topic.pk, topic.position))
            asked.add_done_callback(partial(self._healed, topic))

    def _healed(self, topic: Topic, done: asyncio.Future[Answer | None]) -> None:
        answer = None if done.cancelled() else done.result()
        if answer is not None:
            topic.verified = answer.caught.position
            self.hub.refill(topic, answer.caught)

    async def identify(self, scope: Mapping[str, Any]) -> Identity | None:
        """Who `scope` says it is. Raise `Unavailable` when that can't be found out."""
        if scope.get("user") is not None:  # Channels' AuthMiddlewareStack was here
            return await _in_time(self.run(person_in, scope))
        key = session_key(scope)
        return await _in_time(asyncio.shield(self._sessions.ask(key))) if key else None

    def note(self, doing: str, error: Exception) -> None:
        """Say that the database failed, once until it works again."""
        self._failed(doing, error)

    def _failed(self, doing: str, error: Exception) -> None:
        if not self._pause:
            logger.warning("%s the database failed (%r); trying again until it works", doing, error)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)

    # Words between processes

    def _on_batch(self, word: dict[str, Any]) -> None:
        """Many recipients at once, named or as a range of primary keys: which of them are here?"""
        if "ids" in word:
            names = (f"inbox.{pk}" for pk in word["ids"])
            hit = [topic for name in names if (topic := self.hub.topics.get(name))]
        else:
            every = self.hub.topics.values()
            hit = [topic for topic in every if _within(topic.pk, word["first"], word["last"])]
        for topic in hit:
            self.hub.accept(topic, _ASK)

    def _on_control(self, word: dict[str, Any]) -> None:
        close = word["close"]
        for connection in list(self.hub.connections()):
            person = connection.person
            if person is None or str(person.pk) != str(close["user"]):
                continue
            if close["session"] in (None, person.session):
                self.hub.shut(connection, close["code"])

    # The passing of time

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the next turn may be better
                self._failed("comparing with", error)
                await asyncio.sleep(self._pause)

    def reconcile_now(self) -> None:
        self._due.set()

    async def _reconcile(self) -> None:
        healthy = self.hub.line.healthy
        pause = settings.RECONCILE_INTERVAL if healthy else settings.RECONCILE_INTERVAL_UNHEALTHY
        try:
            async with asyncio.timeout(pause):
                await self._due.wait()
        except TimeoutError:
            pass
        self._due.clear()
        topics = {topic.pk: topic for topic in self.hub.topics.values() if topic.connections}
        pks = [pk for pk in topics if pk is not _PUBLIC]
        if _PUBLIC in topics:
            self._compare(topics[_PUBLIC], await self.run(catchup.public_position))
        for first in range(0, len(pks), _IN_A_JOB):
            part = pks[first : first + _IN_A_JOB]
            seen = await self.run(partial(inbox.states, part, admitting=False))
            for pk, state in seen.items():
                self._compare(topics[pk], state.position)
            self._shut_out(part, seen)
        self._pause = 0.0

    def _compare(self, topic: Topic, position: Position) -> None:
        topic.verified = position
        if topic.position is not None and behind(topic.position, position):
            self.hub.gap(topic)

    def _shut_out(self, pks: list[Any], seen: Mapping[Any, State]) -> None:
        """Whoever is gone, deactivated or has another password now hears nothing from now on."""
        looked = set(pks)
        for connection in list(self.hub.connections()):
            person = connection.person
            if person is None or person.pk not in looked:
                continue
            credential = _credential_of(seen.get(person.pk))
            if credential != person.credential:
                self.hub.shut(connection, _end_of(credential))

    async def _tick(self) -> None:
        second = int(self._loop.time())
        await self.hub.beat(second)
        self._expire()
        self._visit_collector()
        await self.hub.retire()
        await self._flush_acks()
        await asyncio.sleep(1 - self._loop.time() % 1)

    def _expire(self) -> None:
        now = time.time()
        for connection in list(self.hub.connections()):
            expires = connection.person.expires if connection.person else None
            if expires is not None and expires < now:
                self.hub.shut(connection, EXPIRED)

    def _visit_collector(self) -> None:
        """A full collection with thousands of connections stops everything for a second: what has
        grown is set aside, and taken back when half of it is gone."""
        count = self.hub.count
        if count >= self._frozen + _GROWTH:
            gc.freeze()
            self._frozen = count
        elif self._frozen and count < self._frozen / 2:
            gc.unfreeze()
            self._frozen = 0 if count < _GROWTH else count

    # What clients tell

    def acknowledge(self, topic: Topic, version: int) -> None:
        """A client of `topic` holds everything up to `version`. Written a second later, for all."""
        known = topic.position.version if topic.position else 0
        version = min(version, known)
        if version > self._acks.get(topic.pk, 0):
            self._acks[topic.pk] = version

    async def _flush_acks(self) -> None:
        acks, self._acks = self._acks, {}
        if not acks:
            return
        try:
            await self.run(catchup.acknowledge, acks)
        except Exception:
            for pk, version in acks.items():
                self._acks[pk] = max(version, self._acks.get(pk, 0))
            raise

    # Going down

    async def drain(self, seconds: float) -> None:
        """Send everybody elsewhere, in portions, each with a window in which to come back."""
        self.draining = True
        here = list(self.hub.connections())
        retry = self.retry_window()
        portions = max(1, int(seconds * 10))
        for number in range(portions):
            for connection in here[number::portions]:
                self.hub.shut(connection, RESTARTING, retry)
            await asyncio.sleep(seconds / portions)

    def retry_window(self) -> tuple[int, int]:
        """Milliseconds: long enough for others to take our clients at half their rate."""
        return 0, max(1000, int(self.hub.count / (0.5 * _RETURNS) * 1000))


def _rounds(asked: Iterable[Question]) -> list[list[Question]]:
    """Questions in jobs of bounded size, none with two cursors of the same recipient."""
    rounds: list[dict[Any, Question]] = [{}]
    for question in asked:
        whose = question if question[0] is _PUBLIC else question[0]
        fits = next((r for r in rounds if whose not in r and len(r) < _IN_A_JOB), None)
        if fits is None:
            rounds.append(fits := {})
        fits[whose] = question
    return [list(each.values()) for each in rounds]


def _portions(keys: Iterable[str]) -> list[list[str]]:
    every = list(keys)
    return [every[n : n + _SESSIONS_IN_A_JOB] for n in range(0, len(every), _SESSIONS_IN_A_JOB)]


async def _in_time(answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_READ_TIMEOUT):
            return await answer
    except (TimeoutError, DatabaseError) as error:
        raise Unavailable(INSUFFICIENT) from error


def _in_thread(job: Callable[..., T], *arguments: Any) -> T:
    close_old_connections()
    try:
        return job(*arguments)
    except Exception:
        for connection in connections.all(initialized_only=True):
            connection.close()
        raise
    finally:
        close_old_connections()


@receiver(connection_created, dispatch_uid="clarion.feed")
def _keep(connection: Any, **_: Any) -> None:
    """In our few threads, whatever CONN_MAX_AGE says of requests: opening a connection for each
    question costs more than the question. One that a pool lends goes back at once."""
    ours = threading.current_thread().name.startswith(_POOL)
    if ours and not connection.settings_dict["OPTIONS"].get("pool"):
        connection.close_at = time.monotonic() + _KEPT_FOR


def _look_up(asked: list[Question]) -> dict[Question, Answer]:
    found = {
        (pk, cursor): Answer(None, catchup.public_catch_up(cursor))
        for pk, cursor in asked
        if pk is _PUBLIC
    }
    cursors = {pk: cursor for pk, cursor in asked if pk is not _PUBLIC}
    if cursors:
        for pk, caught in catchup.catch_up(cursors).items():
            found[pk, cursors[pk]] = Answer(_credential_of(caught.state), caught)
    return found


def _credential_of(owner: State | None) -> str | None:
    return credential_digest(owner.password) if owner and owner.is_active else None


def _allowed(connection: Connection, topic: Topic, answer: Answer | None) -> CatchUp:
    if answer is None:
        raise Unavailable(REVOKED)
    if topic.pk is not _PUBLIC and answer.credential != connection.person.credential:
        raise Unavailable(_end_of(answer.credential))
    return answer.caught


def _end_of(credential: str | None) -> int:
    """Why a connection ends: another password now may come with a session that was kept."""
    return REVOKED if credential is None else EXPIRED


def _within(pk: Any, first: Any, last: Any) -> bool:
    """Whether a primary key is in a range; when it can't be told, it is."""
    if pk is None:
        return False
    try:
        kind = uuid.UUID if isinstance(pk, uuid.UUID) else type(pk)
        return bool(isinstance(pk, str) or kind(first) <= pk <= kind(last))
    except (TypeError, ValueError):
        return True
