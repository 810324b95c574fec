"""Real Celery workers on a Valkey that comes and goes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from django.utils import timezone

from clarion import notify, runner
from clarion.models import Attempt, Delivery, Notification
from tests.outward import MailOnly
from tests.runners.processes import Site, crowd, expected, living, settled

if TYPE_CHECKING:
    from tools.services import Valkey

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.valkey,
    pytest.mark.slow,
]


@contextmanager
def site_on(valkey: Valkey, folder: Path, **clarion: Any) -> Iterator[Site]:
    """A site whose requests are this process's, with its Celery app."""
    app = Celery("site", broker=valkey.url)
    app.set_default()
    app.finalize()
    with living(folder, RUNNER="celery", tasks=valkey.url, **clarion) as site:
        yield site
    app.close()


def waiting(valkey: Valkey) -> int:
    with redis.Redis.from_url(valkey.url) as client:
        return int(client.llen("celery"))


def test_what_is_committed_here_a_worker_fans_out_and_sends(valkey, tmp_path):
    with site_on(valkey, tmp_path, INLINE_LIMIT=10) as site:
        site.celery_worker("one", "--concurrency", "2")
        people = crowd(60)

        notify("Hello", to=people)
        notify(MailOnly(), to=people)

        site.wait(settled, "delivered")
        site.wait(lambda: Notification.objects.count() == 60, "fanned out")
        assert sorted(site.received()) == expected()


def test_a_thousand_wakes_are_a_few_tasks(valkey, tmp_path):
    with site_on(valkey, tmp_path):
        for _ in range(1000):
            runner.wake()
        assert runner._runner().teller.rest(30)

        assert 2 <= waiting(valkey) < 200


def test_workers_share_the_work_and_send_nothing_twice(valkey, tmp_path):
    with site_on(valkey, tmp_path, email={"seconds": 0.01}) as site:
        for name in ("one", "two"):
            site.celery_worker(name, "--concurrency", "2")
        site.worker("--threads", "2")
        notify(MailOnly(), to=crowd(500))

        site.wait(settled, "delivered")

        assert sorted(site.received()) == expected()
        assert len(expected()) == 500


def test_while_the_broker_is_away_calls_return_and_nothing_is_lost(valkey, tmp_path):
    with site_on(valkey, tmp_path) as site:
        site.celery_worker("one", "--concurrency", "1")
        people = crowd(51)
        notify(MailOnly(), to=people[:1])
        site.wait(settled, "delivered at first")

        valkey.kill()
        for person in people[1:]:
            notify(MailOnly(), to=person)
        assert len(site.received()) == 1
        valkey.start()

        site.wait(settled, "delivered when the broker was back")
        assert sorted(site.received()) == expected()
        assert len(expected()) == 51


def test_what_the_broker_forgot_the_beat_finds(valkey, tmp_path):
    with site_on(valkey, tmp_path) as site:
        notify(MailOnly(), to=crowd(1))
        site.wait(lambda: waiting(valkey), "told")
        assert runner._runner().teller.rest(30)
        valkey.kill()
        valkey.start()
        assert waiting(valkey) == 0

        site.celery_worker("one", "--concurrency", "1")
        site.beat()

        site.wait(settled, "found")


def test_a_worker_killed_between_sending_and_settling_repeats_one_with_the_same_id(
    valkey, tmp_path
):
    deadly = tmp_path / "deadly"
    deadly.touch()
    with site_on(valkey, tmp_path, DELIVERY_LEASE=1, email={"deadly": str(deadly)}) as site:
        site.beat()
        site.celery_worker("one", "--concurrency", "1")

        notify(MailOnly(), to=crowd(20))

        site.wait(settled, "settled by the next process of the pool")
        repeated = sorted(site.received())
        for expected_id in expected():
            repeated.remove(expected_id)
        assert len(repeated) == 1
        assert Attempt.objects.count() == 20


def test_told_to_stop_a_worker_settles_what_it_holds(valkey, tmp_path):
    with site_on(valkey, tmp_path, email={"seconds": 0.02}) as site:
        worker = site.celery_worker("one", "--concurrency", "1")
        notify(MailOnly(), to=crowd(100))
        site.wait(site.received, "begun")

        worker.send_signal(signal.SIGTERM)

        worker.wait(60)
        sent = Delivery.objects.filter(outcome=Delivery.Outcome.DELIVERED)
        assert sorted(map(str, sent.values_list("pk", flat=True))) == sorted(site.received())
        assert not Delivery.objects.exclude(claim="").exists()


def test_at_night_what_is_older_than_the_retention_goes(valkey, tmp_path):
    with site_on(valkey, tmp_path, RETENTION_DAYS=30) as site:
        notify("Hello", to=crowd(2))
        old = Notification.objects.order_by("pk")[:1].values("pk")
        Notification.objects.filter(pk__in=list(old.values_list("pk", flat=True))).update(
            arrived_at=timezone.now() - timedelta(days=31)
        )
        site.celery_worker("one", "--concurrency", "1")

        from clarion.runners.celery import prune

        prune.delay()

        site.wait(lambda: Notification.objects.count() == 1, "pruned")
