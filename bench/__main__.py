"""`python3 run.py bench [name ...] [--rounds N]`: run benchmarks and print one table."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench import machine, report
from bench.common import HEADER, RULE, Table, note

NAMES = {
    "fanout": "one notification to 100,000 people",
    "outbox": "deliveries a second, digests, fan-out with preferences and channels",
    "idle": "what the embedded runner costs while nothing happens, and how fast it wakes",
    "notify": "notify() to one person inside a request",
    "inbox": "pages, counts and catching up at 10 million rows",
    "push": "a broadcast to 5,000 connections",
    "targeted": "2,000 messages a second to 5,000 connected people",
    "connections": "memory and acceptance of connections",
    "restart": "kill -9 of the server under 8,000 clients",
    "delivery": "notify() to the browser, also with Redis dead",
}


def main() -> int:
    options = _options()
    if options.names == ["report"]:
        report.write(list(NAMES))
        return 0
    table = Table()
    print(f"{machine.description()}; {machine.versions()}\n\n{HEADER}\n{RULE}", flush=True)
    for name in options.names or NAMES:
        note(f"--- {name}: {NAMES[name]}")
        importlib.import_module(f"bench.{name}").run(table, options.rounds)
    for row in table.missed():
        note(f"missed: {row.measure}: {row.clarion}, target {row.target}")
    return 1 if table.missed() else 0


def _options() -> argparse.Namespace:
    what = "\n".join(f"  {name:12} {text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="run.py bench",
        description="Benchmarks side by side with peers.",
        epilog=f"benchmarks:\n{what}\n  {'report':12} write the last runs into bench/RESULTS.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", choices=[*NAMES, "report", []], help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="samples of each side (default 3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
