"""notify() to one person as in a request: statements before commit, and commit to rows visible.

Both sides run in a transaction, as under ATOMIC_REQUESTS, with an actor. What comes after our
commit (the inbox row, counters, version) is done by the same process before `atomic()` returns; a
second connection then looks for the row.

    python -m bench.notify clarion|community    one sample on CLARION_DB
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import django

from bench.common import Row, Sample, Table, in_turn, median, ratios, sample, spread, values
from bench.servers import site_on_postgres

CALLS = 300
STATEMENTS = 2
_CONTROL = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_notify", users=1000) as url:
        sides = {
            name: lambda name=name: sample("notify", name, CLARION_DB=url)
            for name in ("clarion", "community")
        }
        taken = in_turn(sides, rounds)
    _statements(table, taken)
    _times(table, taken)


def _statements(table: Table, taken: dict[str, list[Sample]]) -> None:
    ours, keyed = (max(values(taken["clarion"], name)) for name in ("before", "before_with_key"))
    after = max(values(taken["clarion"], "after"))
    table.add(
        Row(
            bench="notify",
            measure="notify() to one user: statements before commit",
            clarion=f"{ours:.0f} ({keyed:.0f} with key=)",
            peer=f"{max(values(taken['community'], 'before')):.0f} (notify.send)",
            target=f"≤ {STATEMENTS}",
            spread=f"the same in every call; {after:.0f} more after it",
            met=max(ours, keyed) <= STATEMENTS,
            samples=taken,
        )
    )


def _times(table: Table, taken: dict[str, list[Sample]]) -> None:
    for name, what in (
        ("accepting_ms", "notify() to one user: time before commit, p50"),
        ("visible_ms", "commit to rows visible, p50"),
    ):
        ours, theirs = (values(taken[side], name) for side in ("clarion", "community"))
        table.add(
            Row(
                bench="notify",
                measure=what,
                clarion=f"{median(ours):.2f} ms",
                peer=f"{median(theirs):.2f} ms",
                ratio=f"{median(ratios(ours, theirs)):.1f}x",
                spread=f"ours {spread(ours, 'ms', 2)}; peer {spread(theirs, 'ms', 2)}",
            )
        )


# --- one sample


def main(system: str) -> None:
    django.setup()
    from django.contrib.auth.models import User

    people = list(User.objects.order_by("pk")[:21])
    send = _clarion if system == "clarion" else _community
    for person in people[1:]:  # connection, content types, inboxes
        _one_call(send, people[0], person)
    measured = _timed(send, people)
    if system == "clarion":
        measured["before_with_key"] = _with_key(people)
    print(json.dumps(measured))


def _timed(send: Callable[..., Any], people: list[Any]) -> Sample:
    calls = [_one_call(send, people[0], people[1 + n % 20]) for n in range(CALLS)]
    return {
        "before": max(call["before"] for call in calls),
        "after": max(call["after"] for call in calls),
        "accepting_ms": round(median(values(calls, "accepting_ms")), 3),
        "visible_ms": round(median(values(calls, "visible_ms")), 3),
        "visible_p99_ms": round(sorted(values(calls, "visible_ms"))[int(CALLS * 0.99)], 3),
    }


def _one_call(send: Callable[..., Any], sender: Any, person: Any, **options: Any) -> Sample:
    from django.db import connection, transaction

    from bench.statements import recorded

    connection.ensure_connection()
    with recorded() as said:
        began = time.perf_counter()
        with transaction.atomic():
            look = send(sender, person, **options)
            before = _counted(said)
            accepted = time.perf_counter()
        visible = time.perf_counter()
    assert _seen_by_another(*look), "the row is not visible after the commit"
    return {
        "before": before,
        "after": _counted(said) - before,
        "accepting_ms": (accepted - began) * 1000,
        "visible_ms": (visible - accepted) * 1000,
    }


def _counted(said: list[Any]) -> int:
    return sum(not sql.startswith(_CONTROL) for sql, _ in said)


def _clarion(sender: Any, person: Any, **options: Any) -> tuple[str, Any]:
    from bench.project.notifications import News
    from clarion import notify

    event = notify(News(headline="Sunday"), to=person, actor=sender, target=sender, **options)
    return "clarion_notification WHERE event_id = %s", event.pk


def _community(sender: Any, person: Any) -> tuple[str, Any]:
    from notifications.signals import notify

    [(_, [made])] = notify.send(sender, recipient=person, verb="Sunday", target=sender)
    return "notifications_notification WHERE id = %s", made.pk


def _with_key(people: list[Any]) -> int:
    key = f"once-{time.time_ns()}"
    return int(_one_call(_clarion, people[0], people[1], key=key)["before"])


def _seen_by_another(where: str, pk: Any) -> bool:
    """Whether a second connection finds exactly one row."""
    from django.db import connections

    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {where}", [pk])
            return bool(cursor.fetchone()[0] == 1)
    finally:
        other.close()


if __name__ == "__main__":
    main(sys.argv[1])
