"""What would keep deliveries from leaving is said when the site starts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import django
import pytest
from asgiref.local import Local
from celery import Celery, _state
from django.core.checks import run_checks
from django.test import override_settings

TASKS = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"


def found(deploy: bool = False, **clarion: Any) -> dict[str, str]:
    """What is said, by its id."""
    with override_settings(CLARION={"RUNNER": "inline", "BROKER": "memory", **clarion}):
        messages = run_checks(tags=["clarion"], include_deployment_checks=deploy)
    assert all(message.hint for message in messages)
    return {str(message.id): message.msg for message in messages}


@pytest.fixture
def no_celery(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No app is loaded in this process; those that a test makes are forgotten."""
    monkeypatch.setattr(_state, "default_app", None)
    _state._set_current_app(None)
    yield
    _state._set_current_app(None)


ALL = {name: {"BACKEND": "memory"} for name in ("email", "sms", "pager")}  # that types name
SITE = {"SITE_URL": "https://school.example"}


def test_a_site_with_its_channels_is_silent() -> None:
    assert found(CHANNELS=ALL, **SITE) == {}


def test_an_option_that_a_channel_does_not_know_is_an_error() -> None:
    says = found(CHANNELS={**ALL, "email": {"BACKEND": "memory", "keeep": 3}}, **SITE)

    assert "did you mean 'keep'" in says["clarion.E006"]


def test_types_that_name_a_channel_the_site_has_not_are_named() -> None:
    says = found(CHANNELS={"email": ALL["email"], "sms": ALL["sms"]}, **SITE)

    assert set(says) == {"clarion.W007"}
    assert "'pager', which is a channel of out.throttled" in says["clarion.W007"]


def test_links_that_leave_the_site_need_its_address() -> None:
    assert set(found(CHANNELS=ALL)) == {"clarion.W008"}


@pytest.mark.usefixtures("no_celery")
def test_a_celery_runner_without_a_celery_app_is_said_at_once() -> None:
    assert set(found(RUNNER="celery", CHANNELS=ALL, **SITE)) == {"clarion.W009"}

    Celery("site", broker="redis://localhost")

    assert found(RUNNER="celery", CHANNELS=ALL, **SITE) == {}


@pytest.mark.usefixtures("no_celery")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"broker": "redis://localhost"}, ""),
        ({"broker": "memory://"}, "in the memory of one process"),
        ({"broker": "redis://localhost", "task_always_eager": True}, "task_always_eager"),
    ],
)
def test_a_celery_without_workers_is_flagged_in_production(
    options: dict[str, Any], says: str
) -> None:
    Celery("site", broker=options["broker"]).conf.update(options)

    messages = found(RUNNER="celery", deploy=True)

    assert "clarion.W004" not in messages
    assert says in messages.get("clarion.W010", "")
    assert ("clarion.W010" in messages) is bool(says)


@pytest.mark.parametrize(
    ("backend", "says"),
    [("immediate.Immediate", "where they are made"), ("dummy.Dummy", "never runs them")],
)
def test_tasks_that_no_worker_gets_are_flagged_in_production(
    backend: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = import_module(TASKS).task_backends
    with override_settings(TASKS={"default": {"BACKEND": f"{TASKS}.backends.{backend}Backend"}}):
        monkeypatch.setattr(backends, "settings", backends.configure_settings(None))
        monkeypatch.setattr(backends, "_connections", Local())
        messages = found(RUNNER="django_tasks", deploy=True)

    assert says in messages["clarion.W010"]
