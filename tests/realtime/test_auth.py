"""Who may connect, from where, and with what."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from clarion.realtime import auth, tickets
from clarion.realtime.connection import Unavailable


def scope(origin: str | None = None, host: str = "school.example", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    extra = more.pop("headers", [])
    return {"type": "websocket", "scheme": "ws", "headers": headers + extra, **more}


@pytest.fixture(autouse=True)
def hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["school.example"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://school.example", "school.example"),
        ("http://school.example:80", "school.example"),
        ("http://SCHOOL.example", "school.example"),
        ("http://school.example:8000", "school.example:8000"),
        (None, "school.example"),
    ],
)
def test_the_sites_own_pages_may_connect(origin: str | None, host: str) -> None:
    assert auth.origin_allowed(scope(origin, host))


@pytest.mark.parametrize(
    "origin",
    [
        "https://school.example",
        "http://school.example:8000",
        "http://school.example.evil.example",
        "http://evil.example",
        "http://sub.school.example",
        "null",
        "",
        "file://",
        "http://[::1",
    ],
)
def test_no_other_page_may(origin: str) -> None:
    assert not auth.origin_allowed(scope(origin))


def test_a_host_the_site_does_not_serve_makes_no_origin_its_own() -> None:
    assert not auth.origin_allowed(scope("http://evil.example", "evil.example"))


def test_wildcard_hosts_open_nothing(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]

    assert auth.origin_allowed(scope("http://school.example"))
    assert not auth.origin_allowed(scope("http://evil.example"))


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.partner.example", True),
        ("https://partner.example", True),
        ("https://notpartner.example", False),
        ("http://app.partner.example", False),
        ("https://exact.example", True),
        ("https://exact.example:444", False),
    ],
)
def test_trusted_origins_may_connect(settings: Any, origin: str, allowed: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.partner.example"]
    settings.CLARION = {**settings.CLARION, "ALLOWED_ORIGINS": ["https://exact.example"]}

    assert auth.origin_allowed(scope(origin)) is allowed


def test_a_proxy_says_how_the_visitor_came(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    forwarded = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"school.example")]

    inner = scope("https://school.example", "10.0.0.7:8000", headers=forwarded)

    assert auth.origin_allowed(inner)
    assert not auth.origin_allowed(scope("https://school.example"))


def _request(user: Any, expiry: int | None = None) -> HttpRequest:
    request = HttpRequest()
    request.user = user
    request.session = SessionStore()
    if expiry is not None:
        request.session.set_expiry(expiry)
    request.session.create()
    return request


def test_a_ticket_says_who_holds_it_and_is_a_token(alice: Any) -> None:
    request = _request(alice)
    ticket = tickets.issue(request)

    person = tickets.read(ticket)

    assert person == auth.identity_of(alice, request.session) or person.expires is not None
    assert (person.pk, person.session) == (
        alice.pk,
        auth.session_digest(request.session.session_key),
    )
    assert set(ticket) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~.")


@pytest.mark.parametrize("ticket", ["", "x", "a~b~c", "é~1~2", "." * 5000])
def test_a_ticket_that_is_not_ours_is_refused_for_good(ticket: str) -> None:
    with pytest.raises(Unavailable) as refused:
        tickets.read(ticket)

    assert refused.value.code == 4500


def test_a_ticket_ends_with_its_session(alice: Any) -> None:
    ticket = tickets.issue(_request(alice, expiry=1))
    time.sleep(1.1)

    with pytest.raises(Unavailable) as refused:
        tickets.read(ticket)

    assert refused.value.code == 4004


@pytest.mark.django_db
def test_a_session_is_only_good_with_the_password_it_was_opened_with(alice: Any) -> None:
    from tests.realtime.conftest import session_cookie

    key = session_cookie(alice).partition("=")[2]
    assert auth.persons_of_sessions([key])[key].pk == alice.pk

    alice.set_password("another")
    alice.save()

    assert auth.persons_of_sessions([key, "nonsense"]) == {}
