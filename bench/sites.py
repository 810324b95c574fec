"""The servers under load, and the process that publishes: started, pinned, measured, killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from bench.common import RESULTS, ROOT, Sample
from bench.load import allow_many_files, pin
from tools.services import free_port

_START = 30.0  # seconds
_PORT = 18_200  # below those that clients get: one could sit on it while the server is away
_UVICORN = [
    "uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws-per-message-deflate", "false",
    "--no-access-log", "--log-level", "warning", "--backlog", "4096",
]  # fmt: skip


@dataclass(frozen=True)
class System:
    """How one of the compared systems is served and addressed; %d in a path is the user."""

    name: str
    command: list[str]
    personal: str
    public: str
    publisher: str  # whose way of sending, in bench/publisher.py
    environment: dict[str, str] = field(default_factory=dict)


def clarion(database: str, broker: str) -> System:
    return System(
        "clarion",
        ["-m", *_UVICORN, "bench.project.asgi:application", "--port"],
        personal="/ws/notifications/",
        public="/ws/notifications/",
        publisher="clarion",
        environment={
            "CLARION_DB": database,
            "CLARION_BROKER": broker,
            "CLARION_RUNNER": "embedded",
        },
    )


def gateway(database: str, broker: str) -> System:
    """The same with `--ws clarion.realtime.gateway:Gateway`."""
    asgi = clarion(database, broker)
    command = ["-m", *_UVICORN, "--ws", "clarion.realtime.gateway:Gateway", *asgi.command[-2:]]
    return replace(asgi, name="gateway", command=command)


def stock(database: str, broker: str) -> System:
    return System(
        "stock",
        ["-m", *_UVICORN, "--lifespan", "off", "bench.peers.stock:application", "--port"],
        personal="/ws/u/%d/",
        public="/ws/p/%d/",
        publisher="stock",
        environment={"CLARION_DB": database, "CLARION_BENCH_LAYER": broker},
    )


def bare() -> System:
    command = ["-m", *_UVICORN, "--lifespan", "off", "bench.peers.bare:application", "--port"]
    return System("bare", command, personal="/%d", public="/%d", publisher="")


def raw() -> System:
    command = ["-m", "bench.peers.raw_websockets"]
    return System("raw", command, personal="/%d", public="/%d", publisher="raw")


#: Our two ways to serve WebSockets, and how the table names them. What an application under uvicorn
#: can't reach, because uvicorn alone doesn't, has no target on "any ASGI server".
OURS = {"gateway": "`--ws clarion.realtime.gateway:Gateway`", "clarion": "any ASGI server"}


def ours(database: str, broker: str) -> list[System]:
    return [gateway(database, broker), clarion(database, broker)]


class Site:
    """One server process on a port of its own. `kill` and `start` may alternate."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.port = free_port(_PORT)
        self.start()

    def start(self) -> None:
        allow_many_files()
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{self.system.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.system.command, str(self.port)],
                cwd=ROOT,
                env=_environment(self.system),
                stdout=log,
                stderr=log,
            )
        pin(self.process.pid, 0)
        _wait_for(self.port, self.process)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()


def _environment(system: System) -> dict[str, str]:
    return dict(os.environ, DJANGO_SETTINGS_MODULE="bench.project.settings", **system.environment)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"the server did not start; see {RESULTS}")


class Publisher:
    """The process that sends."""

    def __init__(self, system: System, port: int) -> None:
        environment = _environment(system) | {"CLARION_RUNNER": "inline"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.publisher", system.publisher, str(port)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pin(self.process.pid, 1)
        self._read()

    def tell(self, do: str, **arguments: Any) -> None:
        """Order something without waiting for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def ask(self, do: str, **arguments: Any) -> Sample:
        self.tell(do, **arguments)
        return self._read()

    def done(self) -> Sample:
        """Wait for what was told."""
        return self._read()

    def _read(self) -> Sample:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the publisher has ended")
        answer: Sample = json.loads(line)
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def served(system: System) -> Iterator[tuple[Site, Publisher]]:
    """A server and a publisher for it."""
    with Site(system) as site:
        publisher = Publisher(system, site.port)
        try:
            yield site, publisher
        finally:
            publisher.close()
