"""A real site in a process of its own, and people in front of real browsers."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.e2e.screen import Person, Screen

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


class Site:
    """The site of tests/e2e under uvicorn. It may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "server.log"
        self._environment = {
            **os.environ,
            "CLARION_E2E_DB": str(folder / "site.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "tests.e2e.settings",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://localhost:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def migrate(self) -> None:
        command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
        subprocess.run(command, env=self._environment, cwd=ROOT, check=True)

    def start(self) -> None:
        options = [f"--port={self._port}", "--log-level=warning", "--timeout-graceful-shutdown=1"]
        command = [sys.executable, "-m", "uvicorn", "tests.e2e.asgi:application", *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, cwd=ROOT, stdout=log, stderr=log
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(200):
            try:
                with urllib.request.urlopen(self.url + "/login/", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the site did not start:\n{self._log.read_text()[-3000:]}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=20)
            self._process = None

    def kill(self) -> None:
        self.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.migrate()
    site.start()
    yield site
    site.end()


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    """The running site; a test that stopped it need not start it again."""
    yield _site
    if _site._process is None:
        _site.start()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


_numbers = itertools.count(1)


@pytest.fixture
def person(site: Site, browser: Browser) -> Iterator[Callable[..., Person]]:
    """Make somebody new who is signed in: `person("alice", color_scheme="dark")`.

    At the end no page of theirs may have had a script error or broken the site's policy.
    """
    people: list[Person] = []

    def make(name: str, **options: object) -> Person:
        username = f"{name}{next(_numbers)}"
        someone = Person(username, site.url, lambda: _context(browser, options))
        people.append(someone)
        return someone

    yield make
    complaints = [line for someone in people for line in someone.complaints()]
    for someone in people:
        someone.leave()
    assert complaints == []


def _context(browser: Browser, options: dict[str, object]) -> BrowserContext:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(8000)
    return context


@pytest.fixture
def alice(person: Callable[..., Person]) -> Person:
    return person("alice")


@pytest.fixture
def bob(person: Callable[..., Person]) -> Person:
    return person("bob")


@pytest.fixture
def screen(alice: Person) -> Screen:
    """Alice's first page, connected."""
    return alice.screen()
