"""`manage.py clarion_worker`: any number of them share the work, and stop in good order."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections

from clarion import notify, outbox
from clarion.models import Attempt, Delivery, Notification
from tests.outward import MailOnly
from tests.runners.processes import crowd, expected, living, settled

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM"),
]

HOURS = 3600.0


def test_once_does_all_that_is_due_and_ends(tmp_path: Path) -> None:
    with living(tmp_path, RUNNER="worker", INLINE_LIMIT=0) as site:
        people = crowd(70)
        notify("Hello", to=people)
        notify(MailOnly(), to=people)

        assert site.worker("--once").wait(60) == 0, site.log()

        assert Notification.objects.count() == 70
        assert sorted(site.received()) == expected()
        assert settled()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_settles_what_it_holds(tmp_path: Path, number: signal.Signals) -> None:
    with living(tmp_path, RUNNER="worker", email={"seconds": 0.02}) as site:
        worker = site.worker("--threads", "2")
        notify(MailOnly(), to=crowd(200))
        site.wait(site.received, "begun")

        worker.send_signal(number)

        assert worker.wait(60) == 0, site.log()
        sent = Delivery.objects.filter(outcome=Delivery.Outcome.DELIVERED)
        assert sorted(map(str, sent.values_list("pk", flat=True))) == sorted(site.received())
        assert not Delivery.objects.exclude(claim="").exists()


@pytest.mark.postgres
def test_on_postgresql_it_is_told_at_once_by_other_processes(tmp_path: Path) -> None:
    with living(tmp_path, RUNNER="worker", SWEEP_INTERVAL=HOURS) as site:
        site.worker()
        notify(MailOnly(), to=crowd(1))
        site.wait(settled, "delivered by the first look")

        notify(MailOnly(), to=User.objects.create(username="later"))

        site.wait(settled, "delivered by being told")
        assert sorted(site.received()) == expected()


@pytest.mark.postgres
def test_ten_at_once_share_the_work_and_send_nothing_twice(tmp_path: Path) -> None:
    """Two worker processes with three threads each, and four threads of this one."""
    with living(tmp_path, RUNNER="worker", email={"seconds": 0.002}) as site:
        for _ in range(2):
            site.worker("--threads", "3")
        notify(MailOnly(), to=crowd(500))
        threads = [threading.Thread(target=deliver_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        site.wait(settled, "settled")

        assert sorted(site.received()) == expected()
        assert len(expected()) == 500


def deliver_all() -> None:
    while outbox.deliver_due(10):
        continue
    connections.close_all()


def test_killed_between_sending_and_settling_it_repeats_one_with_the_same_id(
    tmp_path: Path,
) -> None:
    deadly = tmp_path / "deadly"
    deadly.touch()
    with living(tmp_path, RUNNER="worker", DELIVERY_LEASE=1, email={"deadly": str(deadly)}) as site:
        notify(MailOnly(), to=crowd(20))

        assert site.worker("--threads", "1").wait(60) == -signal.SIGKILL
        [died_with] = site.received()
        site.worker("--threads", "2")
        site.wait(settled, "settled by another worker")

        assert sorted(site.received()) == sorted([*expected(), died_with])
        assert Attempt.objects.count() == 20


def test_a_worker_does_the_work_itself_whatever_the_runner_is(tmp_path: Path) -> None:
    with living(tmp_path, RUNNER="tests.outward.Asleep", INLINE_LIMIT=0) as site:
        notify(MailOnly(), to=crowd(3))

        site.worker()

        site.wait(settled, "fanned out and sent")
