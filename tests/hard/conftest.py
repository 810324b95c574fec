"""The database and broker that the rigs stand on: one of each for all scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import need

if TYPE_CHECKING:
    from tools.services import Postgres, Valkey


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with ExitStack() as stack:
        yield stack.enter_context(_running("postgres", durable=False))


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with ExitStack() as stack:
        yield stack.enter_context(_running("valkey"))


def _running(name: str, **options: Any) -> Any:
    try:
        from tools import services
        from tools.processes import Unavailable
    except ImportError as error:
        need(None, f"{name} ({error})")
    try:
        return getattr(services, name)(**options)
    except Unavailable as error:
        need(None, str(error))


@pytest.fixture
def new_database(postgres: Postgres) -> Callable[[str], str]:
    """The URL of an empty database."""

    def create(name: str) -> str:
        import psycopg

        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return postgres.url.rpartition("/")[0] + f"/{name}"

    return create
