"""A runner that never comes: the benchmark does the work itself."""

from __future__ import annotations

from clarion.runner import Runner


class Asleep(Runner):
    def wake(self) -> None:
        return
