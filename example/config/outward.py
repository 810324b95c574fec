"""The ways that lead out of the school: mail, web push, webhooks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from django.core.exceptions import ImproperlyConfigured

from config.environment import kept

BACKENDS = "django.core.mail.backends"


def channels(var: Path, *, local: bool) -> dict[str, dict[str, Any]]:
    """CLARION['CHANNELS']. With `local` webhooks and pushes may go to this machine, without TLS."""
    found: dict[str, dict[str, Any]] = {
        "email": {"site_name": "Willowbrook School"},
        "webhook": {"allow_http": local, "allow_private": local},
    }
    if find_spec("cryptography"):
        found["webpush"] = web_push(var / "vapid-key", local=local)
    return found


def web_push(file: Path, *, local: bool) -> dict[str, Any]:
    """The options of web push, with the key pair in `file`, which is made at the first start."""
    from clarion.channels.encryption import new_private_key
    from clarion.channels.webpush import SERVICES

    return {
        "vapid_private_key": kept(file, new_private_key),
        "vapid_subject": "mailto:office@school.example",
        "services": [*SERVICES, *(["127.0.0.1"] if local else [])],
        "allow_private": local,
    }


def mailer(url: str) -> dict[str, Any]:
    """An entry of MAILERS for `smtp://user:password@host:port` or `file:///folder`.

    Raises:
        ImproperlyConfigured: another kind of URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = url2pathname(parts.path)
        return {"BACKEND": f"{BACKENDS}.filebased.EmailBackend", "OPTIONS": {"file_path": folder}}
    if parts.scheme != "smtp" or not parts.hostname:
        raise ImproperlyConfigured(
            f"CLARION_MAIL: {parts.scheme or 'a name alone'} is not known here; use "
            "smtp://host:port or file:///path/to/folder."
        )
    options = {
        "host": parts.hostname,
        "port": parts.port or 25,
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "timeout": 10,  # seconds
    }
    return {"BACKEND": f"{BACKENDS}.smtp.EmailBackend", "OPTIONS": options}


def email_settings(mailer: dict[str, Any]) -> dict[str, Any]:
    """The same for Django before 6.1, which has no MAILERS."""
    names = {
        "host": "EMAIL_HOST",
        "port": "EMAIL_PORT",
        "username": "EMAIL_HOST_USER",
        "password": "EMAIL_HOST_PASSWORD",
        "timeout": "EMAIL_TIMEOUT",
        "file_path": "EMAIL_FILE_PATH",
    }
    options = mailer["OPTIONS"].items()
    return {"EMAIL_BACKEND": mailer["BACKEND"]} | {names[name]: value for name, value in options}
