"""kill -9 of the server under 8,000 clients: how long until all are back and miss nothing.

Clients come back within a random second, as the browser client does, and name the position that
they had. While the server is away, 1,000 people get a notification. Time counts from the kill.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from bench import sites
from bench.common import Row, Sample, Table, in_turn, median, spread, values
from bench.load import Load, options_for
from bench.machine import ForeignLoad
from bench.servers import site_on_postgres
from bench.sites import OURS, System, served
from tools.services import valkey

CLIENTS, MISSED = 8000, 1000
LIMIT = 6.0  # seconds


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_people", 10_000) as database, valkey() as broker:
        systems = [*sites.ours(database, broker.url), sites.stock(database, broker.url)]
        sides = {system.name: partial(_sample, system, database) for system in systems}
        taken = in_turn(sides, rounds)
    for side in OURS:
        _add(table, taken, side)


def _add(table: Table, taken: dict[str, list[Sample]], side: str) -> None:
    seconds, lost = values(taken[side], "seconds"), values(taken[side], "lost")
    stock = values(taken["stock"], "seconds")
    table.add(
        Row(
            bench="restart",
            measure=f"8,000 clients back and caught up after kill -9 of the server; {OURS[side]}",
            clarion=f"{median(seconds):.1f} s, {max(lost):.0f} lost",
            peer=f"{median(stock):.1f} s, {median(values(taken['stock'], 'lost')):.0f} of "
            f"{MISSED:,} lost (stock)",
            target=f"≤ {LIMIT:.0f} s, 0 lost" if side == "gateway" else "0 lost",
            spread=f"ours {spread(seconds, 's', 1)}; stock {spread(stock, 's', 1)}",
            met=max(lost) == 0 and (median(seconds) <= LIMIT or side != "gateway"),
            samples=taken,
        )
    )


def _sample(system: System, database: str) -> Sample:
    with tempfile.TemporaryDirectory() as folder, served(system) as (site, publisher):
        options = options_for(system, CLIENTS, database, Path(folder))
        back = {"back_ms": 1000, "window": 1024}
        with Load(site.port, system.personal, CLIENTS, track=1, **back, **options) as load:
            assert load.ready["open"] == CLIENTS, load.ready
            load.reset()
            foreign = ForeignLoad(site.pid, publisher.process.pid, load.pid)
            killed = time.monotonic()
            site.kill()
            publisher.tell("missed", count=MISSED, users=CLIENTS, start=0)
            site.start()
            started = time.monotonic()
            publisher.done()
            load.wait_for("full", CLIENTS, seconds=60, still=8)
            stats = load.wait_for("unique", MISSED, seconds=10, still=5)
            done = max(stats["last"], stats["full_at"]) / 1e9
            return {
                "seconds": round(done - killed, 2),
                "server_up": round(started - killed, 2),
                "open": stats["open"],
                "lost": MISSED - stats["unique"],
                "repeated": stats["repeated"],
                "resets": stats["resets"],
                "failed": stats["failed"],
                "foreign_cores": foreign.cores(),
            }
