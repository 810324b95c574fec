"""`run.py test`: every check of the project, one after the other, with a table at the end.

    run.py test                   everything
    run.py test --fast            lint, types, layers, documentation, the fast suite
    run.py test --compat          what another Python or Django may break: suites, wheel, smoke
    run.py test --only NAME ...   the named steps
    run.py test --list            the names
    run.py test ARGS              pytest with these arguments

A step that can't run here is shown with the reason. With CI=true nothing may be left out for want
of something that can be installed: there it fails.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.processes import Unavailable

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
PYTHON = sys.executable
PYTEST = (PYTHON, "-m", "pytest", "-q")
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: The line of a tool's output that says how it went.
CLOSING = re.compile(
    r"^=*\s*(\d+ (?:passed|failed|skipped|deselected|error).*?)\s*=*$"  # pytest
    r"|^((?:bundle|mjml|wheel|extras|smoke|Success): .+|Found \d+ error.*|\d+ files? .+"
    r"|Ran \d+ .+)$"
)
BOTH_SERVERS = "CLARION_DB and CLARION_BROKER"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One check: a command, what it needs, and in which selections it is."""

    name: str
    about: str
    command: Sequence[str]
    fast: bool = False
    compat: bool = False
    servers: int = 0  # runs with PostgreSQL and so many Valkeys: one for each process of pytest
    mariadb: bool = False  # runs with MariaDB
    missing: Callable[[], str] = field(default=lambda: "")  # why it can't run here, if so


@dataclass(frozen=True, kw_only=True)
class Result:
    step: Step
    outcome: str  # passed, FAILED, skipped
    seconds: float
    note: str


def chromium_missing() -> str:
    if os.environ.get("CLARION_CHROMIUM") or any(map(shutil.which, CHROMIUMS)):
        return ""
    return "no Chromium found (apt install chromium fonts-dejavu)"


def uv_missing() -> str:
    return "" if os.environ.get("CLARION_UV") or shutil.which("uv") else "no uv found"


