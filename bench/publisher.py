"""The sender of messages, in a process of its own: `python -m bench.publisher clarion|stock|raw`.

Each line on stdin is a JSON object with "do" and arguments; each is answered by a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from abc import ABC, abstractmethod
from typing import Any

import django

from bench.common import Sample

PADDING = "Some text of a usual length here. " * 3  # with it a message has about 200 bytes


class Sender(ABC):
    """What each system does to send; numbers and times are for the load client."""

    @abstractmethod
    def prepare(self) -> None:
        """Connections and caches."""

    @abstractmethod
    def broadcast(self, number: int) -> None:
        """To everybody."""

    def notify(self, number: int, user: int) -> None:
        """A stored notification, in a transaction, to one person."""
        raise NotImplementedError

    def targeted(self, rate: int, seconds: float, users: int, start: int) -> Sample:
        """Messages to random people at a steady rate."""
        raise NotImplementedError

    def missed(self, count: int, users: int, start: int) -> None:
        """Messages to random people, as fast as it goes."""
        raise NotImplementedError


class Clarion(Sender):
    def prepare(self) -> None:
        from django.contrib.auth.models import User

        self.users = User.objects.in_bulk(range(1, 10_001))

    def broadcast(self, number: int) -> None:
        from django.db import transaction

        from bench.project.notifications import COMMITTED, Numbered
        from clarion import announce

        with transaction.atomic():
            announce(Numbered(number=number, sent=time.monotonic_ns()))
            COMMITTED[number] = time.monotonic_ns()

    def notify(self, number: int, user: int) -> None:
        from django.db import transaction

        from bench.project.notifications import COMMITTED, Numbered
        from clarion import notify

        with transaction.atomic():
            notify(Numbered(number=number, sent=time.monotonic_ns()), to=self.users[user])
            COMMITTED[number] = time.monotonic_ns()

    def targeted(self, rate: int, seconds: float, users: int, start: int) -> Sample:
        from bench.rows import Batches

        return _at_rate(Batches(users, start).send, rate, seconds)

    def missed(self, count: int, users: int, start: int) -> None:
        from bench.rows import Batches

        batches = Batches(users, start)
        for _ in range(0, count, 20):
            batches.send(20)


class Stock(Sender):
    """group_send, as the tutorials do it; stored with django-notifications-community."""

    def prepare(self) -> None:
        from channels.layers import get_channel_layer
        from django.contrib.auth.models import User

        self.layer: Any = get_channel_layer()
        self.loop = asyncio.new_event_loop()
        self.users = User.objects.in_bulk(range(1, 10_001))

    def broadcast(self, number: int) -> None:
        self.loop.run_until_complete(self._send("public", number))

    def notify(self, number: int, user: int) -> None:
        from asgiref.sync import async_to_sync
        from django.db import transaction
        from notifications.signals import notify

        def tell() -> None:
            message = {"type": "notify", "message": payload(number, at)}
            try:
                async_to_sync(self.layer.group_send)(f"user_{user}", message)
            except Exception as error:
                print(f"not sent: {error!r}", file=sys.stderr)

        with transaction.atomic():
            notify.send(self.users[user], recipient=self.users[user], verb="commented")
            transaction.on_commit(tell)
            at = time.monotonic_ns()

    def targeted(self, rate: int, seconds: float, users: int, start: int) -> Sample:
        return self.loop.run_until_complete(self._targeted(rate, seconds, users, start))

    async def _targeted(self, rate: int, seconds: float, users: int, start: int) -> Sample:
        """Sixteen at a time: one would wait for Redis most of the time."""
        numbers = iter(range(start, start + int(rate * seconds)))
        chance, began = random.Random(7), time.monotonic()

        async def work() -> None:
            for number in numbers:
                await asyncio.sleep(began + (number - start) / rate - time.monotonic())
                await self._send(f"user_{chance.randint(1, users)}", number)

        used = time.process_time()
        await asyncio.gather(*(work() for _ in range(16)))
        return _sent(int(rate * seconds), began, used)

    def missed(self, count: int, users: int, start: int) -> None:
        chance = random.Random(7)
        for number in range(start, start + count):
            self.loop.run_until_complete(self._send(f"user_{chance.randint(1, users)}", number))

    async def _send(self, group: str, number: int) -> None:
        message = {"type": "notify", "message": payload(number, time.monotonic_ns())}
        await self.layer.group_send(group, message)


class Raw(Sender):
    """Over a control connection of the raw server."""

    def __init__(self, port: int) -> None:
        self.port = port

    def prepare(self) -> None:
        from websockets.sync.client import connect

        self.context = connect(f"ws://127.0.0.1:{self.port}/ctl/", compression=None)
        self.control = self.context.__enter__()  # for as long as this process lives

    def broadcast(self, number: int) -> None:
        self.control.send(json.dumps(payload(number, time.monotonic_ns())))


def payload(number: int, at: int) -> dict[str, Any]:
    return {
        "n": number,
        "t": at,
        "kind": "info",
        "title": "New comment on your post",
        "body": PADDING,
    }


def _at_rate(send: Any, rate: int, seconds: float) -> Sample:
    """Call `send(how many)` every 10 ms with what is due until then."""
    began, used, done = time.monotonic(), time.process_time(), 0
    while done < rate * seconds:
        due = min(int((time.monotonic() - began) * rate) + 1, int(rate * seconds))
        if due > done:
            send(due - done)
            done = due
        time.sleep(max(0.0, began + (done / rate) + 0.01 - time.monotonic()))
    return _sent(done, began, used)


def _sent(count: int, began: float, used: float) -> Sample:
    seconds = time.monotonic() - began
    return {"sent": count, "seconds": seconds, "cpu": time.process_time() - used}


def _notify_many(sender: Sender, rate: float, count: int, users: int, start: int) -> Sample:
    began, used = time.monotonic(), time.process_time()
    chance = random.Random(start)
    for number in range(start, start + count):
        time.sleep(max(0.0, began + (number - start) / rate - time.monotonic()))
        sender.notify(number, chance.randint(1, users))
    return _sent(count, began, used)


def main(system: str, port: int) -> None:
    django.setup()
    sender: Sender = {"clarion": Clarion, "stock": Stock, "raw": lambda: Raw(port)}[system]()
    sender.prepare()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("do")
        if what == "notify":
            answer = _notify_many(sender, **order)
        else:
            answer = getattr(sender, what)(**order) or {}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
