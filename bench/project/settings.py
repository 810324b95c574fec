"""Settings of the benchmarked site. The environment says what it runs on, as for the tests."""

import os

from tests.databases import database

SECRET_KEY = "only for benchmarks, and long enough for every check of Django's"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "bench.project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "clarion",
    "notifications",  # django-notifications-community
    "bench.project",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # thousands of users
DATABASES = {"default": database(os.environ.get("CLARION_DB") or "sqlite")}
if os.environ.get("CLARION_BENCH_LAYER"):  # of the stock pattern; Clarion has a broker of its own
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # redis-py 8 gives up after 5 seconds, the layer waits for 5 seconds: None lets it wait
            "CONFIG": {
                "hosts": [{"address": os.environ["CLARION_BENCH_LAYER"], "socket_timeout": None}]
            },
        }
    }
CLARION = {
    "BROKER": os.environ.get("CLARION_BROKER") or "memory",
    "RUNNER": os.environ.get("CLARION_RUNNER") or "inline",
    "CHANNELS": {"email": {"BACKEND": "memory"}} if os.environ.get("CLARION_BENCH_MAIL") else {},
    "SITE_URL": "https://bench.example",
}
