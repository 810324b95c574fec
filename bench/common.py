"""Samples in turn, rows of the table, and the file that keeps them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
Sample = dict[str, Any]

HEADER = "| measure | Clarion | peer | ratio | target | spread |"
RULE = "|---|--:|--:|--:|---|---|"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measure. `met` None: for information, there is no target."""

    bench: str
    measure: str
    clarion: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    spread: str = ""
    met: bool | None = None
    samples: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        verdict = {True: " ✓", False: " ✗ **missed**", None: ""}[self.met]
        cells = [self.measure, self.clarion, self.peer, self.ratio, self.target + verdict]
        return "| " + " | ".join([*cells, self.spread]) + " |"


class Table:
    """The rows of one run: shown as they come, and appended to the benchmark's own file."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.started = datetime.now(UTC)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(row, flush=True)
        RESULTS.mkdir(exist_ok=True)
        record = {
            "run": self.started.isoformat(timespec="seconds"),
            "machine": machine.description(),
            "versions": machine.versions(),
            **asdict(row),
        }
        with (RESULTS / f"{row.bench}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=str) + "\n")

    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.met is False]


def in_turn(sides: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Sample each side in turn, A B A B, so that a busy minute of the machine hits both."""
    taken: dict[str, list[Sample]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, sample in sides.items():
            machine.wait_until_quiet()
            taken[name].append(sample())
            note(f"{name}: {taken[name][-1]}")
    return taken


def sample(module: str, *arguments: object, timeout: float = 900, **environment: str) -> Sample:
    """What `python -m bench.<module> arguments` prints last, in a fresh process of its own."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(os.environ, DJANGO_SETTINGS_MODULE="bench.project.settings", **environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=True,
    )
    found: Sample = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def note(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


def values(samples: Sequence[Sample], name: str) -> list[float]:
    return [float(sample[name]) for sample in samples]


def median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


def spread(numbers: Sequence[float], unit: str = "", digits: int = 0) -> str:
    """min / median / max, which says more than a mean on a machine that is shared."""
    parts = (min(numbers), median(numbers), max(numbers))
    return " / ".join(f"{part:,.{digits}f}" for part in parts) + (f" {unit}" if unit else "")


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Pair by pair: each of ours with the peer's sample beside it."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]
