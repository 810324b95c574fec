"""The load client: compiled at first use, then driven by lines of text."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from bench.common import HERE, ROOT, Sample, sample

if TYPE_CHECKING:
    from bench.sites import System

WARM_UP = 20_000_000  # numbers from here on are not tracked

_SOURCE = HERE / "wsload.c"
_BUILT = ROOT / ".cache" / "bench"


class Unavailable(Exception):
    """The load client can't run here; the text says what would help."""


def compiled() -> Path:
    """The client's program, made anew when its source has changed."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    program = _BUILT / f"wsload-{digest}"
    if program.exists():
        return program
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise Unavailable("the load client is written in C: install a compiler (apt install gcc)")
    _BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-o", str(program), str(_SOURCE)], check=True)
    return program


class Load:
    """Some thousand clients in one process. `ready` says how their coming went."""

    def __init__(self, port: int, path: str, clients: int, **options: object) -> None:
        given = {"port": port, "path": path, "conns": clients, "secs": 300, **options}
        flags = [
            part
            for name, value in given.items()
            for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        allow_many_files()
        self.process = subprocess.Popen(
            [str(compiled()), *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        pin(self.pid, 1)
        self.ready = self._read()

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def grow(self, clients: int) -> Sample:
        """More of them; returns when they are in."""
        return self._ask(f"grow {clients}")

    def stats(self) -> Sample:
        return self._ask("stats")

    def reset(self) -> None:
        self._ask("reset")

    def wait_for(self, name: str, wanted: int, seconds: float, still: float = 3.0) -> Sample:
        """Look until a number is reached, nothing has moved for `still`, or time is up."""
        until, moved, last = time.monotonic() + seconds, time.monotonic(), -1
        while True:
            stats = self.stats()
            if stats[name] != last:
                last, moved = stats[name], time.monotonic()
            if last >= wanted or time.monotonic() > min(until, moved + still):
                return stats
            time.sleep(0.05)

    def _ask(self, command: str) -> Sample:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Sample:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load client has ended")
        answer: Sample = json.loads(line)
        return answer


def allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def pin(pid: int, core: int) -> None:
    """The server has core 0 for itself; clients, publishers and brokers share the others."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def options_for(system: System, clients: int, database: str, folder: Path) -> dict[str, object]:
    """Ours come with a ticket each, of the users 1..clients, and know their position."""
    if system.publisher != "clarion":
        return {}
    file = folder / "tickets"
    sample("tickets", clients, file, CLARION_DB=database)
    return {"tickets": file, "cursors": 1}
