"""One notification to 100,000 people: rows a second, memory, statements, beside notify.send().

Ours decides by 3,000 stored choices of theirs, keeps counters and a version for each inbox; the
peer writes rows. Each sample starts in a fresh process on empty, vacuumed tables; inboxes are there
already, as on any site that has sent before.

    python -m bench.fanout clarion|clarion-queryset|community    one sample on CLARION_DB
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import django

from bench.common import Row, Sample, Table, in_turn, median, ratios, sample, spread, values
from bench.machine import MemoryPeak, cpu_seconds
from bench.servers import site_on_postgres, site_on_sqlite

USERS = 100_000
TARGET = 3.0
MEMORY_LIMIT = 50  # MB
_NAMES = {
    "clarion": 'notify(to="everyone")',
    "clarion-queryset": "notify(to=queryset)",
}


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_fanout", USERS) as url:
        _compare(table, "PostgreSQL", url, rounds, target=TARGET)
    with site_on_sqlite(USERS) as url:
        _compare(table, "SQLite", url, rounds=1)


def _compare(table: Table, database: str, url: str, rounds: int, target: float = 0) -> None:
    sides = {
        name: lambda name=name: sample("fanout", name, CLARION_DB=url)
        for name in ("clarion", "community", "clarion-queryset")
    }
    taken = in_turn(sides, rounds)
    for name in _NAMES:
        _rate(table, database, name, taken, target)
        _rate_by_cpu(table, database, name, taken)
    _memory(table, database, taken, target)


def _rate(
    table: Table, database: str, name: str, taken: dict[str, list[Sample]], target: float
) -> None:
    ours, theirs = (values(taken[side], "rows_per_second") for side in (name, "community"))
    times = ratios(ours, theirs)
    table.add(
        Row(
            bench="fanout",
            measure=f"fan-out to 100,000, {database}, {_NAMES[name]}, rows/s",
            clarion=f"{median(ours):,.0f}",
            peer=f"{median(theirs):,.0f} (notify.send)",
            ratio=f"{median(times):.1f}x",
            target=f"≥ {target:.0f}x" if target else "",
            spread=f"ours {spread(ours)}; peer {spread(theirs)}; ratio {spread(times, 'x', 1)}",
            met=median(times) >= target if target else None,
            samples={name: taken[name], "community": taken["community"]},
        )
    )


def _rate_by_cpu(table: Table, database: str, name: str, taken: dict[str, list[Sample]]) -> None:
    ours, theirs = (values(taken[side], "rows_per_cpu_second") for side in (name, "community"))
    times = ratios(ours, theirs)
    table.add(
        Row(
            bench="fanout",
            measure=f"the same per CPU second of client and database, {_NAMES[name]}",
            clarion=f"{median(ours):,.0f}",
            peer=f"{median(theirs):,.0f}",
            ratio=f"{median(times):.1f}x",
            spread=f"ours {spread(ours)}; peer {spread(theirs)}; ratio {spread(times, 'x', 1)}",
        )
    )


def _memory(table: Table, database: str, taken: dict[str, list[Sample]], target: float) -> None:
    peer = median(values(taken["community"], "memory_mb"))
    for name in _NAMES:
        grown = values(taken[name], "memory_mb")
        statements = values(taken[name], "statements_per_chunk")
        table.add(
            Row(
                bench="fanout",
                measure=f"memory growth, {database}, {_NAMES[name]}",
                clarion=f"{median(grown):.0f} MB",
                peer=f"{peer:.0f} MB",
                ratio=f"1/{peer / max(1, median(grown)):.0f}",
                target=f"< {MEMORY_LIMIT} MB" if target else "",
                spread=f"{spread(grown, 'MB')}; {median(statements):.0f} statements per chunk",
                met=max(grown) < MEMORY_LIMIT if target else None,
            )
        )


# --- one sample


def main(system: str) -> None:
    django.setup()
    _empty()
    send, expected = _prepared(system)
    print(json.dumps(_measured(send, expected)))


def _measured(send: Any, expected: int) -> Sample:
    from django.db import connection

    from bench.statements import Counted

    said = Counted()
    peak = MemoryPeak()
    cpu, started = _cpu(), time.perf_counter()
    with connection.execute_wrapper(said):
        written = send()
    seconds, cpu = time.perf_counter() - started, _cpu() - cpu
    assert written == expected, f"{written} rows in place of {expected}"
    chunks = -(-USERS // 5000)
    return {
        "rows_per_second": round(written / seconds),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "rows_per_cpu_second": round(written / cpu),
        "memory_mb": round(peak.growth() / 1e6, 1),
        "rows": written,
        "statements": said.number,
        "statements_per_chunk": said.number // chunks,
    }


def _cpu() -> float:
    """CPU seconds of this process and of its backend: what a busy neighbour changes little."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return time.process_time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return time.process_time() + cpu_seconds(cursor.fetchone()[0])


def _prepared(system: str) -> tuple[Any, int]:
    """What to time, warmed up: imports, content types and connections aren't the point."""
    from django.contrib.auth.models import User

    sender = User.objects.get(pk=1)
    off = _choices()
    if system == "community":
        _community(sender, User.objects.filter(pk=2))
        _empty()
        return lambda: _community(sender, User.objects.all()), USERS
    everyone = "everyone" if system == "clarion" else User.objects.all()
    _clarion(sender, [User.objects.get(pk=2)])
    _empty()
    return lambda: _clarion(sender, everyone), USERS - off - 1  # and the sender


def _community(sender: Any, recipients: Any) -> int:
    from notifications.signals import notify

    text = "Some text of a usual length here"
    [(_, made)] = notify.send(
        sender, recipient=recipients, verb="The library is open on Sunday", description=text
    )
    return len(made)


def _clarion(sender: Any, recipients: Any) -> int:
    """The whole way: notify() in a transaction, its commit, and the runner until nothing is due."""
    from django.db import transaction

    from bench.project.notifications import News
    from clarion import notify

    with transaction.atomic():
        event = notify(News(headline="The library is open on Sunday"), to=recipients, actor=sender)
    event.refresh_from_db()
    assert event.due_at is None, "the fan-out is not finished"
    return event.notified


def _choices() -> int:
    """3,000 stored choices, of which 1,500 mean no. Returns how many mean no."""
    from clarion.models import Preference

    Preference.objects.all().delete()
    kinds = [
        ("type:bench.news", "off"),
        ("category:news", "instant"),
        ("*", "off"),
        ("*", "digest"),
    ]
    rows = [
        Preference(
            recipient_id=10 + 30 * n, scope=kinds[n % 4][0], channel="inbox", value=kinds[n % 4][1]
        )
        for n in range(3000)
    ]
    Preference.objects.bulk_create(rows)
    return sum(row.value == "off" for row in rows)


def _empty() -> None:
    """No rows but users and inboxes, no work left over for the background."""
    from django.db import connection

    tables = [
        "clarion_attempt", "clarion_delivery", "clarion_notification", "clarion_audiencechunk",
        "clarion_event", "notifications_notification",
    ]  # fmt: skip
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        else:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")


if __name__ == "__main__":
    main(sys.argv[1])
