"""One client's resumable flow, whatever carries it: admission, hello, and its commands."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from django.utils.dateparse import parse_datetime

from clarion import inbox
from clarion.conf import settings
from clarion.exceptions import BadCursor, InvalidMark
from clarion.realtime import frames
from clarion.realtime.auth import FORBIDDEN, UNAUTHENTICATED, Identity
from clarion.realtime.connection import Connection, Unavailable
from clarion.realtime.feed import RESTARTING, Feed
from clarion.realtime.frames import Position
from clarion.realtime.topic import Topic

BAD_PROTOCOL, TOO_MANY_CONNECTIONS, TOO_MANY_FRAMES = 4503, 4504, 4006
_PROCESS, _number = secrets.token_hex(4), itertools.count()  # make names for connections
_RATE, _BURST = 20, 60  # frames from a client: each second, and at once

Cursors = Mapping[str, Position]


def cursors_in(given: Mapping[str, Any]) -> dict[str, Position]:
    """The cursors named in a query or a `resume`. Raise `BadCursor`."""
    return {name: Position.parse(given[name]) for name in ("inbox", "public") if given.get(name)}


async def open_stream(
    feed: Feed, connection: Connection, *, wanted: str | None = None, cursors: Cursors
) -> None:
    """Admit a client, greet it, and bring it from its cursors into step.

    `wanted` is the primary key in the address, if there is one. Raise `Unavailable` with a close
    code; the connection has been let go then. Otherwise call `feed.hub.leave` in the end.
    """
    person = connection.person
    _admit(feed, person, wanted)
    try:
        await feed.hub.enter(connection, person.pk if person else None)
        at = {topic: cursors.get(topic.stream) for topic in connection.topics()}
        await feed.hub.settle(connection, at, greet=partial(_hello, connection))
    except BaseException:
        feed.hub.leave(connection)
        raise


def _admit(feed: Feed, person: Identity | None, wanted: str | None) -> None:
    if person is None and not settings.PUBLIC_ANONYMOUS:
        raise Unavailable(UNAUTHENTICATED)
    if wanted is not None and (person is None or wanted != str(person.pk)):
        raise Unavailable(FORBIDDEN)
    if feed.draining:
        raise Unavailable(RESTARTING)
    topic = feed.hub.topics.get(f"inbox.{person.pk}") if person else None
    if topic is not None and topic.connections >= settings.MAX_CONNECTIONS_PER_USER:
        raise Unavailable(TOO_MANY_CONNECTIONS)


def _hello(connection: Connection, read: Mapping[Topic, Any]) -> bytes:
    counts = read[connection.inbox].counts if connection.inbox else None
    return frames.hello(
        client=f"{_PROCESS}{next(_number):x}",
        heartbeat=connection.carrier.heartbeat,
        streams={topic.stream: caught.position for topic, caught in read.items()},
        counts=vars(counts) if counts else None,
    )


def within_rate(connection: Connection, now: float) -> bool:
    """Whether one more frame from the client at `now` (seconds, monotonic) is not too many."""
    connection.allowance = max(connection.allowance, now) + 1 / _RATE
    return connection.allowance - now <= _BURST / _RATE


async def obey(feed: Feed, connection: Connection, frame: Mapping[str, Any]) -> bytes | None:
    """Do what a client's frame asks, and return the answer to send."""
    command = _COMMANDS.get(str(frame.get("type")))
    id = frame.get("id") if isinstance(frame.get("id"), str) else None
    try:
        if command is None:
            raise BadCursor(f"{frame.get('type')!r} is not a frame of {frames.PROTOCOL}")
        return await command(feed, connection, frame)
    except (BadCursor, InvalidMark) as error:
        return frames.refusal(id, title="Not understood", detail=str(error))


async def _resume(feed: Feed, connection: Connection, frame: Mapping[str, Any]) -> None:
    """It missed something: out of step, caught up from its own cursors, and back."""
    named = cursors_in(frame)
    at = {topic: named[topic.stream] for topic in connection.topics() if topic.stream in named}
    for topic in at:
        topic.live.discard(connection)
    if at:
        await feed.hub.settle(connection, at, answer=True)


async def _acknowledge(feed: Feed, connection: Connection, frame: Mapping[str, Any]) -> None:
    version = frame.get("inbox")
    if not isinstance(version, int) or not _is_number(version):
        raise BadCursor("ack: inbox must be a version, a whole number")
    if connection.inbox is not None:
        feed.acknowledge(connection.inbox, version)


async def _mark(feed: Feed, connection: Connection, frame: Mapping[str, Any]) -> bytes:
    if connection.inbox is None:
        return frames.refusal(frame.get("id"), title="Sign in to mark notifications", status=401)
    ids, upto, until = frame.get("ids"), frame.get("upto"), frame.get("until")
    if upto is not None and not _is_number(upto):
        raise InvalidMark("upto must be a version, a whole number")
    if ids is not None and not isinstance(ids, list):
        raise InvalidMark("ids must be a list")
    if until is not None:
        until = _moment(until)
    pk, state = connection.person.pk, str(frame.get("as"))
    try:
        done = await feed.run(partial(inbox.mark, pk, state, ids, upto=upto, until=until))
    except InvalidMark:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of the database is not the client's end
        feed.note("marking in", error)
        return frames.refusal(frame.get("id"), title="Try again later", status=503)
    return frames.reply(
        str(frame.get("id")),
        version=done.version,
        counts=vars(done.counts),
        changed=done.changed,
    )


async def _ping(feed: Feed, connection: Connection, frame: Mapping[str, Any]) -> bytes:
    return feed.hub.heartbeat(connection)


_COMMANDS: dict[str, Callable[[Feed, Connection, Mapping[str, Any]], Awaitable[bytes | None]]] = {
    "resume": _resume,
    "ack": _acknowledge,
    "mark": _mark,
    "ping": _ping,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _moment(text: object) -> Any:
    try:
        moment = parse_datetime(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidMark("until must be a moment with its time zone, as in 2026-01-05T16:00:00Z")
    return moment
