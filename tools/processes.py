"""Processes and ports, with the standard library alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

STOP_TIMEOUT = 15.0


class Unavailable(Exception):
    """Something can't be started here; the text says why and what would help."""


def start(
    command: list[str], *, environment: dict[str, str], folder: Path, log: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own: Ctrl-C reaches us alone, and we stop it in order."""
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it end when it doesn't within `STOP_TIMEOUT`."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 it and all that it started in its session."""
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there, else the next free one; 0 for any. On loopback."""
    for port in range(preferred, preferred + 100 if preferred else 1):
        with socket.socket() as probe:
            if os.name != "nt":  # as servers do: a port in TIME_WAIT is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable(f"no free port between {preferred} and {preferred + 99}")
