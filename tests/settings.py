"""Settings of the test suite. The environment says what to test against:

CLARION_DB      sqlite (default), sqlite:///path, postgres://user:password@host:port/name, mysql://...
CLARION_BROKER  memory (default) or redis://[:password@]host:port/0; several, with blanks between,
                for several processes of pytest: what one says, the others must not hear
"""

import os

from tests.databases import database

if brokers := os.environ.get("CLARION_BROKER", "").split():
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    os.environ["CLARION_BROKER"] = brokers[worker % len(brokers)]

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
ROOT_URLCONF = "tests.urls"
ASGI_APPLICATION = "tests.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "clarion",
    "tests.testapp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, and only here

DATABASES = {"default": database(os.environ.get("CLARION_DB") or "sqlite")}

CLARION = {
    "BROKER": os.environ.get("CLARION_BROKER") or "memory",
    "RUNNER": "inline",
}
