"""What the environment says about this installation, as values for the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def flag(name: str, *, default: bool) -> bool:
    """`name` from the environment: 1, true, yes and on mean yes."""
    return os.environ.get(name, "1" if default else "0").lower() in ("1", "true", "yes", "on")


def words(name: str, default: list[str]) -> list[str]:
    """`name` from the environment, a list with commas."""
    given = [word.strip() for word in os.environ.get(name, "").split(",")]
    return [word for word in given if word] or default


def secret_key(file: Path) -> str:
    """SECRET_KEY from the environment, or the one in `file`, which is made at the first start."""
    return os.environ.get("SECRET_KEY") or kept(file, get_random_secret_key)


def kept(file: Path, make: Callable[[], str]) -> str:
    """The secret in `file`; it is made at the first start, and nobody else can read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        created = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    except FileExistsError:
        return file.read_text(encoding="ascii")
    with os.fdopen(created, "w", encoding="ascii") as new:
        new.write(make())
    return file.read_text(encoding="ascii")


def database(url: str) -> dict[str, Any]:
    """An entry of DATABASES for `sqlite:///path/to/file` or `postgres://user:password@host:port/name`.

    Raises:
        ImproperlyConfigured: another kind of database.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite(Path(url2pathname(parts.path)))
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f"CLARION_DB: {parts.scheme or url!r} is not known here; use sqlite:///path/to/file or "
            "postgres://user:password@host:port/name."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def sqlite(file: Path) -> dict[str, Any]:
    """Readers don't wait for the writer, and a writer asks for its turn at the start."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "OPTIONS": {
            "timeout": 20,  # seconds
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
