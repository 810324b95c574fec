"""The database and broker that the rigs stand on: one of each for all scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import need
from tests.hard.rig import prepare

if TYPE_CHECKING:
    from tools.services import Postgres, Valkey

TEMPLATE = "a_site"


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


@pytest.fixture(scope="session")
def people(postgres: Postgres) -> list[dict[str, Any]]:
    """Everybody in the database that the others are copied from."""
    _create(postgres, f'"{TEMPLATE}"')
    return prepare(_url(postgres, TEMPLATE))


@pytest.fixture
def new_site(
    postgres: Postgres, people: list[dict[str, Any]], valkey: Valkey, request: pytest.FixtureRequest
) -> dict[str, Any]:
    """A database with the site's tables and people, and a broker: what a `Rig` stands on."""
    name = request.node.name[5:60]
    _create(postgres, f'"{name}" TEMPLATE "{TEMPLATE}"')
    return {"database": _url(postgres, name), "people": people, "broker": valkey.url}


@pytest.fixture
def empty_database(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """The URL of a database of its own."""
    name = request.node.name[5:60]
    _create(postgres, f'"{name}"')
    return _url(postgres, name)


def _create(postgres: Postgres, database: str) -> None:
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")


def _url(postgres: Postgres, database: str) -> str:
    return f"{postgres.url.rpartition('/')[0]}/{database}"
