"""Settings of the school. The environment may say:

CLARION_DB       sqlite:///path (default: var/school.sqlite3) or postgres://user:password@host:port/name
CLARION_BROKER   redis://host:port/0; default: what reaches this one process
CLARION_RUNNER   embedded (default), worker or celery: who does what outlives a request
CLARION_MAIL     smtp://host:port or file:///path/to/folder; default: files in var/mail
CLARION_SITE     address that links in mails begin with; default: http://localhost:8000
CLARION_LOCAL    1 where webhooks and pushes may go to this machine, and without TLS
CLARION_DEBUG    1 (default) or 0
CLARION_HOSTS    host names it answers to, with commas; default: this machine
CLARION_HTTPS    1 where it is served over https only: cookies then never travel without it
SECRET_KEY       default: one that is made at the first start and kept in var/
"""

import os
from pathlib import Path

import django

from config.environment import database, flag, secret_key, sqlite, words
from config.outward import channels, email_settings, mailer

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"

DEBUG = flag("CLARION_DEBUG", default=True)
SECRET_KEY = secret_key(VAR / "secret-key")
ALLOWED_HOSTS = words("CLARION_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "school",
    "clarion",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.security.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
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

DATABASES = {
    "default": (
        database(os.environ["CLARION_DB"])
        if os.environ.get("CLARION_DB")
        else sqlite(VAR / "school.sqlite3")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CLARION = {
    "BROKER": os.environ.get("CLARION_BROKER") or None,
    "RUNNER": os.environ.get("CLARION_RUNNER") or "embedded",
    "SITE_URL": os.environ.get("CLARION_SITE") or "http://localhost:8000",
    "RECIPIENT_ROLE": "role",
    "CHANNELS": channels(VAR, local=flag("CLARION_LOCAL", default=False)),
}

MAIL = mailer(os.environ.get("CLARION_MAIL") or (VAR / "mail").as_uri())
if django.VERSION >= (6, 1):
    MAILERS = {"default": MAIL}
else:
    vars().update(email_settings(MAIL))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = "Willowbrook School <office@school.example>"

AUTH_USER_MODEL = "school.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

HTTPS = flag("CLARION_HTTPS", default=False)
SESSION_COOKIE_NAME = (
    "school_session"  # cookies know no ports: another site on this host has its own
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
