"""Start the example site: `run.py` on SQLite, `run.py full` in the production topology.

The same steps serve a person at a terminal and the smoke test: migrate, seed, start, wait until it
answers, and stop everything at the end. The production topology is PostgreSQL, Valkey, several web
processes, Celery's worker and beat, and a sink that shows what left the site.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tools.processes import Unavailable, free_port, start, stop

if TYPE_CHECKING:
    from tools.sink import Sink

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example"
START_TIMEOUT = 60.0
LOGINS = {"teacher": "ada", "student": "sam", "guardian": "grace"}
WEB = "the web server"
PASSWORD = "clarion"  # noqa: S105 - of the demo, printed at the start

Parts = dict[str, "subprocess.Popen[bytes]"]
"""Running processes by their name."""


@dataclass(frozen=True)
class Site:
    """A running example site."""

    url: str
    port: int
    parts: Parts
    outside: Sink | None
    """Where its mail and webhooks go, in the production topology."""


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
    """Run until Ctrl-C, or until a part ends by itself: then all of it does."""
    servers, environment = start_servers(stack) if options.full else ({}, {})
    workers = options.workers or (max(2, os.cpu_count() or 2) if options.full else 1)
    port = free_port(options.port)
    running = stack.enter_context(
        site(environment, host=options.host, port=port, workers=workers, full=options.full)
    )
    welcome(running, workers)
    ended = wait_for_end(servers | running.parts)
    print(f"\n{ended}: stopping the rest.", file=sys.stderr)
    return 1


def start_servers(stack: contextlib.ExitStack) -> tuple[Parts, dict[str, str]]:
    """Start PostgreSQL and Valkey. Their data go with them."""
    from tools.services import postgres, valkey  # not installed with the smaller set

    database = stack.enter_context(postgres())
    broker = stack.enter_context(valkey())
    assert database.process is not None
    assert broker.process is not None
    print(f"PostgreSQL on port {database.port}, Valkey on port {broker.port} (data are temporary)")
    return (
        {"PostgreSQL": database.process, "Valkey": broker.process},
        {"CLARION_DB": database.url, "CLARION_BROKER": broker.url},
    )


def welcome(running: Site, workers: int) -> None:
    print(f"\n  The school is open:      {running.url}")
    if running.outside is not None:
        print(f"  What leaves the school:  {running.outside.url}")
    print()
    for role, name in LOGINS.items():
        print(f"  {role:<9} {name:<6} password {PASSWORD}")
    print("\n  Sign in as two of them in two browsers; ada sends at /send/ and /class-book/.")
    beside = "SQLite and mail in var/" if running.outside is None else "Celery's worker and beat"
    print(f"  {workers} web process(es), {beside}. Stop with Ctrl-C.\n", flush=True)


def wait_for_end(parts: Mapping[str, subprocess.Popen[bytes]]) -> str:
    """Wait until one of them ends, and say which."""
    while True:
        for name, process in parts.items():
            if process.poll() is not None:
                return f"{name} ended with code {process.returncode}"
        time.sleep(0.2)


@contextmanager
def site(
    environment: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    workers: int = 1,
    full: bool = False,
    log: IO[bytes] | None = None,
) -> Iterator[Site]:
    """A migrated, seeded, answering example site; stopped at the end.

    Args:
        environment: added to ours: `CLARION_DB`, `CLARION_BROKER`, ...
        port: 0 for any free one.
        workers: web processes.
        full: Celery does what outlives a request, and mail and webhooks go to a sink. Needs a
            Valkey in `CLARION_BROKER`.
        log: where the processes write; None is our own output.

    Raises:
        Unavailable: it doesn't start.
    """
    port = port or free_port()
    url = f"http://{host}:{port}/"
    defaults = {"PYTHONUNBUFFERED": "1", "CLARION_SITE": url.rstrip("/")}
    environment = defaults | os.environ | dict(environment)
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(sink()) if full else None
        if outside is not None:
            environment |= production(outside)
        manage(environment, "migrate", "--verbosity", "0")
        manage(environment, "seed")
        if outside is not None:
            connect(environment, outside)
        commands = stack.enter_context(celery_commands()) if full else {}
        commands |= {WEB: server_command(host, port, workers)}
        parts = {}
        for name, command in commands.items():  # what takes requests stops first
            parts[name] = start(command, environment=environment, folder=EXAMPLE, log=log)
            stack.callback(stop, parts[name])
        wait_until_it_answers(parts[WEB], port)
        yield Site(url, port, parts, outside)


def sink() -> contextlib.AbstractContextManager[Sink]:
    from tools.sink import sink  # not installed with the smaller set

    return sink()


def production(outside: Sink) -> dict[str, str]:
    """What makes the settings of the site those of the production topology."""
    return {
        "CLARION_RUNNER": "celery",
        "CLARION_MAIL": outside.smtp,
        "CLARION_LOCAL": "1",
    }


def connect(environment: Mapping[str, str], outside: Sink) -> None:
    """Have the site send webhooks to the sink, and what Sam is pushed."""
    device = [outside.device.endpoint, *outside.device.keys.values()]
    said = manage(environment, "connect", outside.webhook, "sam", *device, quiet=True)
    answer = json.loads(said)
    outside.secret, outside.device.application_key = answer["secret"], answer["key"]


def manage(environment: Mapping[str, str], *arguments: str, quiet: bool = False) -> str:
    """Run a management command of the example. Returns what it said, if `quiet`.

    Raises:
        Unavailable: it failed.
    """
    command = [sys.executable, str(EXAMPLE / "manage.py"), *arguments]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE if quiet else None
    )
    if done.returncode != 0:
        raise Unavailable(f"manage.py {arguments[0]} failed")
    return (done.stdout or "").strip()


@contextmanager
def celery_commands() -> Iterator[dict[str, list[str]]]:
    """What runs beside the web processes, by name."""
    celery = [sys.executable, "-m", "celery", "--quiet", "--app", "config.celery"]
    quietly = ["--loglevel", "warning"]
    with tempfile.TemporaryDirectory(prefix="clarion-beat-") as folder:
        schedule = str(Path(folder) / "schedule")
        yield {
            "Celery's worker": [*celery, "worker", *quietly, "--pool", "threads", "-c", "4"],
            "Celery's beat": [*celery, "beat", *quietly, "--schedule", schedule],
        }


def server_command(host: str, port: int, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "config.asgi:application", "--app-dir", str(EXAMPLE),
        "--host", host, "--port", str(port), "--workers", str(workers),
        "--log-level", "warning", "--ws", "clarion.realtime.gateway:Gateway",
        "--ws-per-message-deflate", "false",
        "--timeout-graceful-shutdown", "8",
    ]  # fmt: skip


def wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Unavailable(f"the server ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/login/", timeout=5):
                return
        except urllib.error.HTTPError as error:
            raise Unavailable(f"GET /login/ answered {error.code}") from error
        except OSError:
            time.sleep(0.05)
    raise Unavailable(f"the server did not answer within {START_TIMEOUT:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
