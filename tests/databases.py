"""What `CLARION_DB` says, as an entry of Django's DATABASES."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}


def database(url: str) -> dict[str, Any]:
    """Settings for `sqlite`, `sqlite:///path`, `postgres://...` or `mysql://...`.

    `sqlite` alone is a temporary file of this process: a file, since threads can't share memory.
    """
    parts = urlsplit(url)
    scheme = parts.scheme or parts.path
    if scheme == "sqlite":
        file = f"{tempfile.gettempdir()}/clarion-{os.getpid()}.sqlite3"
        return sqlite(parts.path if parts.scheme else file)
    if scheme == "mysql":
        import pymysql  # pure Python; Django asks for the version of another driver

        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()
    if scheme not in ENGINES:
        raise ValueError(f"CLARION_DB: unknown database {scheme!r}; known: sqlite, {list(ENGINES)}")
    return {
        "ENGINE": f"django.db.backends.{ENGINES[scheme]}",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "TEST": {"NAME": f"test_clarion_{os.getpid()}"},  # several runs may share a server
    }


def sqlite(path: str) -> dict[str, Any]:
    """Write-ahead log, and transactions that take the write lock at once rather than halfway."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
        "TEST": {"NAME": f"{Path(path).parent}/clarion-tests-{os.getpid()}.sqlite3"},
    }


def temporary_folder() -> str:
    """A folder that goes when this process ends."""
    folder = tempfile.mkdtemp(prefix="clarion-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
