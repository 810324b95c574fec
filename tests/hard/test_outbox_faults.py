"""kill -9 Celery's workers and their broker: all mail is sent, and repeated once a kill at most.

CLARION_OUTBOX_SECONDS says for how long (120), CLARION_SEED who is killed when.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.hard.rig import SEED
from tests.runners.processes import Site, living
from tools.processes import free_port
from tools.services import kill_tree

if TYPE_CHECKING:
    from tools.services import Valkey

pytestmark = [pytest.mark.hard, pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("CLARION_OUTBOX_SECONDS") or 120)
WORKERS, PEOPLE, LEASE = 3, 300, 5
WRITE_PAUSE = 0.03  # seconds between two notifications, on average
KILL_PAUSE = (1.0, 5.0)
LATE = 0.06  # seconds in which the mail server has a mail, and the worker doesn't know
START_TIMEOUT, REST_TIMEOUT = 60.0, 180.0


def test_workers_and_their_broker_may_be_killed_at_any_time(
    empty_database: str, valkey: Valkey, tmp_path: Path
) -> None:
    with Rig(empty_database, valkey, tmp_path) as rig:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(rig.dice.uniform(*KILL_PAUSE))
            rig.strike()
        written = rig.stop_writing()
        rig.wait(lambda: rig.count("pending") == 0, "settled", REST_TIMEOUT)

        deliveries = rig.deliveries()
        received = Counter(rig.site.received())

    repeats = received.total() - len(received)
    print(f"\nseed {SEED}: {written} sent, {repeats} of them again; killed {dict(rig.kills)}")
    assert Counter(outcome for _, outcome in deliveries) == {"delivered": written}
    assert {leader for leader, _ in deliveries} == set(received)
    assert repeats <= rig.kills["worker"] + rig.kills["child"]


class Rig:
    """Somebody who notifies all the time, Celery's beat and workers, and a mail server."""

    def __init__(self, database: str, valkey: Valkey, folder: Path) -> None:
        self.database, self.valkey, self.folder = database, valkey, folder
        self.dice = random.Random(SEED)
        self.kills: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> Rig:
        self.site: Site = self._stack.enter_context(
            living(
                self.folder,
                tasks=self.valkey.url,
                database=self.database,
                RUNNER="celery",
                DELIVERY_LEASE=LEASE,
                CHANNELS={"email": {"from_email": "school@school.example"}},
            )
        )
        try:
            assert self.site.start("django", "migrate", "--run-syncdb").wait(START_TIMEOUT) == 0
            self._start_mail_server()
            self.writer = self._start_writing()
            self.site.beat()
            self.workers = {f"worker{n}": self._worker(f"worker{n}") for n in range(WORKERS)}
            self.wait(lambda: self.count("delivered"), "begun", START_TIMEOUT)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_mail_server(self) -> None:
        port, received = str(free_port()), str(self.folder / "received")
        self.site.start("tests.hard.postbox", port, received, str(LATE))
        self.site.mail_server = f"127.0.0.1:{port}"

    def _start_writing(self) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return self.site.start("tests.hard.writer", str(PEOPLE), str(WRITE_PAUSE), **pipes)

    def stop_writing(self) -> int:
        """Returns how many notifications were committed."""
        said, _ = self.writer.communicate(timeout=START_TIMEOUT)
        return int(said.split()[-1])

    def _worker(self, name: str) -> subprocess.Popen[bytes]:
        return self.site.celery_worker(name, "--concurrency", "1")

    # Faults

    def strike(self) -> None:
        victim = self.dice.choice(["worker", "worker", "child", "broker"])
        name = self.dice.choice(sorted(self.workers))
        {"worker": self._kill_worker, "child": self._kill_child, "broker": self._kill_broker}[
            victim
        ](name)

    def _kill_worker(self, name: str) -> None:
        kill_tree(self.workers[name].pid)
        self.workers[name].wait()
        self.kills["worker"] += 1
        self.workers[name] = self._worker(name)

    def _kill_child(self, name: str) -> None:
        """The process of the pool that does the work; Celery starts another one."""
        for child in psutil.Process(self.workers[name].pid).children():
            child.kill()
            self.kills["child"] += 1

    def _kill_broker(self, _: str) -> None:
        """It stays away for a moment, and remembers nothing."""
        self.valkey.kill()
        self.kills["broker"] += 1
        time.sleep(self.dice.uniform(0, 2))
        self.valkey.start()

    # What became of it

    def wait(self, until: Callable[[], object], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, (
                f"seed {SEED}: not {what}\n{self.site.log()[-5000:]}"
            )
            time.sleep(0.2)

    def count(self, outcome: str) -> int:
        [(number,)] = self._ask("SELECT count(*) FROM clarion_delivery WHERE outcome = %s", outcome)
        return int(number)

    def deliveries(self) -> list[tuple[str, str]]:
        """Of each delivery the envelope it went in, and its outcome."""
        rows = self._ask("SELECT coalesce(leader_id, id), outcome FROM clarion_delivery")
        return [(str(envelope), outcome) for envelope, outcome in rows]

    def _ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.database) as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]
