"""Processes of a site, on the database of the test if no other is named, and what left it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings

from clarion.models import Delivery
from tools.processes import kill

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds, on a machine that has other things to do


@dataclass
class Site:
    """`clarion` is CLARION, in this process and all others; see `living`."""

    folder: Path
    clarion: dict[str, Any]
    tasks: str = ""  # the broker of Celery
    database: str = ""  # the test's own, when not named
    mail_server: str = ""  # host:port
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        return self.start("django", "clarion_worker", *options)

    def celery_worker(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        common = ["--loglevel", "warning", "--without-mingle", "--without-gossip"]
        return self._celery("worker", "--hostname", f"{name}@here", *common, *options)

    def beat(self) -> subprocess.Popen[bytes]:
        return self._celery("beat", "--schedule", str(self.folder / "beat"), "--pidfile", "")

    def _celery(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start("celery", "--app", "tests.runners.site.celery", *arguments)

    def start(self, module: str, *arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
        """Run `python -m module` in the site's surroundings; what it says goes to its log."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment(),
                cwd=ROOT,
                stderr=log,
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, "stdout": log, **pipes},
            )
        self.processes.append(process)
        return process

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.runners.site.settings",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "CLARION_SITE": json.dumps(self.clarion),
            "CLARION_DB": self.database or database_url(),
            "CLARION_TASKS": self.tasks,
            "CLARION_SMTP": self.mail_server,
            "CLARION_BROKER": "",
        }

    def received(self) -> list[str]:
        """The id of each envelope, in the order of sending."""
        return (self.folder / "received").read_text(encoding="ascii").split()

    def wait(self, until: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, f"not {what}:\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def living(
    folder: Path, *, tasks: str = "", database: str = "", email: Any = None, **clarion: Any
) -> Iterator[Site]:
    """A site whose channel "email" writes to a file; its processes are gone afterwards."""
    (folder / "received").touch()
    (folder / "log").touch()
    backend = "tests.runners.site.channels.LogChannel"
    options = {"BACKEND": backend, "path": str(folder / "received"), **(email or {})}
    usual = {"BROKER": "memory", "CHANNELS": {"email": options}, "STORM_LIMIT": None}
    usual |= {"SITE_URL": "https://school.example", "INLINE_LIMIT": 1000}
    site = Site(folder, {**usual, **clarion}, tasks, database)
    try:
        with override_settings(CLARION=site.clarion):
            yield site
    finally:
        for process in site.processes:
            kill(process)


def database_url() -> str:
    """The database of the test, as CLARION_DB names it."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite://{given['NAME']}"
    scheme = "postgres" if connection.vendor == "postgresql" else "mysql"
    who = f"{given['USER']}:{given['PASSWORD']}"
    return f"{scheme}://{who}@{given['HOST']}:{given['PORT']}/{given['NAME']}"


def crowd(count: int) -> list[User]:
    """People to whom there is a mail each: five for one person would go as one."""
    return User.objects.bulk_create(User(username=f"u{number:04}") for number in range(count))


def settled() -> bool:
    """Whether every delivery has its outcome, and there are some."""
    pending = Delivery.Outcome.PENDING
    return Delivery.objects.exists() and not Delivery.objects.filter(outcome=pending).exists()


def expected() -> list[str]:
    """The id of the envelope of every delivery, in order."""
    return sorted(map(str, Delivery.objects.values_list("pk", flat=True)))
