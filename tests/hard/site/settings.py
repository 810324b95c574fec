"""A site as in production, in small: several servers, a runner of its own, small chunks."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

ROOT_URLCONF = "tests.hard.site.urls"
ASGI_APPLICATION = "tests.hard.site.asgi.application"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.hard.site"]
DATABASES["default"]["CONN_MAX_AGE"] = None
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(process)d %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

CLARION = {
    "BROKER": os.environ.get("CLARION_BROKER") or "memory",
    "RUNNER": os.environ.get("CLARION_RUNNER") or "tests.hard.runner.Elsewhere",
    "INLINE_LIMIT": 10,  # larger audiences are the runner's
    "CHUNK_SIZE": 25,
    "LEASE": 2,  # whoever is killed while fanning out is replaced after this
    "HEARTBEAT": 4,
    "RECONCILE_INTERVAL": 2,
    "POLL_INTERVAL": 1,
    "MAX_PAGE_SIZE": 1000,
}

# The stock pattern, for the negative control.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [
                {"address": os.environ.get("CLARION_BROKER") or "redis://", "socket_timeout": None}
            ]
        },
    }
}

# Tables straight from the models: `tests.testapp` has no migrations, and this is quicker.
MIGRATION_MODULES = {app.rpartition(".")[2]: None for app in INSTALLED_APPS} | {"hard": None}
