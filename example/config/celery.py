"""The Celery app of the school, where CLARION_RUNNER is celery: its worker and its beat.

python -m celery --workdir example --app config.celery worker
python -m celery --workdir example --app config.celery beat
"""

from __future__ import annotations

import os

from celery import Celery

from clarion.runners.celery import beat_schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("school", broker=os.environ.get("CLARION_BROKER"))
app.conf.update(
    beat_schedule=beat_schedule(),
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
app.autodiscover_tasks()
