"""Threads in the serving process: told at once, never in each other's way, hard to kill."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import notify
from clarion.channels.base import Channel, Envelope, Receipt
from clarion.models import Delivery, Event, Notification
from clarion.runner import _runner, ensure
from clarion.runners import loop, work
from clarion.runners.loop import Loop
from tests.outward import MailOnly

pytestmark = pytest.mark.django_db(transaction=True)

HOURS = 3600  # longer than any test takes: nobody polls


class Gate:
    """Where the channel below waits until the test lets it go on."""

    reached, opened = threading.Event(), threading.Event()


@dataclass(frozen=True, kw_only=True)
class Slow(Channel):
    needs_endpoint: ClassVar[bool] = False

    def address_of(self, recipient: Any) -> str:
        return "somewhere"

    def send(self, envelope: Envelope) -> Receipt:
        Gate.reached.set()
        assert Gate.opened.wait(30)
        return Receipt()


@pytest.fixture(autouse=True)
def gate():
    Gate.reached.clear()
    Gate.opened.set()
    yield Gate
    Gate.opened.set()


def embedded(**settings: Any) -> override_settings:
    channels = {"email": {"BACKEND": "tests.runners.test_embedded.Slow"}}
    usual = {"RUNNER": "embedded", "BROKER": "memory", "CHANNELS": channels, "INLINE_LIMIT": 0}
    return override_settings(CLARION={**usual, **settings})


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def delivered() -> int:
    return Delivery.objects.filter(outcome=Delivery.Outcome.DELIVERED).count()


def names_of_threads() -> list[str]:
    ours = ("clarion-events", "clarion-deliveries")  # the hub has threads for the database
    return sorted(each.name for each in threading.enumerate() if each.name.startswith(ours))


@embedded(SWEEP_INTERVAL=HOURS)
def test_told_it_fans_out_and_sends_without_waiting_for_its_poll(alice):
    ensure()

    notify(MailOnly(), to=alice)

    wait(delivered)


@embedded(SWEEP_INTERVAL=HOURS)
def test_a_slow_mail_server_does_not_hold_up_what_goes_to_screens(alice, bob, gate):
    gate.opened.clear()
    notify(MailOnly(), to=alice)
    assert gate.reached.wait(30)

    notify("Hello", to=bob)

    wait(Notification.objects.filter(recipient=bob).exists)
    assert delivered() == 0
    gate.opened.set()


@embedded(SWEEP_INTERVAL=0.02)
def test_what_other_programs_commit_is_found(alice):
    ensure()

    Event.objects.bulk_create(
        [Event(type="message", data={"title": "x"}, audience={"users": [alice.pk]})]
    )

    wait(Notification.objects.filter(recipient=alice).exists)


@embedded(SWEEP_INTERVAL=HOURS)
def test_told_to_stop_it_settles_what_it_is_sending(alice, gate):
    gate.opened.clear()
    notify(MailOnly(), to=alice)
    assert gate.reached.wait(30)

    threading.Timer(0.05, gate.opened.set).start()
    _runner().stop()

    assert delivered() == 1
    assert names_of_threads() == []


def test_without_channels_there_is_no_thread_for_them():
    with embedded(CHANNELS={}):
        ensure()
        assert names_of_threads() == ["clarion-events"]
    with embedded():
        ensure()
        assert names_of_threads() == ["clarion-deliveries-1", "clarion-events"]


@pytest.mark.postgres
@embedded(SWEEP_INTERVAL=0.02)
def test_a_database_that_was_away_is_used_again(alice, monkeypatch):
    monkeypatch.setattr(loop, "_PAUSE_AFTER_A_FAULT", 0.02)
    ensure()
    wait(lambda: len(_other_connections()) == 2)

    with connection.cursor() as cursor:
        for pid in _other_connections():
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    notify(MailOnly(), to=alice)

    wait(delivered)


def _other_connections() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return [pid for (pid,) in cursor.fetchall()]


# --- one thread


def test_whatever_the_work_raises_it_is_done_again_and_said_once(monkeypatch, caplog):
    monkeypatch.setattr(loop, "_PAUSE_AFTER_A_FAULT", 0.01)
    results = iter([ValueError("no"), ValueError("no"), 3, 0])
    over = threading.Event()

    def work() -> int:
        result = next(results, None)
        if isinstance(result, Exception):
            raise result
        over.set() if result is None else None
        return result or 0

    mine = Loop("clarion-test", work)
    mine.start()
    with override_settings(CLARION={"SWEEP_INTERVAL": 0.01}):
        assert over.wait(30)
    mine.stop()
    mine.join()

    assert mine.done == 3
    assert [record.message for record in caplog.records] == [
        "clarion-test failed; it is tried again"
    ]


def test_what_wakes_it_while_it_works_is_done_after():
    seen, number = [], 0
    entered, go_on = threading.Event(), threading.Event()

    def work() -> int:
        seen.append(number)
        entered.set()
        go_on.wait(30)
        return 0

    mine = Loop("clarion-test", work, polls=False)
    mine.wake()
    assert entered.wait(30)
    number = 1
    mine.wake()
    go_on.set()

    assert mine.rest(30)
    assert seen == [0, 1]
    mine.stop()
    mine.join()


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FORKED = """
import os, threading
from clarion.runners.loop import Loop
lock_held = threading.Event()
mine = Loop("clarion-test", lambda: lock_held.wait(0.05) and 0, polls=False)
mine.wake()
child = os.fork()
mine.wake()
ok = mine.rest(20) and threading.active_count() == 2
os._exit(not ok) if child == 0 else print(os.waitpid(child, 0)[1], ok)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_forked_child_has_a_thread_of_its_own():
    assert run(FORKED) == "0 True"


def test_setting_up_django_starts_no_thread():
    assert run("import django, threading; django.setup(); print(threading.active_count())") == "1"


# --- one look


def a_due_event(notification: Notification) -> None:
    due = {"due_at": timezone.now(), "checkpoint": "", "audience": {"users": []}}
    Event.objects.filter(pk=notification.event_id).update(**due)


def a_row_saved_in_another_way(notification: Notification) -> None:
    Notification.objects.filter(pk=notification.pk).update(version=None)


def a_snooze_that_is_over(notification: Notification) -> None:
    Notification.objects.filter(pk=notification.pk).update(snoozed_until=timezone.now())


def an_expiry(notification: Notification) -> None:
    Notification.objects.filter(pk=notification.pk).update(expires_at=timezone.now())


@pytest.mark.parametrize(
    "what", [a_due_event, a_row_saved_in_another_way, a_snooze_that_is_over, an_expiry]
)
def test_one_look_finds_all_that_the_sweep_does(alice, what):
    notify("Hello", to=alice)
    what(Notification.objects.get())

    assert work.look_for_events() == 1
    assert work.look_for_events() == 0


def test_a_look_at_nothing_is_one_query(alice):
    notify("Hello", to=alice)

    with CaptureQueriesContext(connection) as queries:
        assert work.look_for_events() == 0
        assert work.deliver() == 0

    assert len(queries) == 2
