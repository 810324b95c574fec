import os

if os.environ.get("CLARION_RUNNER") == "celery":
    from config.celery import app as celery_app  # noqa: F401 - what the tasks are sent by
