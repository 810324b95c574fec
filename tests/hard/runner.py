"""The runner of the rig, a process of its own: `python -m tests.hard.runner`."""

from __future__ import annotations

import time

from clarion.runner import Runner

_PAUSE = 0.1  # seconds; nobody can wake it from another process


class Elsewhere(Runner):
    """For the processes of a site whose runner is another process: the rows are enough."""

    def wake(self) -> None:
        return


def main() -> None:
    import django
    from django.db import DatabaseError, connection

    django.setup()
    from clarion.runners.work import sweep

    print("ready", flush=True)
    while True:
        try:
            while sweep():
                continue
        except DatabaseError as error:
            print(f"the sweep failed: {error!r}", flush=True)
            connection.close()
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main()
