"""Prove that counters and versions are what the rows say."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from clarion import upkeep


class Command(BaseCommand):
    help = (
        "Compare every inbox with its rows. Exit code 1 when one differs; --repair sets it right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="set right what differs")
        parser.add_argument(
            "--new-epoch",
            action="store_true",
            help="give every client a fresh start: after a backup was restored",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_epoch"]:
            self.stdout.write(f"New epoch for {upkeep.renew_epoch()} streams.")
        drifts = list(upkeep.verify())
        for drift in drifts:
            self.stdout.write(
                f"Recipient {drift.recipient}: stored {drift.stored}, actual {drift.actual}."
            )
        if options["repair"]:
            self.stdout.write(f"Repaired {upkeep.repair()} inboxes.")
        elif drifts:
            self.stderr.write(f"{len(drifts)} inboxes differ; run again with --repair.")
            raise SystemExit(1)
        else:
            self.stdout.write("Every inbox is what its rows say.")
