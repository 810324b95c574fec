"""A site in processes of its own, for the tests of the runners: `CLARION_SITE` is its CLARION."""

import json
import os

import django

from clarion.runners.celery import beat_schedule
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.runners.site"]
CLARION = json.loads(os.environ["CLARION_SITE"])
CELERY_BROKER_URL = os.environ.get("CLARION_TASKS") or "memory://"
CELERY_BEAT_SCHEDULE = beat_schedule(1.0)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

MAIL_HOST, _, MAIL_PORT = (os.environ.get("CLARION_SMTP") or "127.0.0.1:25").partition(":")
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"OPTIONS": {"host": MAIL_HOST, "port": int(MAIL_PORT)}}}
else:
    EMAIL_HOST, EMAIL_PORT = MAIL_HOST, int(MAIL_PORT)
