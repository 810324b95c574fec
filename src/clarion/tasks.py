"""Where Celery's autodiscovery looks for our tasks. Other task queues look here too: no harm."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("celery"):
    from clarion.runners.celery import deliver, prune, sweep

    __all__ = ["deliver", "prune", "sweep"]
