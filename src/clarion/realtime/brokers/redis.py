"""Redis or Valkey publish/subscribe, directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis as sync_redis
from redis import asyncio as async_redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from clarion.realtime.brokers.base import (
    PATIENCE,
    Broker,
    Line,
    Receive,
    RemoteLine,
    namespaced,
)
from clarion.realtime.brokers.outbound import Message, Outbound

_NOBODY = asyncio.Event()  # waits for this


class RedisBroker(Broker):
    """`url` as redis-py takes it: redis://, rediss:// or unix://."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._outbound = Outbound(self._sender)

    def publish(self, topic: str, data: bytes) -> None:
        self._outbound.put(topic, data)

    def attach(self, receive: Receive, resync: Callable[[], None]) -> Line:
        return RedisLine(self._url, receive, resync)

    def _sender(self) -> Callable[[Sequence[Message]], None]:
        client = sync_redis.Redis.from_url(
            self._url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 1),  # an idle connection may have been cut
        )

        def send(batch: Sequence[Message]) -> None:
            pipeline = client.pipeline(transaction=False)
            for topic, data in batch:
                pipeline.publish(namespaced(topic), data)
            pipeline.execute()

        return send


class RedisLine(RemoteLine):
    def __init__(self, url: str, receive: Receive, resync: Callable[[], None]) -> None:
        self._url = url
        self._client: Any = None
        self._pubsub: Any = None
        self._held: set[str] = set()
        self._confirmed: dict[str, asyncio.Event] = {}  # by those who wait for it
        super().__init__(receive, resync)

    async def subscribe(self, topic: str) -> None:
        self.topics.add(topic)
        if topic in self._held:
            return
        confirmed = self._confirmed.setdefault(topic, asyncio.Event())
        try:
            async with asyncio.timeout(PATIENCE if self.healthy else 0):
                await self._connected.wait()
                await self._pubsub.subscribe(namespaced(topic))
                await confirmed.wait()
        except (sync_redis.RedisError, OSError, TimeoutError):
            return  # the next connection holds it, and asks the database for what was missed

    async def unsubscribe(self, topic: str) -> None:
        self.topics.discard(topic)
        self._held.discard(topic)
        if self._connected.is_set():
            try:
                await self._pubsub.unsubscribe(namespaced(topic))
            except (sync_redis.RedisError, OSError):
                return

    async def _connect(self) -> None:
        self._client = async_redis.Redis.from_url(
            self._url,
            socket_timeout=None,  # waiting is what this connection is for
            socket_connect_timeout=PATIENCE,
            socket_keepalive=True,
            retry=AsyncRetry(NoBackoff(), 0),
        )
        self._pubsub = self._client.pubsub()
        names = [namespaced(topic) for topic in (*self.topics, self.probe)]
        await self._pubsub.subscribe(*names)

    async def _listen(self) -> None:
        while True:
            message = await self._pubsub.parse_response(block=True)
            kind, name, data = message[0], message[1].decode(), message[2]
            topic = name.split(".", 2)[2]
            if kind == b"message":
                self._hear(topic, data)
            elif kind == b"subscribe" and topic in self.topics:
                self._held.add(topic)
                self._confirmed.pop(topic, _NOBODY).set()

    async def _send_probe(self) -> None:
        await self._client.publish(namespaced(self.probe), b"")

    async def _disconnect(self) -> None:
        pubsub, client = self._pubsub, self._client
        self._pubsub = self._client = None
        self._held.clear()
        if pubsub is not None:
            await pubsub.aclose()
        if client is not None:
            await client.aclose()
