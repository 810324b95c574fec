"""2,000 messages a second to random ones of 5,000 connected people, for 20 seconds.

Ours are rows, counters and versions in PostgreSQL, sent after their commit (bench/rows.py); the
stock pattern's are a group_send() and nothing else. Times count from where each begins to send.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from bench import sites
from bench.common import Row, Sample, Table, in_turn, median, spread, values
from bench.load import WARM_UP, Load, options_for
from bench.machine import ForeignLoad, cpu_seconds
from bench.servers import site_on_postgres
from bench.sites import OURS, System, served
from tools.services import valkey

CLIENTS, RATE, SECONDS = 5000, 2000, 20
P50, P99 = 5.0, 50.0


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_people", 10_000) as database, valkey() as broker:
        systems = [*sites.ours(database, broker.url), sites.stock(database, broker.url)]
        sides = {system.name: partial(_sample, system, database) for system in systems}
        taken = in_turn(sides, rounds)
    for side in OURS:
        _lost(table, taken, side)
        for name, limit in (("p50", P50), ("p99", P99)):
            _latency(table, taken, side, name, limit)


def _sample(system: System, database: str) -> Sample:
    with tempfile.TemporaryDirectory() as folder, served(system) as (site, publisher):
        options = options_for(system, CLIENTS, database, Path(folder))
        with Load(site.port, system.personal, CLIENTS, track=1, **options) as load:
            assert load.ready["open"] == CLIENTS, load.ready
            publisher.ask("targeted", rate=200, seconds=1, users=CLIENTS, start=WARM_UP)
            load.reset()
            foreign = ForeignLoad(site.pid, publisher.process.pid, load.pid)
            used = cpu_seconds(site.pid)
            sent = publisher.ask("targeted", rate=RATE, seconds=SECONDS, users=CLIENTS, start=0)
            stats = load.wait_for("unique", sent["sent"], seconds=30, still=12)
            return {
                "sent": sent["sent"],
                "rate": round(sent["sent"] / sent["seconds"]),
                "lost": sent["sent"] - stats["unique"],
                "repeated": stats["repeated"],
                **{name: round(stats[name], 2) for name in ("p50", "p99", "max")},
                "cpu": round((cpu_seconds(site.pid) - used) / sent["seconds"], 2),
                "closed": stats["closed"],
                "foreign_cores": foreign.cores(),
            }


def _lost(table: Table, taken: dict[str, list[Sample]], side: str) -> None:
    ours, theirs = (values(taken[each], "lost") for each in (side, "stock"))
    sent = values(taken["stock"], "sent")
    rate = median(values(taken[side], "rate"))
    table.add(
        Row(
            bench="targeted",
            measure=f"targeted, 5,000 connected, {RATE:,} messages/s for 20 s: lost; {OURS[side]}",
            clarion=f"{max(ours):.0f}",
            peer=f"{median(theirs) / median(sent):.0%} (stock)",
            target="0 lost",
            spread=f"ours {spread(ours)}; stock {spread(theirs)}; {rate:,.0f}/s were sent",
            met=max(ours) == 0,
            samples=taken,
        )
    )


def _latency(
    table: Table, taken: dict[str, list[Sample]], side: str, name: str, limit: float
) -> None:
    ours, theirs = (values(taken[each], name) for each in (side, "stock"))
    table.add(
        Row(
            bench="targeted",
            measure=f"the same: publisher to client, {name}; {OURS[side]}",
            clarion=f"{median(ours):.1f} ms",
            peer=f"{median(theirs):,.1f} ms (of those that came)",
            target=f"≤ {limit:.0f} ms",
            spread=f"ours {spread(ours, 'ms', 1)}; stock {spread(theirs, 'ms', 1)}",
            met=median(ours) <= limit,
        )
    )
