"""Telling workers in other processes: few messages, none too few, and nobody waits for them."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from celery import Celery
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from clarion import notify, runner
from clarion.channels.base import Channel, Envelope, Receipt
from clarion.models import Delivery, Event, Notification
from clarion.runners import loop
from clarion.runners.celery import beat_schedule
from clarion.runners.remote import RemoteRunner
from tests.outward import MailOnly
from tests.runners.test_embedded import run


class Postbox(RemoteRunner):
    """Notes what had happened when it told."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = 0
        self.told: list[int] = []
        self.broken = threading.Event()

    def tell(self) -> None:
        if self.broken.is_set():
            raise ConnectionError("refused")
        self.told.append(self.happened)


@pytest.fixture
def postbox():
    mine = Postbox()
    yield mine
    mine.stop()


def test_a_thousand_commits_are_a_few_messages_and_the_last_is_told(postbox):
    for number in range(1, 1001):
        postbox.happened = number
        postbox.wake()

    assert postbox.teller.rest(30)
    assert postbox.told[-1] == 1000
    assert len(postbox.told) < 100


def test_nobody_hears_of_a_broker_that_is_away_and_it_is_told_later(postbox, monkeypatch, caplog):
    monkeypatch.setattr(loop, "_PAUSE_AFTER_A_FAULT", 0.01)
    postbox.broken.set()
    for _ in range(10):
        postbox.wake()
        postbox.teller.rest(0.02)
    assert postbox.told == []

    postbox.happened = 1
    postbox.broken.clear()

    while not postbox.told:
        postbox.teller.rest(0.01)
    assert postbox.told[0] == 1
    assert len(caplog.records) == 1


class Shut(RemoteRunner):
    """Its broker takes connections, and never answers."""

    def tell(self) -> None:
        Shut.reached.set()
        Shut.opened.wait(60)

    reached, opened = threading.Event(), threading.Event()


@pytest.mark.django_db(transaction=True)
@override_settings(CLARION={"RUNNER": "tests.runners.test_remote.Shut", "INLINE_LIMIT": 0})
def test_a_broker_that_never_answers_holds_up_no_request(alice):
    notify("Hello", to=alice)
    assert Shut.reached.wait(30)

    for _ in range(50):
        notify("Hello", to=alice)

    assert not Shut.opened.is_set()
    assert Event.objects.filter(due_at__isnull=False).count() == 51
    Shut.opened.set()


# --- of Django


threads: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Asking(Channel):
    """Notes in which thread it sends."""

    needs_endpoint: ClassVar[bool] = False

    def address_of(self, recipient: Any) -> str:
        return "somewhere"

    def send(self, envelope: Envelope) -> Receipt:
        threads.append(threading.current_thread().name)
        return Receipt()


@pytest.mark.django_db(transaction=True)
@override_settings(
    CLARION={
        "RUNNER": "django_tasks",
        "BROKER": "memory",
        "INLINE_LIMIT": 0,
        "CHANNELS": {"email": {"BACKEND": "tests.runners.test_remote.Asking"}},
    }
)
def test_tasks_of_django_do_the_work_and_an_immediate_backend_not_in_the_request(alice, caplog):
    notify("Hello", to=alice)
    notify(MailOnly(), to=alice)

    while not Delivery.objects.filter(outcome=Delivery.Outcome.DELIVERED).exists():
        assert runner._runner().teller.rest(30)
    assert Notification.objects.get().recipient == alice
    assert threads == ["clarion-wake"]
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


# --- of Celery


def test_the_beat_has_an_entry_for_each_task_and_nothing_piles_up():
    app = Celery("site", broker="memory://", set_as_current=False)
    app.autodiscover_tasks(["clarion"], force=True)

    entries = beat_schedule(2.5)

    assert {entry["task"] for entry in entries.values()} <= set(app.tasks)
    assert [entries[f"clarion.{name}"]["schedule"] for name in ("sweep", "deliver")] == [2.5, 2.5]
    assert isinstance(entries["clarion.prune"]["schedule"], crontab)
    assert all(entry["options"]["expires"] for entry in entries.values())


def test_a_task_is_done_again_when_its_worker_dies_and_leaves_no_result():
    app = Celery("site", broker="memory://", set_as_current=False)

    tasks = [app.tasks[f"clarion.{name}"] for name in ("sweep", "deliver", "prune")]

    for task in tasks:
        assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True,) * 3


def test_the_schedule_can_be_imported_before_django_is_set_up():
    says = "from clarion.runners.celery import beat_schedule; print(len(beat_schedule()))"

    assert run(f"import os; del os.environ['DJANGO_SETTINGS_MODULE']; {says}") == "3"


def test_task_queues_other_than_celery_may_look_for_our_tasks():
    blocked = "import sys; sys.modules['celery'] = None; import clarion.tasks as t; print(dir(t))"

    assert "sweep" not in run(blocked)


@pytest.mark.parametrize("name", ["celery", "django_tasks"])
def test_a_runner_whose_package_is_not_installed_says_which(name, monkeypatch):
    monkeypatch.setitem(sys.modules, f"clarion.runners.{name}", None)
    says = pytest.raises(ImproperlyConfigured, match=r'pip install "django-clarion\[')

    with override_settings(CLARION={"RUNNER": name}), says:
        runner.wake()


@pytest.mark.django_db
def test_away_from_postgresql_the_worker_is_not_told_it_looks():
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL tells")
    with override_settings(CLARION={"RUNNER": "worker"}):
        runner.wake()

        assert runner._runner().teller._thread is None
