"""The servers that the benchmarks run on, and a database with many users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.common import note, sample
from tests.databases import temporary_folder
from tools.services import Postgres, running

_TUNED = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",  # no checkpoint in the middle of a sample
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
}
_ANOTHER = "CLARION_BENCH_POSTGRES"  # the URL of a server to use in place of our own


class TunedPostgres(Postgres):
    """Durable (fsync, synchronous commit) and with memory as in production."""

    def command(self) -> list[str]:
        flags = [part for key, value in _TUNED.items() for part in ("-c", f"{key}={value}")]
        return [*super().command(), *flags]


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server: one of our own, or the one that CLARION_BENCH_POSTGRES names."""
    if os.environ.get(_ANOTHER):
        yield os.environ[_ANOTHER]
        return
    with running(TunedPostgres()) as server:
        assert isinstance(server, Postgres)
        yield server.url


@contextmanager
def site_on_postgres(name: str, users: int) -> Iterator[str]:
    """The URL of a database with the site's tables and that many users."""
    with postgres() as server:
        yield prepared(server, name, users)


@contextmanager
def site_on_sqlite(users: int) -> Iterator[str]:
    """The same in a file."""
    url = f"sqlite://{Path(temporary_folder()) / 'bench.sqlite3'}"
    sample("prepare", users, CLARION_DB=url)
    yield url


def prepared(server: str, name: str, users: int) -> str:
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if there.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{name}"')
    note(f"preparing {name} with {users:,} users ...")
    sample("prepare", users, CLARION_DB=url)
    return url
