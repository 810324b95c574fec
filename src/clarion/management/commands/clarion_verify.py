"""Prove that counters and versions are what the rows say, and that every delivery is settled."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clarion import outbox, upkeep


class Command(BaseCommand):
    help = (
        "Compare every inbox with its rows, and look for deliveries that nobody would ever settle. "
        "Exit code 1 when anything is wrong; --repair sets it right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="set right what is wrong")
        parser.add_argument(
            "--new-epoch",
            action="store_true",
            help="give every client a fresh start: after a backup was restored",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_epoch"]:
            self.stdout.write(f"New epoch for {upkeep.renew_epoch()} streams.")
        problems = self._drifts() + self._lost()
        self._print_accounts()
        if options["repair"]:
            self.stdout.write(
                f"Repaired {upkeep.repair()} inboxes and {outbox.repair()} deliveries."
            )
        elif problems:
            self.stderr.write(f"{problems} problems; run again with --repair.")
            raise SystemExit(1)
        else:
            self.stdout.write("Every inbox is what its rows say, every delivery is accounted for.")

    def _drifts(self) -> int:
        found = 0
        for drift in upkeep.verify():
            found += 1
            self.stdout.write(
                f"Recipient {drift.recipient}: stored {drift.stored}, actual {drift.actual}."
            )
        return found

    def _lost(self) -> int:
        lost = outbox.verify()
        for text in lost:
            self.stdout.write(f"{text[0].upper()}{text[1:]}.")
        return len(lost)

    def _print_accounts(self) -> None:
        for channel, outcomes in sorted(outbox.accounts().items()):
            told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
            self.stdout.write(f"{channel}: {told}.")
