"""The publisher of the negative control: `Notice.objects.create()`, pushed by a signal."""

from __future__ import annotations

import random
import sys
import threading
import time

from tests.hard.publisher import PAUSE, THREADS, Log, stopped, wait_for_the_end


def main(path: str, seed: str) -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model

    people = list(get_user_model().objects.values_list("pk", flat=True))
    print("ready", flush=True)
    threads = [
        threading.Thread(target=_write, args=[random.Random(f"{seed}.{n}"), people, Log(path)])
        for n in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write(dice: random.Random, people: list[int], log: Log) -> None:
    from tests.hard.site.models import Notice

    while not stopped.is_set():
        pk, text = dice.choice(people), f"notice {dice.random()}"
        try:
            Notice.objects.create(recipient_id=pk, text=text)
        except Exception as error:  # the layer's errors reach whoever saves
            log.write(what="error", text=repr(error))
        else:
            log.write(what="commit", text=text)
        time.sleep(dice.uniform(*PAUSE))


if __name__ == "__main__":
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    main(*sys.argv[1:])
