"""notify() to the browser: with one client and nothing wrong, and with Redis dead."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import sites
from bench.common import Row, Sample, Table, in_turn, median, ratios, spread, values
from bench.load import WARM_UP, Load, options_for
from bench.servers import site_on_postgres
from bench.sites import System, served
from tools.services import Valkey, running, valkey

CALLS, RATE = 200, 20
P50 = 10.0  # ms
CLIENTS, DEAD_FOR, LIMIT = 200, 15, 2000.0  # clients, seconds, ms


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_delivery", 1000) as database:
        with valkey() as broker:
            systems = [sites.clarion(database, broker.url), sites.stock(database, broker.url)]
            sides = {system.name: partial(_one_client, system, database) for system in systems}
            _quick(table, in_turn(sides, rounds))
        dead = {
            make.__name__: partial(_without_redis, make, database)
            for make in (sites.clarion, sites.stock)
        }
        _dead(table, in_turn(dead, rounds))


def _one_client(system: System, database: str) -> Sample:
    with tempfile.TemporaryDirectory() as folder, served(system) as (site, publisher):
        options = options_for(system, 1, database, Path(folder))
        with Load(site.port, system.personal, 1, track=1, **options) as load:
            publisher.ask("notify", rate=RATE, count=20, users=1, start=WARM_UP)
            load.reset()
            publisher.ask("notify", rate=RATE, count=CALLS, users=1, start=0)
            stats = load.wait_for("unique", CALLS, seconds=10)
            return {
                "lost": CALLS - stats["unique"],
                **{name: round(stats[name], 2) for name in ("p50", "p99", "max")},
            }


def _quick(table: Table, taken: dict[str, list[Sample]]) -> None:
    ours, theirs = (values(taken[side], "p50") for side in ("clarion", "stock"))
    slowest = values(taken["clarion"], "p99")
    table.add(
        Row(
            bench="delivery",
            measure="commit of notify() to browser, p50, through Redis",
            clarion=f"{median(ours):.1f} ms",
            peer=f"{median(theirs):.1f} ms (row + group_send)",
            ratio=f"{median(ratios(ours, theirs)):.1f}x",
            target=f"≤ {P50:.0f} ms",
            spread=f"ours {spread(ours, 'ms', 1)}; p99 {spread(slowest, 'ms')}",
            met=median(ours) <= P50,
            samples=taken,
        )
    )


def _without_redis(make: Callable[[str, str], System], database: str) -> Sample:
    """Messages go on for a while, Redis is killed in their midst and stays dead."""
    with running(Valkey()) as broker, tempfile.TemporaryDirectory() as folder:
        system = make(database, broker.url)
        with served(system) as (site, publisher):
            options = options_for(system, CLIENTS, database, Path(folder))
            with Load(site.port, system.personal, CLIENTS, track=1, **options) as load:
                publisher.ask("notify", rate=RATE, count=RATE, users=CLIENTS, start=WARM_UP)
                load.reset()
                count = RATE * DEAD_FOR
                publisher.tell("notify", rate=RATE, count=count, users=CLIENTS, start=0)
                time.sleep(2)
                broker.kill()
                publisher.done()
                stats = load.wait_for("unique", count, seconds=20, still=10)
                return {
                    "sent": count,
                    "lost": count - stats["unique"],
                    "closed": stats["closed"],
                    **{name: round(stats[name], 1) for name in ("p50", "p99", "max")},
                }


def _dead(table: Table, taken: dict[str, list[Sample]]) -> None:
    longest, lost = values(taken["clarion"], "max"), values(taken["clarion"], "lost")
    stock, sent = values(taken["stock"], "lost"), values(taken["stock"], "sent")
    table.add(
        Row(
            bench="delivery",
            measure="Redis killed and dead: longest from commit to browser",
            clarion=f"{median(longest):,.0f} ms, {max(lost):.0f} lost",
            peer=f"{median(stock) / median(sent):.0%} lost (stock)",
            target=f"≤ {LIMIT:,.0f} ms, 0 lost",
            spread=f"{spread(longest, 'ms')}; p50 {spread(values(taken['clarion'], 'p50'), 'ms')}",
            met=median(longest) <= LIMIT and max(lost) == 0,
            samples=taken,
        )
    )
