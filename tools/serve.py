"""Start the example site: `run.py` on SQLite, `run.py full` on PostgreSQL and Valkey.

The same steps serve a person at a terminal, the smoke test and the browser tests: migrate, seed,
serve, wait until it answers, and stop everything at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.processes import Unavailable, free_port, kill, start, stop

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example"
START_TIMEOUT = 60.0
LOGINS = {"teacher": "ada", "student": "sam", "guardian": "grace"}
PASSWORD = "clarion"  # noqa: S105 - of the demo, printed at the start


@dataclass
class Site:
    """A running example site."""

    url: str
    port: int
    environment: dict[str, str]
    command: list[str]
    log: IO[bytes] | None
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """kill -9 the server and its workers."""
        kill(self.process)

    def restart(self) -> None:
        """Start the server again at the same address, after `kill`."""
        self.process = start(self.command, environment=self.environment, folder=ROOT, log=self.log)
        wait_until_it_answers(self)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that `finally` runs
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        try:
            return serve(options, stack)
        except Unavailable as reason:
            print(f"cannot start: {reason}", file=sys.stderr)
            return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Start the example site.")
    parser.add_argument("--full", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="or the next free one above it")
    parser.add_argument("--workers", type=int, help="server processes (full: one per processor)")
    return parser.parse_args(arguments)


def serve(options: argparse.Namespace, stack: contextlib.ExitStack) -> int:
    environment = full_environment(stack) if options.full else {}
    workers = options.workers or (max(2, os.cpu_count() or 2) if options.full else 1)
    running = stack.enter_context(
        site(environment, host=options.host, port=free_port(options.port), workers=workers)
    )
    welcome(running, workers, environment)
    return running.process.wait()


def full_environment(stack: contextlib.ExitStack) -> dict[str, str]:
    """Start the servers of the production topology. Their data go with them."""
    from tools.services import postgres, valkey  # not installed with the smaller set

    database = stack.enter_context(postgres())
    broker = stack.enter_context(valkey())
    print(f"PostgreSQL on port {database.port}, Valkey on port {broker.port} (data are temporary)")
    return {"CLARION_DB": database.url, "CLARION_BROKER": broker.url}


def welcome(running: Site, workers: int, environment: dict[str, str]) -> None:
    database = "PostgreSQL" if environment else "SQLite (var/)"
    print(f"\n  The school is open:  {running.url}\n")
    for role, name in LOGINS.items():
        print(f"  {role:<9} {name:<6} password {PASSWORD}")
    print("\n  Sign in as two of them in two browsers; ada sends at /send/.")
    print(f"  {database}, {workers} server process(es). Stop with Ctrl-C.\n", flush=True)


@contextmanager
def site(
    environment: dict[str, str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    workers: int = 1,
    log: IO[bytes] | None = None,
) -> Iterator[Site]:
    """A migrated, seeded, answering example site; stopped at the end.

    Args:
        environment: added to ours: `CLARION_DB`, `CLARION_BROKER`, ...
        port: 0 for any free one.
        log: where the server writes; None is our own output.

    Raises:
        Unavailable: it doesn't start.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | environment
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "seed")
    port = port or free_port()
    command = server_command(host, port, workers)
    process = start(command, environment=environment, folder=ROOT, log=log)
    running = Site(f"http://{host}:{port}/", port, environment, command, log, process)
    try:
        wait_until_it_answers(running)
        yield running
    finally:
        stop(running.process)


def manage(environment: dict[str, str], *arguments: str) -> None:
    """Run a management command of the example. Raise `Unavailable` when it fails."""
    command = [sys.executable, str(EXAMPLE / "manage.py"), *arguments]
    if subprocess.run(command, env=environment, cwd=ROOT).returncode != 0:
        raise Unavailable(f"manage.py {arguments[0]} failed")


def server_command(host: str, port: int, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "config.asgi:application", "--app-dir", str(EXAMPLE),
        "--host", host, "--port", str(port), "--workers", str(workers),
        "--log-level", "warning", "--ws", "clarion.realtime.gateway:Gateway",
        "--ws-per-message-deflate", "false",
        "--timeout-graceful-shutdown", "8",
    ]  # fmt: skip


def wait_until_it_answers(running: Site) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise Unavailable(f"the server ended with code {running.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/login/", timeout=5):
                return
        except urllib.error.HTTPError as error:
            raise Unavailable(f"GET /login/ answered {error.code}") from error
        except OSError:
            time.sleep(0.05)
    raise Unavailable(f"the server did not answer within {START_TIMEOUT:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
