"""Everything at once, in the process that committed: for tests and scripts."""

from __future__ import annotations

from clarion import fanout
from clarion.runner import Runner


class InlineRunner(Runner):
    """Sweeps until nothing is due. Whoever commits waits for it."""

    def wake(self) -> None:
        while fanout.sweep():
            continue
