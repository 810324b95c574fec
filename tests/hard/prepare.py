"""The tables and people of the rig. `python -m tests.hard.prepare 200` prints who they are."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace


def main(people: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)
    print(json.dumps(_people(people)), flush=True)


def _people(count: int) -> list[dict[str, object]]:
    """Each with a session and a ticket for half of them: both ways in are used."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    users = get_user_model().objects.bulk_create(
        [get_user_model()(username=f"user{number}") for number in range(count)]
    )
    for name, members in {"class": users[:60], "school": users}.items():
        Group.objects.create(name=name).user_set.set(members)
    return [_person(user, number) for number, user in enumerate(users)]


def _person(user: object, number: int) -> dict[str, object]:
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from clarion.realtime import tickets

    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    ticket = tickets.issue(SimpleNamespace(user=user, session=session)) if number % 2 else None
    return {"pk": user.pk, "cookie": f"sessionid={session.session_key}", "ticket": ticket}


if __name__ == "__main__":
    main(int(sys.argv[1]))
