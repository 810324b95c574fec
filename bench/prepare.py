"""Tables, users and their inboxes, with nothing owed: `python -m bench.prepare 100000`."""

from __future__ import annotations

import json
import sys

import django


def main(wanted: int) -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    missing = range(User.objects.count() + 1, wanted + 1)
    people = [User(pk=pk, username=f"user{pk}", password="!") for pk in missing]
    User.objects.bulk_create(people, batch_size=2000)
    _settle()
    print(json.dumps({"users": User.objects.count()}))


def _settle() -> None:
    """Everybody has an inbox, and got the announcements of earlier runs."""
    from django.contrib.auth.models import User

    from clarion.models import Inbox, PublicStream

    without = User.objects.filter(clarion_inbox=None).values_list("pk", flat=True)
    Inbox.objects.bulk_create([Inbox(recipient_id=pk) for pk in without], batch_size=2000)
    for version in PublicStream.objects.values_list("version", flat=True):
        Inbox.objects.exclude(announced=version).update(announced=version)


if __name__ == "__main__":
    main(int(sys.argv[1]))
