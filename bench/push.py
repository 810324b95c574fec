"""A broadcast to 5,000 open connections: what a delivered frame costs, when the last one has it.

Servers in turn, all on one core: Clarion's announce() by both of its ways, group_send() to a
consumer for each connection, and broadcast() of the `websockets` library with nothing around it.
Ours commits an event and gives every frame a position; times count from the commit, or from the
others' call.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from bench import sites
from bench.common import Row, Sample, Table, in_turn, median, ratios, sample, spread, values
from bench.load import Load, options_for
from bench.machine import ForeignLoad, cpu_seconds
from bench.servers import site_on_postgres
from bench.sites import OURS, Publisher, Site, System, served
from tools.services import valkey

CLIENTS, USERS = 5000, 10_000
BROADCASTS = {"gateway": 20, "clarion": 20, "raw": 20, "stock": 3}
OF_STOCK, OF_RAW, LAST = 1 / 20, 1.4, 150.0


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_push", USERS) as database, valkey() as broker:
        systems = [
            *sites.ours(database, broker.url),
            sites.raw(),
            sites.stock(database, broker.url),
        ]
        sides = {system.name: partial(_sample, system, database) for system in systems}
        taken = in_turn(sides, rounds)
    for name in sites.OURS:
        _costs(table, taken, name)
        _last(table, taken, name)


def _sample(system: System, database: str) -> Sample:
    sample("prepare", USERS, CLARION_DB=database)
    with tempfile.TemporaryDirectory() as folder, served(system) as (site, publisher):
        options = options_for(system, CLIENTS, database, Path(folder))
        with Load(site.port, system.public, CLIENTS, **options) as load:
            assert load.ready["open"] == CLIENTS, load.ready
            return _measured(site, publisher, load, BROADCASTS[system.name])


def _measured(site: Site, publisher: Publisher, load: Load, count: int) -> Sample:
    _broadcast(publisher, load, 0)
    foreign = ForeignLoad(site.pid, publisher.process.pid, load.pid)
    used, last, delivered = cpu_seconds(site.pid), [], 0
    for number in range(1, count + 1):
        stats = _broadcast(publisher, load, number)
        last.append(stats["max"])
        delivered += stats["messages"]
    return {
        "cpu_us_per_frame": round((cpu_seconds(site.pid) - used) / delivered * 1e6, 2),
        "last_ms": round(median(last), 1),
        "worst_ms": round(max(last), 1),
        "p50_ms": stats["p50"],
        "delivered": delivered,
        "expected": count * CLIENTS,
        "foreign_cores": foreign.cores(),
    }


def _broadcast(publisher: Publisher, load: Load, number: int) -> Sample:
    load.reset()
    publisher.ask("broadcast", number=number)
    return load.wait_for("messages", CLIENTS, seconds=30, still=8)


def _costs(table: Table, taken: dict[str, list[Sample]], name: str) -> None:
    ours = values(taken[name], "cpu_us_per_frame")
    for peer, limit, what in (
        ("stock", OF_STOCK, "stock Channels"),
        ("raw", OF_RAW, "websockets.broadcast()"),
    ):
        theirs = values(taken[peer], "cpu_us_per_frame")
        times = ratios(ours, theirs)
        shown = f"1/{1 / median(times):.0f}" if limit < 1 else f"{median(times):.2f}x"
        table.add(
            Row(
                bench="push",
                measure=f"CPU per delivered frame, 5,000 subscribers, beside {what}; {OURS[name]}",
                clarion=f"{median(ours):.1f} µs",
                peer=f"{median(theirs):.1f} µs",
                ratio=shown,
                target=f"≤ 1/{1 / limit:.0f}" if limit < 1 else f"≤ {limit}x",
                spread=f"ours {spread(ours, 'µs', 1)}; peer {spread(theirs, 'µs', 1)}",
                met=median(times) <= limit,
                samples={name: taken[name], peer: taken[peer]},
            )
        )


def _last(table: Table, taken: dict[str, list[Sample]], name: str) -> None:
    ours, stock, raw = (values(taken[side], "last_ms") for side in (name, "stock", "raw"))
    table.add(
        Row(
            bench="push",
            measure=f"last of 5,000 reached by a broadcast; {OURS[name]}",
            clarion=f"{median(ours):.0f} ms",
            peer=f"{median(stock):,.0f} ms (stock), {median(raw):.0f} ms (websockets)",
            ratio=f"1/{1 / median(ratios(ours, stock)):.0f} of stock",
            target=f"≤ {LAST:.0f} ms",
            spread=f"ours {spread(ours, 'ms')}; stock {spread(stock, 'ms')}",
            met=median(ours) <= LAST,
        )
    )
