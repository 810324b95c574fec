"""What the embedded runner costs while nothing happens, and how fast it is there when it is told.

python -m bench.idle embedded    one sample on CLARION_DB
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import django

from bench.common import Row, Sample, Table, in_turn, median, sample, spread, values
from bench.servers import site_on_postgres

SECONDS = 20
WAKES = 50
CPU_LIMIT = 1.0  # percent of one processor: below what `top` shows as anything
WAKE_LIMIT = 10.0  # ms


def run(table: Table, rounds: int) -> None:
    with site_on_postgres("bench_idle", 100) as url:
        settings = {"CLARION_DB": url, "CLARION_BENCH_MAIL": "1", "CLARION_RUNNER": "embedded"}
        taken = in_turn({"embedded": lambda: sample("idle", "embedded", **settings)}, rounds)
    cpu, wakes = (values(taken["embedded"], name) for name in ("cpu_percent", "wake_ms"))
    table.add(
        Row(
            bench="idle",
            measure="embedded runner, idle, of one processor",
            clarion=f"{median(cpu):.2f} %",
            target="0 % to the eye",
            spread=spread(cpu, "%", 2),
            met=max(cpu) < CPU_LIMIT,
            samples=taken,
        )
    )
    table.add(
        Row(
            bench="idle",
            measure="woken: from wake() to the envelope in the channel's hands, p50",
            clarion=f"{median(wakes):.1f} ms",
            target=f"< {WAKE_LIMIT:.0f} ms",
            spread=f"{spread(wakes, 'ms', 1)}; p99 {spread(values(taken['embedded'], 'p99_ms'))}",
            met=median(wakes) < WAKE_LIMIT,
        )
    )


def main() -> None:
    django.setup()
    from clarion import runner

    runner.ensure()
    time.sleep(2)
    cpu = time.process_time()
    time.sleep(SECONDS)
    percent = 100 * (time.process_time() - cpu) / SECONDS
    print(json.dumps({"cpu_percent": round(percent, 3), **_wakes()}))


def _wakes() -> Sample:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from bench.project.notifications import Mailed
    from clarion import runner
    from clarion.channels import memory
    from clarion.models import Delivery, Event

    user = User.objects.get(pk=1)
    taken = []
    for _ in range(WAKES):
        event = Event.objects.create(type=Mailed.type, data={"headline": "x"}, due_at=None)
        memory.sent.clear()
        Delivery.objects.create(event=event, recipient=user, channel="email", due_at=timezone.now())
        began = time.perf_counter()
        runner.wake()
        while not memory.sent:
            time.sleep(0.0002)
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(0.05)
    cuts = statistics.quantiles(taken, n=100)
    return {"wake_ms": round(statistics.median(taken), 2), "p99_ms": round(cuts[98], 1)}


if __name__ == "__main__":
    assert sys.argv[1:] == ["embedded"]
    main()
