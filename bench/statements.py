"""What is said to the database: counted, and explained by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

Statement = tuple[str, Any]


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Every statement that runs inside, with its parameters."""
    said: list[Statement] = []

    def record(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        said.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(record):
        yield said


class Counted:
    """How many statements ran; keeps nothing of them, for where memory is measured."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, execute: Callable[..., Any], *statement: Any) -> Any:
        self.number += 1
        return execute(*statement)


@dataclass(frozen=True)
class Cost:
    """What the database says it did: milliseconds of planning and executing, pages touched."""

    milliseconds: float = 0.0
    pages: int = 0
    plan: str = ""

    def __add__(self, other: Cost) -> Cost:
        plan = f"{self.plan}; {other.plan}" if self.plan else other.plan
        return Cost(self.milliseconds + other.milliseconds, self.pages + other.pages, plan)


def explained(statement: Statement) -> Cost:
    """Run one statement under EXPLAIN (ANALYZE, BUFFERS)."""
    sql, params = statement
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        [report] = cursor.fetchone()[0]
    plan = report["Plan"]
    return Cost(
        report["Planning Time"] + report["Execution Time"],
        plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        _described(plan),
    )


def cost_of(call: Callable[[], Any]) -> Cost:
    """All that a call asks of the database, one statement after the other."""
    with recorded() as said:
        call()
    return sum(map(explained, said), Cost())


def _described(plan: dict[str, Any]) -> str:
    """The way to the rows: the scans, with their indexes."""
    own = [plan.get("Index Name") or plan["Node Type"]] if "Scan" in plan["Node Type"] else []
    below = [_described(child) for child in plan.get("Plans", ())]
    return " < ".join(filter(None, own + below))
