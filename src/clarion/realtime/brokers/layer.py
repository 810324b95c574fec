"""Any Django Channels layer: what a site with CHANNEL_LAYERS has already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from channels.layers import get_channel_layer

from clarion.realtime.brokers.base import (
    PATIENCE,
    Broker,
    Line,
    Receive,
    RemoteLine,
    namespaced,
)
from clarion.realtime.brokers.outbound import Message, Outbound

_DEFAULT_EXPIRY = 86_400  # seconds; what the layer specification says of group memberships


class LayerBroker(Broker):
    """`alias` is a key of CHANNEL_LAYERS."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._outbound = Outbound(self._sender)

    def publish(self, topic: str, data: bytes) -> None:
        self._outbound.put(topic, data)

    def attach(self, receive: Receive, resync: Callable[[], None]) -> Line:
        return LayerLine(self._alias, receive, resync)

    def _sender(self) -> Callable[[Sequence[Message]], None]:
        """A loop that lives as long as its thread: a layer keeps its connections per loop."""
        layer: Any = get_channel_layer(self._alias)
        runner = asyncio.Runner()

        async def send_all(batch: Sequence[Message]) -> None:
            for topic, data in batch:
                async with asyncio.timeout(PATIENCE):
                    await layer.group_send(namespaced(topic), _message(topic, data))

        def send(batch: Sequence[Message]) -> None:
            try:
                runner.run(send_all(batch))
            except BaseException:
                runner.close()
                raise

        return send


class LayerLine(RemoteLine):
    """One channel, however many connections; its memberships are renewed in time."""

    def __init__(self, alias: str, receive: Receive, resync: Callable[[], None]) -> None:
        self._layer: Any = get_channel_layer(alias)
        self._channel = ""
        super().__init__(receive, resync)

    async def subscribe(self, topic: str) -> None:
        if topic in self.topics:
            return
        self.topics.add(topic)
        if self._connected.is_set():
            await self._quietly(self._layer.group_add(namespaced(topic), self._channel))

    async def unsubscribe(self, topic: str) -> None:
        self.topics.discard(topic)
        if self._connected.is_set():
            await self._quietly(self._layer.group_discard(namespaced(topic), self._channel))

    async def _quietly(self, call: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await call
        except Exception as error:  # noqa: BLE001 - layers raise what they like; we come back
            self._lost(error)

    async def _connect(self) -> None:
        self._channel = await self._layer.new_channel("clarion")
        await self._join_all()

    async def _join_all(self) -> None:
        for topic in (*self.topics, self.probe):
            async with asyncio.timeout(PATIENCE):
                await self._layer.group_add(namespaced(topic), self._channel)

    async def _listen(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            while True:
                message = await self._layer.receive(self._channel)
                self._hear(message["topic"], message["data"])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(getattr(self._layer, "group_expiry", _DEFAULT_EXPIRY) / 3)
            await self._join_all()

    async def _send_probe(self) -> None:
        await self._layer.group_send(namespaced(self.probe), _message(self.probe, b""))

    async def _disconnect(self) -> None:
        channel, self._channel = self._channel, ""
        if channel:
            for topic in (*self.topics, self.probe):
                await self._layer.group_discard(namespaced(topic), channel)


def _message(topic: str, data: bytes) -> dict[str, Any]:
    return {"type": "clarion.nudge", "topic": topic, "data": data}
