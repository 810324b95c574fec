"""A whole site in processes of its own, and the power to kill each of them.

    with Rig(database=url, broker=url) as rig:
        ...  # servers, runner and publisher are at work, two hundred clients listen
        rig.kill("server 1")
        rig.mend()

CLARION_SEED repeats a run: it decides what is written and who is killed when, though not how far
each process had come by then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hard.crowd import Client, Crowd, EventStream, Notices, Poller, Socket
from tests.hard.site.crash import KILLED
from tools.processes import free_port, kill

ROOT = Path(__file__).resolve().parents[2]
PEOPLE, CLIENTS, LATE = 190, 200, 20
CARRIERS = (
    "websockets-sansio",
    "clarion.realtime.gateway:Gateway",
)  # uvicorn's --ws, server by server
START_TIMEOUT, PUBLISH_TIMEOUT, REST_TIMEOUT = 60.0, 30.0, 40.0
SEED = os.environ.get("CLARION_SEED") or str(random.randrange(10**6))


@dataclass
class Member:
    """A process of the rig, that is started again when it has died."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    speaks: bool = False  # says "ready", and reads its input
    process: subprocess.Popen[str] | None = None
    deaths: list[int] = field(default_factory=list)
    is_armed: bool = False  # dies at a crash point

    @property
    def kind(self) -> str:
        return self.name.split()[0]

    def start(self, **more: str) -> None:
        self.is_armed = "CLARION_CRASH" in more
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment | more,
                cwd=ROOT,
                stdin=subprocess.PIPE if self.speaks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.speaks else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self.process is not None:
            kill(self.process)  # type: ignore[arg-type]
            self._close()
            self.process = None

    def has_died(self) -> bool:
        """Whether it is dead; notes how."""
        if self.process is None or self.process.poll() is None:
            return False
        self.deaths.append(self.process.returncode)
        self._close()
        self.process = None
        return True

    def _close(self) -> None:
        assert self.process
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def ask(self, question: str) -> Any:
        """Put a question to a witness."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait_until_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", f"{self.name}:\n{tail(self.log)}"


class Rig:
    """Servers, a runner, a publisher and a witness on one database, and the crowd before them."""

    def __init__(
        self,
        *,
        database: str,
        people: list[dict[str, Any]],
        broker: str = "",
        servers: int = 2,
        stock: bool = False,
    ) -> None:
        """`people` are those whom `prepare` put into the database."""
        self.people = people
        self.dice = random.Random(SEED)
        self.stock = stock
        self.began = time.time()
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory("clarion-rig")))
        self.journal = self.folder / "journal"
        self.ports = [free_port() for _ in range(servers)]
        self.environment = environment(
            CLARION_DB=database,
            CLARION_BROKER=broker,
            CLARION_RUNNER="embedded" if servers == 1 else "",
        )
        self.members = {member.name: member for member in self._members(servers)}
        self.crowd = Crowd()

    def _members(self, servers: int) -> Iterator[Member]:
        for number, port in enumerate(self.ports, 1):
            yield self._member(
                f"server {number}", self._serve(port, CARRIERS[0 if self.stock else number - 1])
            )
        writer = "tests.hard.stock_publisher" if self.stock else "tests.hard.publisher"
        yield self._member("publisher", [writer, str(self.journal), SEED], speaks=True)
        if servers > 1 and not self.stock:
            yield self._member("runner", ["tests.hard.runner"])
        yield self._member("witness", ["tests.hard.witness"], speaks=True)

    def _serve(self, port: int, carrier: str) -> list[str]:
        site = "tests.hard.site.stock" if self.stock else "tests.hard.site.asgi"
        options = ["--port", str(port), "--log-level", "warning", "--ws", carrier]
        return [
            "uvicorn",
            f"{site}:application",
            *options,
            "--ws-per-message-deflate",
            "false",
            "--lifespan",
            "off" if self.stock else "on",
        ]

    def _member(self, name: str, module: list[str], *, speaks: bool = False) -> Member:
        log = self.folder / f"{name.replace(' ', '-')}.log"
        return Member(name, [sys.executable, "-m", *module], self.environment, log, speaks)

    # Coming and going

    def __enter__(self) -> Rig:
        try:
            for member in self.members.values():
                if member.name != "publisher":
                    member.start()
            self.members["witness"].wait_until_ready()
            self._stack.enter_context(self.crowd)
            self.wait_until(self._silent_ports, "servers that don't answer", START_TIMEOUT)
            self.crowd.join(self._clients(CLIENTS - LATE))
            self.wait_until(self._strangers, "clients without a connection", START_TIMEOUT)
            self._start_publishing()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.kill()
        self._stack.close()

    def _start_publishing(self) -> None:
        self.members["publisher"].start()
        self.members["publisher"].wait_until_ready()

    def _clients(self, count: int) -> list[Client]:
        """Some people have two screens; one client in eight has an event stream, one polls."""
        have = len(self.crowd.clients)
        return [self._client(number) for number in range(have, have + count)]

    def _client(self, number: int) -> Client:
        carrier: type[Client] = {3: EventStream, 6: Poller}.get(number % 8, Socket)
        person = self.people[number % len(self.people)]
        return (Notices if self.stock else carrier)(str(number), person, self.ports, SEED)

    def _silent_ports(self) -> list[int]:
        silent = []
        for port in self.ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    silent.append(port)
        return silent

    def _strangers(self) -> list[str]:
        return list(
            self.crowd.look(
                lambda clients: [client.name for client in clients if not client.connected]
            )
        )

    def latecomers(self) -> None:
        """More people open the page, while all is under way."""
        self.crowd.join(self._clients(LATE), with_page=not self.stock)

    # Faults

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.members[name].process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def mend(self) -> None:
        """Start again whoever has died."""
        for member in [member for member in self.members.values() if member.has_died()]:
            assert member.deaths[-1] in (-signal.SIGKILL, KILLED), (
                f"{member.name} ended by itself with {member.deaths[-1]}:\n{tail(member.log)}"
            )
            member.start()

    def arm(self, points: dict[str, str]) -> None:
        """Restart members, by name, to die at a crash point, each once."""
        for name, point in points.items():
            self.kill(name)
            self.members[name].has_died()
            self.members[name].start(CLARION_CRASH=point)

    def armed(self) -> list[str]:
        """Who has not died at its crash point yet."""
        return [member.name for member in self.members.values() if member.is_armed]

    # Waiting

    def wait_until(self, missing: Callable[[], object], what: str, seconds: float) -> float:
        """Wait until nothing is `missing`. Returns how long it took."""
        began = time.monotonic()
        while found := missing():
            self.mend()
            if time.monotonic() - began > seconds:
                pytest.fail(f"seed {SEED}: {what} after {seconds} s: {found}\n{self.logs()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def write_more(self, count: int) -> None:
        """Wait until the publisher has committed that many more."""
        wanted = self._committed() + count
        self.wait_until(lambda: wanted > self._committed(), "not written", PUBLISH_TIMEOUT)

    def _committed(self) -> int:
        return self.journal.read_bytes().count(b'"commit"') if self.journal.exists() else 0

    def stop_publishing(self) -> None:
        publisher = self.members["publisher"]
        if publisher.process is None or publisher.has_died():
            return
        assert publisher.process.stdin
        publisher.process.stdin.close()
        publisher.process.wait(START_TIMEOUT)
        assert publisher.process.returncode == 0, tail(publisher.log)
        publisher.kill()

    def come_to_rest(self) -> tuple[float, dict[str, Any]]:
        """Nobody writes any more: wait until every client is where its inbox is.

        Returns how many seconds that took, and the truth.
        """
        self.crowd.look(_be_quiet)
        self.stop_publishing()
        seconds = 0.0
        while True:
            seconds += self.wait_until(self._unrest, "not at rest", REST_TIMEOUT)
            stand, truth = self.witness("positions"), self.witness("truth")
            if stand == self.witness("positions") and not self._unrest():
                return seconds, truth

    def settle_stock(self) -> tuple[int, int]:
        """How many notices were lost, and written, once no more of them come in."""
        notices = self.witness("notices")
        self.wait_until(self._still_coming, "notices still come", REST_TIMEOUT)
        shown = self.crowd.look(
            lambda clients: [(client.person["pk"], set(client.first)) for client in clients]
        )
        lost = [
            pk
            for pk, recipient, _ in notices
            if any(person == recipient and pk not in ids for person, ids in shown)
        ]
        return len(lost), len(notices)

    def _still_coming(self) -> bool:
        """Whether a notice came in the last two seconds: the layer has no way to say it is done."""
        newest = self.crowd.look(
            lambda clients: max(shown.at for each in clients for shown in each.first.values())
        )
        return bool(time.time() - newest < 2)

    def _unrest(self) -> list[str]:
        stand = self.members["witness"].ask("positions")
        if stand["due"] or stand["unstamped"]:
            return [f"{stand['due']} events and {stand['unstamped']} rows to do"]
        return list(self.crowd.look(lambda clients: _behind(clients, stand)))

    def witness(self, question: str) -> Any:
        return self.members["witness"].ask(question)

    def logs(self) -> str:
        return "\n".join(
            f"--- {member.name}, deaths {member.deaths}\n{tail(member.log)}"
            for member in self.members.values()
        )


def _be_quiet(clients: list[Client]) -> None:
    for client in clients:
        client.marks = False


def _behind(clients: list[Client], stand: dict[str, Any]) -> list[str]:
    """Who isn't where their inbox or the public stream is."""
    behind = []
    for client in clients:
        there = {"inbox": stand["inboxes"].get(str(client.person["pk"])), "public": stand["public"]}
        here = client.screen.query()
        for stream, position in there.items():
            nothing_yet = position is None or position.endswith(".0")
            if not nothing_yet and here.get(stream) != position:
                behind.append(f"{client.name}: {stream} {here.get(stream)} of {position}")
    return behind


def prepare(database: str) -> list[dict[str, Any]]:
    """Make the tables, and people with their cookies and tickets."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hard.prepare", str(PEOPLE)],
        env=environment(CLARION_DB=database),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


def environment(**more: str) -> dict[str, str]:
    """Of every process of the rig."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.hard.site.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def tail(log: Path, lines: int = 25) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
