"""Do the work that outlives requests, in a process of its own."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clarion import runner
from clarion.runners import work, worker
from clarion.runners.embedded import EmbeddedRunner

_BETWEEN_REPORTS = 60.0


class Command(BaseCommand):
    help = (
        "Fan out, send, snooze and expire until SIGTERM or Ctrl-C, which lets it finish what it "
        "holds. Any number of workers share the work."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=4, help="that send; default: 4")
        parser.add_argument("--once", action="store_true", help="end when nothing is due: for cron")

    def handle(self, *args: Any, **options: Any) -> None:
        mine = EmbeddedRunner(senders=max(1, options["threads"]))
        runner.install(mine)  # what the work leads to is this process's, too
        if options["once"]:
            while work.sweep():
                continue
        else:
            self._serve(mine, quiet=options["verbosity"] == 0)
        mine.stop()

    def _serve(self, mine: EmbeddedRunner, *, quiet: bool) -> None:
        """Until the first signal; a second one ends the process at once."""
        with suppress(KeyboardInterrupt):
            for number in (signal.SIGTERM, signal.SIGINT):  # shells have background jobs ignore one
                signal.signal(number, signal.default_int_handler)
            mine.ensure()
            if (listener := worker.listener(mine.wake)) is not None:
                listener.start()
            while True:
                before = _done(mine)
                time.sleep(_BETWEEN_REPORTS)
                if not quiet and (report := _report(before, _done(mine))):
                    self.stdout.write(report)


def _done(mine: EmbeddedRunner) -> tuple[int, int]:
    return mine.events.done, sum(loop.done for loop in mine.deliveries)


def _report(before: tuple[int, int], after: tuple[int, int]) -> str:
    """What was done in between; nothing about nothing."""
    events, deliveries = after[0] - before[0], after[1] - before[1]
    if not (events or deliveries):
        return ""
    return f"In the last minute: {events} events and rows, {deliveries} deliveries."
