"""Crash points: places on a notification's way at which a process of this site dies, as by kill -9.

CLARION_CRASH names one of them and how often it strikes, as in `before-commit:0.1`. Clarion knows
nothing of this: its functions are wrapped when the site starts.
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
    """Before or after one function, in the processes where it matters."""

    where: tuple[tuple[str, str], ...]  # modules or classes, and the name in them
    after: bool
    victims: tuple[str, ...]


# In the order of ARCHITECTURE.md.
POINTS = {
    "after-insert-before-commit": Point(
        (("clarion.events", "_insert"),), after=True, victims=("publisher",)
    ),
    "after-commit-before-fan-out": Point(
        (("clarion.events", "_deliver"),), after=False, victims=("publisher",)
    ),
    "in-a-chunk-after-its-rows": Point(
        (("clarion.ledger", "add"),), after=True, victims=("publisher", "runner")
    ),
    "after-a-chunk-before-its-nudge": Point(
        (("clarion.ledger", "publish"), ("clarion.fanout", "publish")),
        after=False,
        victims=("publisher", "runner"),
    ),
    "after-a-nudge-before-the-socket": Point(
        (("clarion.realtime.hub.Hub", "receive"),), after=False, victims=("server",)
    ),
    "after-a-mark-before-its-nudge": Point(
        (("clarion.inbox", "publish"),), after=False, victims=("server", "publisher")
    ),
}


def arm() -> None:
    """Wrap what CLARION_CRASH names."""
    wanted = os.environ.get("CLARION_CRASH", "")
    if not wanted:
        return
    name, _, chance = wanted.partition(":")
    point = POINTS[name]
    for path, function in point.where:
        owner = _found(path)
        setattr(owner, function, _deadly(getattr(owner, function), float(chance), point.after))


def _found(path: str) -> Any:
    from django.utils.module_loading import import_module, import_string

    return import_string(path) if path.rpartition(".")[2].istitle() else import_module(path)


def _deadly(function: Callable[..., Any], chance: float, after: bool) -> Callable[..., Any]:
    dice = random.Random(os.urandom(8))

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        struck = dice.random() < chance
        if struck and not after:
            os._exit(KILLED)
        result = function(*args, **kwargs)
        if struck:
            os._exit(KILLED)
        return result

    return wrapped
