"""Crash points: places on a notification's way at which a process of this site dies, as by kill -9.

CLARION_CRASH names one of them. Clarion knows nothing of this: its functions are wrapped when the
site starts.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KILLED = 137  # as the shell says it of kill -9


@dataclass(frozen=True)
class Point:
    """Before or after one function, in one process of the rig."""

    where: tuple[tuple[str, str], ...]  # modules or classes, and the name in them
    after: bool
    victim: str
    chance: float = 0.2  # of each call


# In the order of ARCHITECTURE.md.
POINTS = {
    "after-insert-before-commit": Point(
        (("clarion.events", "_insert"),), after=True, victim="publisher"
    ),
    "after-commit-before-fan-out": Point(
        (("clarion.events", "_deliver"),), after=False, victim="publisher"
    ),
    "in-a-chunk-after-its-rows": Point(
        (("clarion.ledger", "add"),), after=True, victim="runner", chance=0.5
    ),
    "after-a-chunk-before-its-nudge": Point(
        (("clarion.ledger", "publish"), ("clarion.fanout", "publish")),
        after=False,
        victim="runner",
        chance=0.5,
    ),
    "after-a-nudge-before-the-socket": Point(
        (("clarion.realtime.hub.Hub", "receive"),), after=False, victim="server 1", chance=0.02
    ),
    "after-a-mark-before-its-nudge": Point(
        (("clarion.inbox", "publish"),), after=False, victim="server 2", chance=1
    ),
}


def arm() -> None:
    """Wrap what CLARION_CRASH names."""
    wanted = os.environ.get("CLARION_CRASH", "")
    if not wanted:
        return
    point = POINTS[wanted]
    for path, function in point.where:
        owner = _found(path)
        setattr(owner, function, _deadly(getattr(owner, function), point))


def _found(path: str) -> Any:
    from django.utils.module_loading import import_module, import_string

    return import_string(path) if path.rpartition(".")[2].istitle() else import_module(path)


def _deadly(function: Callable[..., Any], point: Point) -> Callable[..., Any]:
    dice = random.Random(os.urandom(8))

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        struck = dice.random() < point.chance
        if struck and not point.after:
            os._exit(KILLED)
        result = function(*args, **kwargs)
        if struck:
            os._exit(KILLED)
        return result

    return wrapped
