"""What a commit would set off, in tests that never commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections

from clarion.runners import work
from clarion.testing.stillness import still


@contextmanager
def run_after_commit(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """As if what the block did were committed at its end: then everything due is done.

        with run_after_commit():
            notify(Graded(grade="A"), to=alice)

    For Django's `TestCase`, and pytest's `db`: what waits for the commit is run, also what is
    registered by that, and what it raises is raised here. Then events are fanned out and
    deliveries sent. A block that raises sets nothing off.
    """
    with still():
        start = len(connections[using].run_on_commit)
        yield
        while _run_callbacks(using, start) or work.sweep():
            continue


def _run_callbacks(using: str, start: int) -> int:
    """Run what was registered behind `start`, once: a real commit that follows finds it gone."""
    waiting = connections[using].run_on_commit
    taken = waiting[start:]
    del waiting[start:]
    for entry in taken:
        entry[1]()  # (savepoints, callback, whether it is robust)
    return len(taken)
