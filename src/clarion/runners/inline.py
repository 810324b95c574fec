"""Everything at once, in the process that committed: for tests and scripts."""

from __future__ import annotations

from clarion.runner import Runner
from clarion.runners.work import sweep


class InlineRunner(Runner):
    """Sweeps until nothing is due. Whoever commits waits for it."""

    def wake(self) -> None:
        while sweep():
            continue
