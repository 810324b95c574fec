"""A site as its developer would set it up, under the strictest Content Security Policy there is."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, TEMPLATES

DEBUG = True  # serves the static files
ROOT_URLCONF = "tests.e2e.urls"
ASGI_APPLICATION = "tests.e2e.asgi.application"
INSTALLED_APPS = ["tests.e2e", *INSTALLED_APPS]  # before clarion: its base template is ours
MIDDLEWARE = ["tests.e2e.policy.strict_policy", *MIDDLEWARE]
TEMPLATES[0]["OPTIONS"]["builtins"] = ["django.templatetags.i18n"]
LOGIN_URL = "/login/"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["CLARION_E2E_DB"],
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
CLARION = {"BROKER": "memory", "POLL_INTERVAL": 1, "PAGE_SIZE": 10, "PUBLIC_ANONYMOUS": True}
