"""What an idle connection costs in memory, and how fast connections come in.

Every client is another person, signed in by a ticket, with an inbox and the public stream. A client
counts as accepted when it has its first frame, which is read in the database.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from bench import sites
from bench.common import Row, Sample, Table, in_turn, median, ratios, spread, values
from bench.load import Load, options_for
from bench.machine import ForeignLoad, cpu_seconds, memory
from bench.servers import site_on_postgres
from bench.sites import Site, System
from tools.services import valkey

CLIENTS, FEW = 5000, 500
LIMITS = {"websocket": 20.0, "sse": 11.0}  # KiB
ACCEPTED = 2000.0  # a second
_SSE = "/notifications/stream/"


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_people", 10_000) as database, valkey() as broker:
        ours = sites.clarion(database, broker.url)
        theirs = sites.stock(database, broker.url)
        sides = {
            "websocket": partial(_sample, ours, database),
            "bare": partial(_sample, sites.bare(), database),
            "stock": partial(_sample, theirs, database),
            "sse": partial(_sample, ours, database, path=_SSE, sse=1),
        }
        taken = in_turn(sides, rounds)
    for carrier in ("websocket", "sse"):
        _memory(table, taken, carrier)
    _accepted(table, taken)


def _sample(system: System, database: str, path: str = "", **options: object) -> Sample:
    with tempfile.TemporaryDirectory() as folder, Site(system) as site:
        options |= options_for(system, CLIENTS, database, Path(folder))
        with Load(site.port, path or system.personal, CLIENTS, first=FEW, **options) as load:
            few = _settled(site)
            foreign, used = ForeignLoad(site.pid, load.pid), cpu_seconds(site.pid)
            came = load.grow(CLIENTS)
            noise, used = foreign.cores(), cpu_seconds(site.pid) - used
            assert came["open"] == CLIENTS, came
            many = _settled(site)
            return {
                "kib": round((many - few) / (CLIENTS - FEW) / 1024, 2),
                "rate": round((CLIENTS - FEW) / came["ready_seconds"]),
                "cpu_ms": round(used / (CLIENTS - FEW) * 1000, 3),
                "handshake_p50": came["handshake_p50"],
                "failed": came["failed"],
                "foreign_cores": noise,
            }


def _settled(site: Site) -> int:
    time.sleep(3)
    return memory(site.pid)


def _memory(table: Table, taken: dict[str, list[Sample]], carrier: str) -> None:
    ours, stock = values(taken[carrier], "kib"), values(taken["stock"], "kib")
    table.add(
        Row(
            bench="connections",
            measure=f"user memory per idle connection, {carrier}",
            clarion=f"{median(ours):.1f} KiB",
            peer=f"{median(stock):.1f} KiB (stock, WebSocket)",
            ratio=f"{median(ratios(ours, stock)):.2f}x",
            target=f"≤ {LIMITS[carrier]:.0f} KiB",
            spread=spread(ours, "KiB", 1),
            met=median(ours) <= LIMITS[carrier],
            samples=taken,
        )
    )


def _accepted(table: Table, taken: dict[str, list[Sample]]) -> None:
    """Bare uvicorn is the limit that no application on it can pass, here and now."""
    for name, what in (
        ("stock", "stock, no authentication"),
        ("bare", "uvicorn that only accepts"),
    ):
        ours, theirs = (values(taken[side], "rate") for side in ("websocket", name))
        table.add(
            Row(
                bench="connections",
                measure=f"accepted with ticket, until the first frame, a second, beside {what}",
                clarion=f"{median(ours):,.0f}",
                peer=f"{median(theirs):,.0f}",
                ratio=f"{median(ratios(ours, theirs)):.2f}x",
                target=f"≥ {ACCEPTED:,.0f}",
                spread=f"ours {spread(ours)}; peer {spread(theirs)}",
                met=median(ours) >= ACCEPTED,
            )
        )
        ours, theirs = (values(taken[side], "cpu_ms") for side in ("websocket", name))
        table.add(
            Row(
                bench="connections",
                measure=f"CPU of the server for each, beside {what}",
                clarion=f"{median(ours):.2f} ms",
                peer=f"{median(theirs):.2f} ms",
                ratio=f"{median(ratios(ours, theirs)):.2f}x",
                spread=f"ours {spread(ours, 'ms', 2)}; peer {spread(theirs, 'ms', 2)}",
            )
        )
