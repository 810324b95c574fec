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
from bench.sites import OURS, Site, System
from tools.services import valkey

CLIENTS, FEW = 5000, 500
WEBSOCKET, SSE = 20.0, 11.0  # KiB
ACCEPTED = 2000.0  # a second
_SSE = "/notifications/stream/"


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_people", 10_000) as database, valkey() as broker:
        systems = [*sites.ours(database, broker.url), sites.bare()]
        systems.append(sites.stock(database, broker.url))
        sides = {system.name: partial(_sample, system, database) for system in systems}
        sides["sse"] = partial(_sample, systems[0], database, path=_SSE, sse=1)
        taken = in_turn(sides, rounds)
    for name in (*OURS, "sse"):
        _memory(table, taken, name)
    for name in OURS:
        _accepted(table, taken, name)


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


def _memory(table: Table, taken: dict[str, list[Sample]], name: str) -> None:
    ours, stock = values(taken[name], "kib"), values(taken["stock"], "kib")
    limit = SSE if name == "sse" else WEBSOCKET
    has_target = name != "clarion"
    carrier = f"WebSocket; {OURS[name]}" if name in OURS else "server-sent events"
    table.add(
        Row(
            bench="connections",
            measure=f"user memory per idle connection, {carrier}",
            clarion=f"{median(ours):.1f} KiB",
            peer=f"{median(stock):.1f} KiB (stock, WebSocket)",
            ratio=f"{median(ratios(ours, stock)):.2f}x",
            target=f"≤ {limit:.0f} KiB" if has_target else "",
            spread=spread(ours, "KiB", 1),
            met=median(ours) <= limit if has_target else None,
            samples=taken,
        )
    )


def _accepted(table: Table, taken: dict[str, list[Sample]], name: str) -> None:
    """Bare uvicorn is the limit that no application on it can pass, here and now."""
    for peer, what in (
        ("stock", "stock, no authentication"),
        ("bare", "uvicorn that only accepts"),
    ):
        ours, theirs = (values(taken[side], "rate") for side in (name, peer))
        table.add(
            Row(
                bench="connections",
                measure=f"accepted with ticket a second, beside {what}; {OURS[name]}",
                clarion=f"{median(ours):,.0f}",
                peer=f"{median(theirs):,.0f}",
                ratio=f"{median(ratios(ours, theirs)):.2f}x",
                target=f"≥ {ACCEPTED:,.0f}" if name == "gateway" else "",
                spread=f"ours {spread(ours)}; peer {spread(theirs)}",
                met=median(ours) >= ACCEPTED if name == "gateway" else None,
            )
        )
        ours, theirs = (values(taken[side], "cpu_ms") for side in (name, peer))
        table.add(
            Row(
                bench="connections",
                measure=f"CPU of the server for each, beside {what}; {OURS[name]}",
                clarion=f"{median(ours):.2f} ms",
                peer=f"{median(theirs):.2f} ms",
                ratio=f"{median(ratios(ours, theirs)):.2f}x",
                spread=f"ours {spread(ours, 'ms', 2)}; peer {spread(theirs, 'ms', 2)}",
            )
        )
