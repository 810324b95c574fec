"""Notifies somebody again and again, as the requests of a busy site do, until its input ends.

`python -m tests.hard.writer PEOPLE PAUSE` makes the people first, and says in the end how often.
"""

from __future__ import annotations

import random
import sys
import threading
import time


def main(people: int, pause: float) -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User

    from clarion import notify
    from tests.outward import MailOnly

    users = User.objects.bulk_create(
        User(username=f"user{number}", email=f"user{number}@school.example")
        for number in range(people)
    )
    print("ready", flush=True)
    written = 0
    while not stopped.is_set():
        notify(MailOnly(), to=random.choice(users))
        written += 1
        time.sleep(random.uniform(0, 2 * pause))
    print(written, flush=True)


stopped = threading.Event()


def wait_for_the_end() -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    main(int(sys.argv[1]), float(sys.argv[2]))
