"""What the database says, for the checker: `python -m tests.hard.witness` answers its input.

`positions`: where every inbox stands, and what is still to be done. `truth`: everything.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any


def positions() -> dict[str, Any]:
    from clarion.models import Event, Inbox, Notification, PublicStream

    boxes = Inbox.objects.values_list("pk", "epoch", "version")
    stream = PublicStream.objects.values_list("epoch", "version").first()
    return {
        "inboxes": {pk: f"{epoch}.{version}" for pk, epoch, version in boxes},
        "public": f"{stream[0]}.{stream[1]}" if stream else None,
        "due": Event.objects.filter(due_at__isnull=False).count(),
        "unstamped": Notification.objects.filter(version__isnull=True).count(),
    }


def truth() -> dict[str, Any]:
    """Events and who has a row of them, every inbox as it is fetched, and what doesn't add up."""
    from django.contrib.auth import get_user_model

    from clarion import inbox, upkeep
    from clarion.models import Event, Notification

    inboxes = {}
    for user in get_user_model().objects.all():
        page = inbox.page(user, limit=1000)
        assert page.next is None, "more than fits on a page"
        inboxes[user.pk] = {"items": page.items, "counts": asdict(page.counts)}
    events = Event.objects.values_list("pk", "text", "retracted_at", "public_version", "notified")
    rows = Notification.objects.values_list("event", "recipient", "pk")
    return {
        "events": [
            {"id": pk, "text": text, "retracted": bool(gone), "public": bool(public), "to": count}
            for pk, text, gone, public, count in events
        ],
        "rows": list(rows),
        "delivered": Notification.objects.filter(delivered_at__isnull=False).count(),
        "inboxes": inboxes,
        "drift": [repr(drift) for drift in upkeep.verify()],
    }


def notices() -> list[list[Any]]:
    """The same of the stock pattern."""
    from tests.hard.site.models import Notice

    return [list(row) for row in Notice.objects.values_list("pk", "recipient", "text")]


def main() -> None:
    import django

    django.setup()
    questions = {"positions": positions, "truth": truth, "notices": notices}
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(questions[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()
