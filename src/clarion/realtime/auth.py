"""Who is at the other end, and whether they may be: cookies, origins, tickets, revocation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib import auth
from django.core.serializers.json import DjangoJSONEncoder
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import is_same_domain

from clarion.conf import settings
from clarion.realtime.brokers import publish
from clarion.realtime.frames import aside

EXPIRED, UNAUTHENTICATED, REVOKED, FORBIDDEN = 4004, 4500, 4501, 4502
_LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]  # what Django allows where DEBUG is on
_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, by what can be compared later without keeping the user or the session."""

    pk: Any
    session: str | None  # digest of the session key
    credential: str  # digest of the stored password; a changed password ends the connection
    expires: float | None  # Unix time at which the session ends


def revoke(user_pk: Any, session_digest: str | None = None, code: int = REVOKED) -> None:
    """Close the connections of a user in every process; with a digest, of that session only.

    From any thread; after commit, please. Does not wait. A process that doesn't hear of it finds a
    deactivated user or a changed password within RECONCILE_INTERVAL.
    """
    word = {"close": {"user": user_pk, "session": session_digest, "code": code}}
    publish(aside("control", json.dumps(word, cls=DjangoJSONEncoder).encode()))


def session_digest(session_key: str) -> str:
    """A name for a session that is no key to it."""
    return salted_hmac("clarion.session", session_key, algorithm="sha256").hexdigest()[:16]


def credential_digest(password: str) -> str:
    """A name for a stored password that says only whether it is still the same."""
    return hashlib.blake2b(password.encode(), digest_size=8, person=b"clarion").hexdigest()


def identity_of(user: Any, session: Any) -> Identity:
    """May read the session's data, so not in an event loop.

    `session` is Django's, or None where somebody is known by other means.
    """
    key = getattr(session, "session_key", None)
    return Identity(
        pk=user.pk,
        session=session_digest(key) if key else None,
        credential=credential_digest(user.password),
        expires=session.get_expiry_date().timestamp() if key else None,
    )


def person_in(scope: Mapping[str, Any]) -> Identity | None:
    """Who Channels' AuthMiddlewareStack found. May read the session, so not in an event loop."""
    user = scope["user"]
    return identity_of(user, scope.get("session")) if user.is_authenticated else None


def session_key(scope: Mapping[str, Any]) -> str | None:
    """What the session cookie holds."""
    cookies = parse_cookie("; ".join(headers(scope, b"cookie")))
    return cookies.get(django_settings.SESSION_COOKIE_NAME) or None


def persons_of_sessions(keys: Iterable[str]) -> dict[str, Identity]:
    """Whose sessions these are. Reads the database, so not in an event loop."""
    found = {key: _person_of_session(key) for key in keys}
    return {key: person for key, person in found.items() if person is not None}


def _person_of_session(key: str) -> Identity | None:
    """As `django.contrib.auth.get_user()`, without writing: no answer could carry a new cookie."""
    session = import_module(django_settings.SESSION_ENGINE).SessionStore(key)
    path, pk = session.get(auth.BACKEND_SESSION_KEY), session.get(auth.SESSION_KEY)
    if pk is None or path not in django_settings.AUTHENTICATION_BACKENDS:
        return None
    pk = auth.get_user_model()._meta.pk.to_python(pk)
    user = auth.load_backend(path).get_user(pk)
    if user is None or not _is_verified(user, session):
        return None
    return identity_of(user, session)


def _is_verified(user: Any, session: Any) -> bool:
    if not hasattr(user, "get_session_auth_hash"):
        return True
    given = session.get(auth.HASH_SESSION_KEY) or ""
    right = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(given, each) for each in right)


# Origins


def origin_allowed(scope: Mapping[str, Any]) -> bool:
    """Whether the page that connects may: cookies come with it, whosever page it is (CSWSH).

    Allowed are the site itself, CSRF_TRUSTED_ORIGINS and ALLOWED_ORIGINS. ALLOWED_HOSTS = ["*"]
    opens nothing here. Without an Origin it isn't a browser, and nobody's cookies are borrowed.
    """
    origins = headers(scope, b"origin")
    try:
        return all(_is_own(scope, each) or is_trusted(each) for each in origins)
    except ValueError:  # no address at all
        return False


def is_trusted(origin: str) -> bool:
    """Whether `origin` is named in CSRF_TRUSTED_ORIGINS or ALLOWED_ORIGINS."""
    trusted = (*django_settings.CSRF_TRUSTED_ORIGINS, *settings.ALLOWED_ORIGINS)
    return any(_matches(origin, pattern) for pattern in trusted)


def _is_own(scope: Mapping[str, Any], origin: str) -> bool:
    host = _host(scope)
    allowed = django_settings.ALLOWED_HOSTS or (django_settings.DEBUG and _LOCAL_HOSTS) or []
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, allowed):
        return False
    own = f"{_scheme(scope)}://{host}"
    return origin == own or _normal(origin) == _normal(own)


def _host(scope: Mapping[str, Any]) -> str:
    forwarded = headers(scope, b"x-forwarded-host") if django_settings.USE_X_FORWARDED_HOST else []
    return (forwarded or headers(scope, b"host") or [""])[0]


def _scheme(scope: Mapping[str, Any]) -> str:
    proxy = django_settings.SECURE_PROXY_SSL_HEADER
    if proxy:
        name = proxy[0].removeprefix("HTTP_").replace("_", "-").lower().encode()
        if found := headers(scope, name):
            return "https" if found[0].split(",", 1)[0].strip() == proxy[1] else "http"
    return "https" if scope.get("scheme") in ("wss", "https") else "http"


def _matches(origin: str, pattern: str) -> bool:
    given, wanted = urlsplit(origin), urlsplit(pattern)
    if given.scheme != wanted.scheme:
        return False
    if wanted.netloc.startswith("*."):
        return is_same_domain(given.netloc, wanted.netloc[1:])
    return _normal(origin) == _normal(pattern)


def _normal(origin: str) -> tuple[str, str, str]:
    parts = urlsplit(origin.lower())
    host, port = parts.netloc, ""
    if _has_port(host):
        host, _, port = host.rpartition(":")
    return parts.scheme, host, port or _PORTS.get(parts.scheme, "")


def _has_port(netloc: str) -> bool:
    return netloc.rpartition(":")[2].isdigit() and not netloc.endswith("]")


def headers(scope: Mapping[str, Any], name: bytes) -> list[str]:
    pairs: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    return [value.decode("latin-1") for key, value in pairs if key == name]
