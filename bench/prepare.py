"""Tables and users: `python -m bench.prepare 100000`."""

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
    print(json.dumps({"users": User.objects.count()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
