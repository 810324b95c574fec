"""Several writers and several workers at once, on one PostgreSQL: nothing twice, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.db import connection
from django.utils import timezone

from clarion import inbox, notify, outbox, preferences
from clarion.channels import memory
from clarion.models import Delivery
from tests import outward
from tests.outward import Batched, Digested, Graded, site
from tests.test_outbox import accounted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

WORKERS = 10


@pytest.fixture(autouse=True)
def channels():
    memory.sent.clear()
    with outward.registered(), site(CHANNELS={"email": {"BACKEND": "memory", "keep": 100_000}}):
        yield


def at_once(*calls: Callable[[], object]) -> None:
    """Run all calls in threads of their own; the first exception is raised."""

    def run(call: Callable[[], object]) -> object:
        with closing(connection):
            return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(run, call) for call in calls]:
            done.result()


def sent_events() -> Counter[tuple[int, int]]:
    """How often each event went to each person."""
    return Counter(
        (envelope.recipient.pk, entry.event)
        for envelope in memory.sent
        for entry in envelope.entries
    )


def until_empty() -> None:
    while outbox.deliver_due(20):
        continue


def test_ten_workers_send_each_delivery_once(make_user):
    people = [make_user(f"w{number}") for number in range(20)]
    for number in range(4):
        notify(Graded(grade=str(number)), to=people)

    at_once(*[until_empty] * WORKERS)

    assert set(sent_events().values()) == {1}
    assert len(sent_events()) == 80
    accounted()


def test_batches_that_fill_while_they_are_sent_lose_nothing(make_user):
    people = [make_user(f"w{number}") for number in range(3)]
    done = threading.Event()

    def write() -> None:
        for number in range(15):
            notify(Batched(grade=str(number)), to=people)

    def close_early() -> None:
        while not done.is_set():
            outbox.flush()
            until_empty()

    def write_all() -> None:
        try:
            at_once(*[write] * 4)
        finally:
            done.set()

    at_once(write_all, close_early, close_early, close_early)
    outbox.flush()
    until_empty()

    assert set(sent_events().values()) == {1}
    assert len(sent_events()) == 4 * 15 * 3
    accounted()


def test_there_is_never_a_second_open_window(make_user):
    people = [make_user(f"w{number}") for number in range(3)]

    at_once(*[lambda: notify(Batched(), to=people)] * WORKERS)

    leading = Delivery.objects.filter(outcome="pending", leader__isnull=True)
    assert leading.count() == len(people)


def test_preferences_that_change_while_digests_are_sent_lose_nothing(alice):
    done = threading.Event()

    def change_its_mind() -> None:
        for number in range(20):
            value = ("instant", "digest")[number % 2]
            preferences.choose(alice, "category:grades", value, "email")

    def write() -> None:
        for _ in range(30):
            notify(Digested(), to=alice)

    def send() -> None:
        while not done.is_set():
            until_empty()

    def write_and_change() -> None:
        try:
            at_once(write, change_its_mind, write)
        finally:
            done.set()

    at_once(write_and_change, send, send)
    Delivery.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
    preferences.choose(alice, "category:grades", "instant", "email")
    until_empty()

    assert outbox.accounts()["email"] == {
        "pending": 0, "delivered": 60, "skipped": 0, "failed": 0
    }  # fmt: skip
    assert set(sent_events().values()) == {1}
    assert sum(envelope.count for envelope in memory.sent) == 60  # it may show fewer: the newest
    accounted()


def test_reading_while_it_is_sent_settles_each_once(make_user):
    people = [make_user(f"w{number}") for number in range(10)]
    notify(outward.Escalated(), to=people)
    Delivery.objects.update(due_at=timezone.now())

    def read() -> None:
        for person in people:
            inbox.mark_all_read(person)

    at_once(until_empty, read, until_empty)

    outcomes = Counter(Delivery.objects.values_list("outcome", flat=True))
    assert outcomes["pending"] == 0
    assert outcomes["delivered"] + outcomes["skipped"] == 20
    assert outcomes["delivered"] == sum(sent_events().values())
