"""Fixtures for all tests, and what keeps a test from being left out without a word."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
NOT_INSTALLED = "not installed: "
WANTING = (NOT_INSTALLED, "could not import")  # the latter is how pytest.importorskip says it
SELECTED_BY_HAND = ("e2e", "hard")  # they have steps of their own in `run.py test`


def need(present: object, part: str) -> None:
    """Skip the test when an installable `part` is absent, and say so; in CI that is a failure."""
    if not present:
        pytest.skip(NOT_INSTALLED + part)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if CI and report.skipped and any(text in reason for text in WANTING):
        report.outcome = "failed"
        report.longrepr = f"{reason} - in CI nothing may be skipped for want of an installable part"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a server run where one is named; the others say where they do run."""
    chosen = config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("valkey") and not _broker().startswith("redis"):
            item.add_marker(pytest.mark.skip(reason="runs where CLARION_BROKER names a Valkey"))
        if item.get_closest_marker("postgres") and not _database().startswith("postgres"):
            item.add_marker(pytest.mark.skip(reason="runs where CLARION_DB names a PostgreSQL"))
        for name in SELECTED_BY_HAND:
            if item.get_closest_marker(name) and name not in chosen and not _named(config, item):
                item.add_marker(pytest.mark.skip(reason=f"runs with -m {name}"))


def _named(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether the caller asked for this file itself."""
    return any(item.path.name in str(argument) for argument in config.args)


def _broker() -> str:
    return os.environ.get("CLARION_BROKER", "")


def _database() -> str:
    return os.environ.get("CLARION_DB", "")


@pytest.fixture
def make_user(db: None, django_user_model: type[User]) -> Callable[..., User]:
    """Make a user: `make_user("carol", is_active=False)`. The password is the name."""

    def make(name: str, **fields: object) -> User:
        return django_user_model.objects.create_user(
            username=name, password=name, first_name=name.title(), **fields
        )

    return make


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    return make_user("alice")


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    return make_user("bob")


@pytest.fixture
def carol(make_user: Callable[..., User]) -> User:
    return make_user("carol")


@pytest.fixture
def is_postgres() -> bool:
    return connection.vendor == "postgresql"


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The Valkey that was named for this run; its tests carry the mark `valkey`."""
    return _broker()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium on this machine."""
    import shutil

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CLARION_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    need(path, "Chromium (apt install chromium fonts-dejavu)")
    assert path
    return path


@pytest.fixture(autouse=True, scope="session")
def emptied_quickly() -> Iterator[None]:
    """After a test with commits, empty the tables that tests write to, and no more.

    Django's own way also makes all content types and permissions anew, which takes longer than most
    of our tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: _empty())
        yield


def _empty() -> None:
    connection.ops.execute_sql_flush(_statements())


@functools.cache
def _statements() -> list[str]:
    kept = {"django_content_type", "auth_permission", "django_migrations"}
    tables = set(connection.introspection.django_table_names(include_views=False)) - kept
    return connection.ops.sql_flush(no_style(), sorted(tables), allow_cascade=False)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let go of what threads of servers still hold, so that the test database can be dropped."""
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
