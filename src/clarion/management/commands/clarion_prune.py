"""Delete what is older than the retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from clarion import upkeep
from clarion.conf import settings


class Command(BaseCommand):
    help = "Delete notifications that last arrived more than RETENTION_DAYS ago, in small batches."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, help="default: CLARION['RETENTION_DAYS']")
        parser.add_argument("--batch", type=int, default=1000, help="rows in one transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"] if options["days"] is not None else settings.RETENTION_DAYS
        if days is None or days < 1:
            raise CommandError("Nothing to do: set CLARION['RETENTION_DAYS'] or give --days.")
        before = timezone.now() - timedelta(days=days)
        rows = events = 0
        while deleted := upkeep.prune(before, limit=options["batch"]):
            rows += deleted
        while deleted := upkeep.prune_events(before, limit=options["batch"]):
            events += deleted
        self.stdout.write(
            f"Deleted {rows} notifications and {events} events older than {before:%F}."
        )
