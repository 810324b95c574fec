"""What leaves the screen, on PostgreSQL with a channel that keeps what it is sent.

Beside it the way that is usually written: one job a recipient, which asks for preferences, makes
its rows and sends, one after the other.

    python -m bench.outbox deliver <workers> | fanout | fanout-loop | digest    one sample
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import django

from bench.common import Row, Sample, Table, in_turn, median, ratios, sample, spread, values
from bench.servers import site_on_postgres

USERS = 10_000
DELIVERIES = 8_000
ITEMS = 10
_ENVIRONMENT = {"CLARION_BENCH_MAIL": "1", "CLARION_RUNNER": "bench.project.asleep.Asleep"}


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_outbox", USERS) as url:

        def of(*arguments: object) -> Any:
            return lambda: sample("outbox", *arguments, CLARION_DB=url, **_ENVIRONMENT)

        _deliveries(table, in_turn({"one": of("deliver", 1), "two": of("deliver", 2)}, rounds))
        _fanout(table, in_turn({"clarion": of("fanout"), "loop": of("fanout-loop")}, rounds))
        _digest(table, in_turn({"clarion": of("digest")}, max(1, rounds - 1)))


def _deliveries(table: Table, taken: dict[str, list[Sample]]) -> None:
    one, two = (values(taken[name], "per_second") for name in ("one", "two"))
    table.add(
        Row(
            bench="outbox",
            measure="deliveries claimed, rendered and settled, one worker, /s",
            clarion=f"{median(one):,.0f}",
            target="≥ 2,000/s",
            spread=spread(one),
            met=median(one) >= 2000,
            samples=taken,
        )
    )
    times = ratios(two, one)
    table.add(
        Row(
            bench="outbox",
            measure="the same with two workers",
            clarion=f"{median(two):,.0f}",
            ratio=f"{median(times):.1f}x one",
            target="≥ 1.7x",
            spread=f"{spread(two)}; {spread(times, 'x', 1)}",
            met=median(times) >= 1.7,
        )
    )


def _fanout(table: Table, taken: dict[str, list[Sample]]) -> None:
    ours, theirs = (values(taken[name], "seconds") for name in ("clarion", "loop"))
    statements = values(taken["clarion"], "statements_per_chunk")
    table.add(
        Row(
            bench="outbox",
            measure="fan-out to 10,000 with preferences and deliveries",
            clarion=f"{median(ours):.2f} s",
            peer=f"{median(theirs):.1f} s (a loop over people)",
            ratio=f"1/{median(ratios(theirs, ours)):.0f}",
            target="< 2 s",
            spread=f"{spread(ours, 's', 2)}; {median(statements):.0f} statements per 5,000",
            met=median(ours) < 2,
            samples=taken,
        )
    )


def _digest(table: Table, taken: dict[str, list[Sample]]) -> None:
    seconds = values(taken["clarion"], "seconds")
    statements = values(taken["clarion"], "statements_per_claim")
    table.add(
        Row(
            bench="outbox",
            measure="digests for 10,000 people with 10 items each",
            clarion=f"{median(seconds):.1f} s",
            target="< 60 s",
            spread=f"{spread(seconds, 's', 1)}; {median(statements):.1f} statements per 100 people",
            met=median(seconds) < 60,
            samples=taken,
        )
    )


# --- one sample


def main(what: str, *arguments: str) -> None:
    django.setup()
    if what == "worker":
        _work()
        return
    _empty()
    measure = {
        "deliver": _measure_deliver,
        "fanout": _measure_fanout,
        "fanout-loop": _measure_loop,
        "digest": _measure_digest,
    }[what]
    print(json.dumps(measure(*map(int, arguments))))


def _measure_deliver(workers: int) -> Sample:
    """Singles that are due, each its own envelope; the workers are processes of their own."""
    from django.contrib.auth.models import User

    from clarion.models import Delivery

    _notify("Mailed", User.objects.filter(pk__lte=DELIVERIES))
    _vacuum()
    command = [sys.executable, "-m", "bench.outbox", "worker"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    for worker in started:
        assert worker.stdout is not None
        worker.stdout.readline()  # it is ready
    began = time.perf_counter()
    for worker in started:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    done = [worker.wait() for worker in started]
    seconds = time.perf_counter() - began
    assert done == [0] * workers
    assert Delivery.objects.filter(outcome="delivered").count() == DELIVERIES
    return {"per_second": round(DELIVERIES / seconds), "seconds": round(seconds, 2)}


def _work() -> None:
    from clarion import outbox
    from clarion.models import Delivery

    Delivery.objects.exists()
    print("ready", flush=True)
    sys.stdin.readline()
    while outbox.deliver_due():
        continue


def _measure_fanout() -> Sample:
    from django.contrib.auth.models import User
    from django.db import connection

    from bench.statements import Counted
    from clarion.models import Delivery, Notification

    _choices()
    said = Counted()
    began = time.perf_counter()
    with connection.execute_wrapper(said):
        _notify("Mailed", User.objects.all())
    seconds = time.perf_counter() - began
    assert Notification.objects.count() == USERS
    assert Delivery.objects.count() == USERS
    return {"seconds": round(seconds, 3), "statements_per_chunk": said.number / (USERS / 5000)}


def _measure_loop() -> Sample:
    """One by one: is it wanted, the row, the delivery."""
    from django.contrib.auth.models import User
    from django.db import transaction

    from bench.project.notifications import Mailed
    from clarion.models import Delivery, Event, Notification, Preference

    _choices()
    event = Event.objects.create(type=Mailed.type, data={"headline": "x"}, due_at=None)
    began = time.perf_counter()
    for user in User.objects.iterator():
        with transaction.atomic():
            off = Preference.objects.filter(recipient=user, scope="category:news", value="off")
            row = Notification(event=event, recipient=user, version=1)
            row.save_base(raw=True, force_insert=True)
            if not off.filter(channel="email").exists():
                Delivery.objects.create(
                    event=event, recipient=user, notification=row, channel="email",
                    outcome="skipped",
                )  # fmt: skip
    return {"seconds": round(time.perf_counter() - began, 3)}


def _measure_digest() -> Sample:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.utils import timezone

    from bench.statements import Counted
    from clarion import outbox
    from clarion.models import Delivery

    for _ in range(ITEMS):
        _notify("Digested", User.objects.all())
    Delivery.objects.filter(due_at__isnull=False).update(
        due_at=timezone.now(), created_at=timezone.now() - timedelta(days=2)
    )
    _vacuum()
    said, claims = Counted(), 0
    began = time.perf_counter()
    with connection.execute_wrapper(said):
        while outbox.deliver_due():
            claims += 1
    seconds = time.perf_counter() - began
    assert Delivery.objects.filter(outcome="delivered").count() == USERS * ITEMS
    return {"seconds": round(seconds, 2), "statements_per_claim": said.number / claims}


def _notify(name: str, to: Any) -> None:
    """The whole way into the rows; nobody delivers."""
    from bench.project import notifications
    from clarion import fanout, notify

    cls = getattr(notifications, name)
    notify(cls(headline="The library is open on Sunday"), to=to)
    while fanout.run_due():
        continue


def _choices() -> None:
    """3,000 stored choices, of which every second means no to mail."""
    from clarion.models import Preference

    Preference.objects.all().delete()
    Preference.objects.bulk_create(
        Preference(
            recipient_id=1 + 3 * n, scope="category:news", channel="email",
            value="off" if n % 2 else "instant",
        )
        for n in range(3000)
    )  # fmt: skip


def _empty() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE clarion_attempt, clarion_delivery, clarion_notification, clarion_preference,"
            " clarion_audiencechunk, clarion_event RESTART IDENTITY"
        )
    _vacuum()


def _vacuum() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


if __name__ == "__main__":
    main(*sys.argv[1:])
