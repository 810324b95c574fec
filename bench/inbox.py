"""Pages, counts and catching up when ten million notifications are there.

What counts is what the database says it did (EXPLAIN ANALYZE, BUFFERS: planning and execution of
each statement of a call, the median over many people), and that it does no more for a person with
half a million rows, or deep in the list. The peer's list and count run over the same rows.

    python -m bench.inbox    one sample on CLARION_DB
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import django

from bench import fill
from bench.common import Row, Sample, Table, median, note, sample, spread, values
from bench.servers import site_on_postgres

LIMIT = 2.0  # milliseconds in the database
PEOPLE = 40  # different ones asked for each measure
TYPICAL, HEAVY = "typical, 95 rows", "heavy, 500,000 rows"
Call = Callable[[], Any]

_OURS = [
    "first page", "page, half-way", "last page", "unread page", "archived page", "snoozed page",
    "counts", "position", "20 changes since", "900 changes since",
]  # fmt: skip
_UNBOUNDED = {"900 changes since"}  # more than a frame holds; for information
_AS_PEER = {
    "first page": "list of 20",
    "page, half-way": "list of 20, OFFSET",
    "unread page": "unread list of 20",
    "counts": "unread count",
}


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_inbox", fill.PEOPLE + 1) as url:
        sample("fill", fill.PEOPLE, fill.EACH, fill.HEAVY, timeout=3600, CLARION_DB=url)
        taken = []
        for _ in range(rounds):
            taken.append(sample("inbox", CLARION_DB=url))
            note(str(taken[-1]))
    for who in (TYPICAL, HEAVY):
        for what in _OURS:
            if f"{what}|{who}" in taken[0]:
                _show(table, what, who, taken)
    _show_together(table, taken)


def _show(table: Table, what: str, who: str, taken: list[Sample]) -> None:
    ours = [one[f"{what}|{who}"] for one in taken]
    peers = [one.get(f"{_AS_PEER.get(what)}|{who}") for one in taken]
    theirs = values(peers, "ms") if peers[0] else []
    times = values(ours, "ms")
    table.add(
        Row(
            bench="inbox",
            measure=f"{what} ({who}), 10 M rows, in the database",
            clarion=f"{median(times):.2f} ms, {ours[0]['pages']} pages",
            peer=f"{median(theirs):.2f} ms, {peers[0]['pages']} pages" if peers[0] else "",
            ratio=f"1/{median(theirs) / median(times):.0f}" if peers[0] else "",
            target="" if what in _UNBOUNDED else f"< {LIMIT:.0f} ms",
            spread=f"{spread(times, 'ms', 2)}; Python p50 {_python(ours)}",
            met=None if what in _UNBOUNDED else median(times) < LIMIT,
            samples={"clarion": ours, "peer": peers},
        )
    )


def _show_together(table: Table, taken: list[Sample]) -> None:
    ours = [one["200 people, 5 changes each"] for one in taken]
    times = values(ours, "ms")
    table.add(
        Row(
            bench="inbox",
            measure="catch_up() of 200 people, 5 changes each, in the database, all together",
            clarion=f"{median(times):.1f} ms ({median(times) / 200 * 1000:.0f} µs each)",
            spread=f"{spread(times, 'ms', 1)}; Python p50 {_python(ours)}",
            samples={"clarion": ours},
        )
    )


def _python(samples: list[Sample]) -> str:
    return f"{median(values(samples, 'python_ms')):.1f} ms"


# --- one sample


def main() -> None:
    django.setup()
    found: Sample = {}
    for who, people in ((TYPICAL, _people()), (HEAVY, [fill.PEOPLE + 1])):
        for what, call in [*_ours(), *_peers()]:
            if "900" in what and who == TYPICAL:
                continue
            found[f"{what}|{who}"] = _measured([_bound(call, person) for person in people])
    together = _people(200)
    found["200 people, 5 changes each"] = _measured([lambda: _catch_up(together, 5)] * 5)
    print(json.dumps(found))


def _people(number: int = PEOPLE) -> list[int]:
    return random.Random(7).sample(range(1, fill.PEOPLE + 1), number)


def _bound(call: Callable[[int], Any], person: int) -> Call:
    return lambda: call(person)


def _measured(calls: list[Call]) -> Sample:
    """Median cost in the database, and of the whole call in Python, over all given calls."""
    from bench.statements import cost_of

    calls = calls if len(calls) > 1 else calls * 5
    for call in calls:  # caches of ours and of the database; cold disks are not the point
        call()
    costs = [cost_of(call) for call in calls]
    return {
        "ms": round(statistics.median(cost.milliseconds for cost in costs), 3),
        "worst_ms": round(max(cost.milliseconds for cost in costs), 3),
        "pages": round(statistics.median(cost.pages for cost in costs)),
        "python_ms": round(statistics.median(map(_timed, calls)), 3),
        "plan": costs[0].plan,
    }


def _timed(call: Call) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _ours() -> Iterator[tuple[str, Callable[[int], Any]]]:
    from clarion import inbox

    yield "first page", inbox.page
    yield "page, half-way", lambda person: inbox.page(person, before=_cursor(person, 0.5))
    yield "last page", lambda person: inbox.page(person, before=_cursor(person, 0.99))
    for name in ("unread", "archived", "snoozed"):
        yield f"{name} page", lambda person, name=name: inbox.page(person, filter=name)
    yield "counts", inbox.counts
    yield "position", inbox.position
    yield "20 changes since", lambda person: _catch_up([person], 20)
    yield "900 changes since", lambda person: _catch_up([person], 900)


def _cursor(person: int, part: float) -> str:
    """A cursor some way down the list, as a client would have it from the page before."""
    if (person, part) not in _cursors:
        _cursors[person, part] = _find_cursor(person, part)
    return _cursors[person, part]


_cursors: dict[tuple[int, float], str] = {}


def _find_cursor(person: int, part: float) -> str:
    from clarion import cursors
    from clarion.models import LISTED, NEWEST_FIRST, Notification

    rows = Notification.objects.filter(LISTED, recipient=person).order_by(*NEWEST_FIRST)
    return cursors.after(rows[int(rows.count() * part)])


def _catch_up(people: list[int], behind: int) -> Any:
    from clarion.models import Inbox
    from clarion.realtime.catchup import catch_up
    from clarion.realtime.frames import Position

    if not _versions:
        _versions.update(Inbox.objects.values_list("pk", "version"))
    return catch_up({person: Position("bench", _versions[person] - behind) for person in people})


_versions: dict[int, int] = {}


def _peers() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """The manager methods and slices that its views and tags use."""
    from notifications.models import Notification

    def of(person: int) -> Any:
        return Notification.objects.filter(recipient=person)

    def half_way(person: int) -> Any:
        rows = (fill.HEAVY if person > fill.PEOPLE else fill.EACH) // 2
        return list(of(person)[rows : rows + 20])

    yield "list of 20", lambda person: list(of(person)[:20])
    yield "list of 20, OFFSET", half_way
    yield "unread list of 20", lambda person: list(of(person).unread()[:20])
    yield "unread count", lambda person: of(person).unread().count()


if __name__ == "__main__":
    main()