STEPS = (
    Step(name="lint", about="ruff check", fast=True, command=(PYTHON, "-m", "ruff", "check")),
    Step(
        name="format", about="ruff format", fast=True,
        command=(PYTHON, "-m", "ruff", "format", "--check"),
    ),
    Step(name="types", about="mypy --strict", fast=True, command=(PYTHON, "-m", "mypy")),
    Step(
        name="layers", about="imports point down, sizes", fast=True,
        command=(*PYTEST, "tests/test_architecture.py"),
    ),
    Step(
        name="docs", about="links, examples, references", fast=True,
        command=(*PYTEST, "tests/test_docs.py"),
    ),
    Step(
        name="mjml", about="mail templates are compiled", fast=True,
        command=(PYTHON, "-m", "tools.mjml", "--check"),
    ),
    Step(
        name="bundle", about="size of the browser's files", fast=True,
        command=(PYTHON, "-m", "tools.bundle"),
    ),
    Step(
        name="suite", about="fast tests on SQLite", fast=True,
        command=(*PYTEST, "-n", "2", "-m", "not (slow or e2e or hard)"),
    ),
    Step(
        name="slow", about="slow tests on SQLite",
        command=(*PYTEST, "-m", "slow and not (e2e or hard)"),
    ),
    Step(
        name="servers", about="fast tests on PostgreSQL and Valkey", compat=True, servers=2,
        command=(*PYTEST, "-n", "2", "-m", "not (slow or e2e or hard)"),
    ),
    Step(
        name="servers-slow", about="slow tests on PostgreSQL and Valkey", servers=1,
        command=(*PYTEST, "-m", "slow and not (e2e or hard)"),
    ),
    Step(
        name="mariadb", about="the engine on MariaDB", mariadb=True,
        command=(
            *PYTEST, "tests/test_notify.py", "tests/test_fanout.py", "tests/test_inbox.py",
            "-m", "not slow",
        ),
    ),
    Step(
        name="wheel", about="the wheel works alone", compat=True, missing=uv_missing,
        command=(PYTHON, "-m", "tools.wheel"),
    ),
    Step(
        name="extras", about="each extra is optional", missing=uv_missing,
        command=(PYTHON, "-m", "tools.extras"),
    ),
    Step(
        name="example", about="the example site's own tests", compat=True,
        command=(PYTHON, "example/manage.py", "test", "school", "--verbosity", "1"),
    ),
    Step(
        name="smoke", about="run.py --smoke", compat=True, command=(PYTHON, "-m", "tools.smoke")
    ),
    Step(
        name="smoke-full", about="the same on PostgreSQL and Valkey", servers=1,
        command=(PYTHON, "-m", "tools.smoke"),
    ),
    Step(
        name="browser", about="a real browser", missing=chromium_missing,
        command=(*PYTEST, "-m", "e2e"),
    ),
    Step(name="hard", about="killed processes", command=(*PYTEST, "-m", "hard")),
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the chosen steps; 1 when any failed."""
    if arguments == ["--list"]:
        for step in STEPS:
            print(f"{step.name:<12}{step.about}")
        return 0
    chosen = choose(arguments)
    if chosen is None:
        return subprocess.call([*PYTEST[:-1], *arguments], cwd=ROOT)
    started = time.monotonic()
    results = [run(step) for step in chosen]
    return report(results, time.monotonic() - started)


def choose(arguments: list[str]) -> list[Step] | None:
    """The steps that the arguments mean; None when they are meant for pytest."""
    if not arguments:
        return list(STEPS)
    if arguments == ["--fast"]:
        return [step for step in STEPS if step.fast]
    if arguments == ["--compat"]:
        return [step for step in STEPS if step.compat]
    if arguments[0] == "--only":
        unknown = set(arguments[1:]) - {step.name for step in STEPS}
        if unknown or len(arguments) == 1:
            raise SystemExit(f"--only: {sorted(unknown) or 'no step'}; see --list")
        return [step for step in STEPS if step.name in arguments[1:]]
    return None


def run(step: Step) -> Result:
    print(f"\n=== {step.name}: {step.about}", flush=True)
    started = time.monotonic()
    try:
        reason = step.missing()
        if reason:
            raise Unavailable(reason)
        with surroundings(step) as environment:
            code, note = stream(step.command, environment)
    except Unavailable as reason:
        outcome, note = ("FAILED" if CI else "skipped"), str(reason)
        print(f"{outcome}: {note}", flush=True)
    else:
        outcome = "passed" if code == 0 else "FAILED"
        note = note or ("" if code == 0 else f"exit code {code}")
    return Result(step=step, outcome=outcome, seconds=time.monotonic() - started, note=note)


def surroundings(step: Step) -> AbstractContextManager[dict[str, str]]:
    """The servers that a step runs with, as environment variables."""
    if step.servers:
        return servers(step.servers)
    return mariadb() if step.mariadb else contextlib.nullcontext({})


@contextmanager
def mariadb() -> Iterator[dict[str, str]]:
    """MariaDB as an environment variable. Raise `Unavailable` when it can't run here."""
    try:
        from tools import services
    except ImportError as error:
        raise Unavailable(str(error)) from error
    with services.mariadb() as database:
        yield {"CLARION_DB": database.url}


@contextmanager
def servers(brokers: int = 1) -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey as environment variables: those that are named already, or our own.

    Raises:
        Unavailable: they can't run here.
    """
    if os.environ.get("CLARION_DB", "").startswith("postgres") and "CLARION_BROKER" in os.environ:
        yield {}
        return
    try:
        from tools.services import postgres, valkey
    except ImportError as error:
        raise Unavailable(f"{error}; or name servers in {BOTH_SERVERS}") from error
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres(durable=False))
        urls = [stack.enter_context(valkey()).url for _ in range(brokers)]
        yield {"CLARION_DB": database.url, "CLARION_BROKER": " ".join(urls)}


def stream(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run, show everything at once, and return the exit code with the closing line."""
    note = ""
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            closing = CLOSING.match(line.strip())
            if closing:
                note = next(filter(None, closing.groups()))
        return process.wait(), note[:90]
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def report(results: list[Result], seconds: float) -> int:
    failed = [result.step.name for result in results if result.outcome == "FAILED"]
    print(f"\n=== {len(results)} steps, {seconds:.0f} s, Python {sys.version.split()[0]}")
    for result in results:
        row = f"{result.outcome:<8}{result.seconds:7.1f} s  {result.step.name:<11}{result.note}"
        print(row.rstrip())
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nall passed", flush=True)
    skipped = [result for result in results if result.outcome == "skipped"]
    if skipped and not failed:
        print(f"but not run here: {', '.join(result.step.name for result in skipped)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
