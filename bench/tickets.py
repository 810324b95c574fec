"""Connection tickets, as `POST api/ticket/` hands them out: `python -m bench.tickets 8000 FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import django


def main(clients: int, file: Path) -> None:
    django.setup()
    from django.contrib.auth.models import User

    from clarion.realtime import tickets

    people = User.objects.order_by("pk")[:clients]
    issued = [tickets.issue(SimpleNamespace(user=user, session=None)) for user in people]
    file.write_text("\n".join(issued), encoding="ascii")
    print(json.dumps({"tickets": len(issued)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
