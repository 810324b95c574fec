"""Writes notifications as a busy site does, and keeps a log of what it meant and what became of it.

`python -m tests.hard.publisher LOG SEED`. Three threads write in transactions of random length,
of which a quarter is rolled back; so commits don't come in the order of their inserts. A line is
logged before (`intent`) and after (`commit`, `abort`); if a kill came between, the database knows.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

THREADS = 3
PAUSE = (0.01, 0.15)  # seconds between two transactions of a thread
ROLLED_BACK = 0.25


class Regret(Exception):
    """Something else in the transaction went wrong."""


@dataclass
class Log:
    path: str
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, **line: Any) -> None:
        with self._lock, Path(self.path).open("a", encoding="ascii") as file:
            file.write(json.dumps({"t": time.time(), **line}) + "\n")


class Writer:
    """One thread of the site."""

    def __init__(self, log: Log, name: str, dice: random.Random, people: list[Any]) -> None:
        self.log, self.name, self.dice, self.people = log, name, dice, people
        self.sent: list[Any] = []
        self.count = 0
        self.acts = [self.tell_one] * 58 + [self.tell_some] * 14 + [self.tell_group] * 7
        self.acts += [self.tell_school, self.announce] * 1 + [self.take_back] * 6 + [self.mark] * 16

    def act(self) -> None:
        self.dice.choice(self.acts)()
        time.sleep(self.dice.uniform(*PAUSE))

    def tell_one(self) -> None:
        user = self.dice.choice(self.people)
        self._tell(user, [user.pk])

    def tell_some(self) -> None:
        users = self.dice.sample(self.people, self.dice.randint(2, 8))
        self._tell(users, [user.pk for user in users])

    def tell_group(self) -> None:
        self._tell_group("class")

    def tell_school(self) -> None:
        self._tell_group("school")

    def _tell_group(self, name: str) -> None:
        from django.contrib.auth.models import Group

        group = Group.objects.get(name=name)
        self._tell(group, list(group.user_set.values_list("pk", flat=True)))

    def announce(self) -> None:
        from clarion import announce

        self._write(announce, [user.pk for user in self.people], kind="announce")

    def _tell(self, to: Any, ids: list[int]) -> None:
        from clarion import notify

        self._write(lambda text: notify(text, to=to), ids, kind="notify")

    def _write(self, write: Any, ids: list[int], *, kind: str) -> None:
        from django.db import transaction

        self.count += 1
        text = f"{self.name}.{self.count}"
        self.log.write(what="intent", text=text, kind=kind, to=ids)
        try:
            with transaction.atomic():
                event = write(text)
                time.sleep(self.dice.uniform(0, 0.05))
                if self.dice.random() < ROLLED_BACK:
                    raise Regret
        except Regret:
            self.log.write(what="abort", text=text)
        else:
            self.log.write(what="commit", text=text)
            self.sent.append(event)

    def take_back(self) -> None:
        from clarion import retract

        if self.sent:
            event = self.sent.pop(self.dice.randrange(len(self.sent)))
            self.log.write(what="retract", text=event.text)
            retract(event)

    def mark(self) -> None:
        """What people do on pages that need no socket."""
        from clarion import inbox

        user = self.dice.choice(self.people)
        listed = [item["id"] for item in inbox.page(user).items]
        if not listed or self.dice.random() < 0.3:
            inbox.mark_all_read(user)
        else:
            state = self.dice.choice(["seen", "read", "archived", "pinned", "unread"])
            inbox.mark(user, state, [self.dice.choice(listed)])


def main(path: str, seed: str) -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model

    people = list(get_user_model().objects.order_by("pk"))
    log = Log(path)
    writers = [
        Writer(log, f"{seed}.{os.getpid()}.{n}", random.Random(f"{seed}.{n}"), people)
        for n in range(THREADS)
    ]
    threads = [threading.Thread(target=_work, args=[writer], daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


def _work(writer: Writer) -> None:
    """Until the rig says `stop` by closing our input."""
    try:
        while not stopped.is_set():
            writer.act()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


stopped = threading.Event()


def wait_for_the_end() -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    main(*sys.argv[1:])
