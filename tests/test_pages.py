"""The inbox page and its forms, without a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.utils import timezone

from clarion import inbox, notify
from tests.testapp.notifications import Invited

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/notifications/"
ACT = "/notifications/act/"


@pytest.fixture
def signed_in(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def the_row(user: User, title: str = "One", **fields: str) -> int:
    notify(title, to=user, **fields)  # type: ignore[arg-type]
    return int(inbox.page(user).items[0]["id"])


def test_visitors_are_sent_to_sign_in(db: None) -> None:
    for answer in (Client().get(PAGE), Client().post(ACT)):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/")


def test_the_page_shows_only_ones_own(alice: User, bob: User, signed_in: Client) -> None:
    notify("For Alice", to=alice)
    notify("For Bob", to=bob)

    answer = signed_in.get(PAGE)

    assert "For Alice" in answer.text
    assert "For Bob" not in answer.text
    assert "private" in answer["Cache-Control"]


def test_texts_are_escaped_and_only_safe_addresses_are_links(
    alice: User, signed_in: Client
) -> None:
    from clarion.models import Event

    the_row(alice, "<script>hostile</script>", url="https://example.org/x")
    assert "<script>hostile" not in signed_in.get(PAGE).text
    assert 'href="https://example.org/x"' in signed_in.get(PAGE).text

    for bad in ("javascript:alert(1)", "\tjavascript:alert(1)", "data:text/html,x", "\\\\evil"):
        Event.objects.update(data={"title": "One", "body": "", "url": bad})
        text = signed_in.get(PAGE).text
        assert "alert(1)" not in text
        assert "evil" not in text
        assert "data:text" not in text


@pytest.mark.parametrize(
    ("state", "filter"), [("read", "all"), ("archived", "archived"), ("pinned", "all")]
)
def test_a_form_marks_and_leads_back(
    alice: User, signed_in: Client, state: str, filter: str
) -> None:
    row = the_row(alice)

    answer = signed_in.post(ACT, {"as": state, "ids": row, "next": "/notifications/?filter=unread"})

    assert answer["Location"] == "/notifications/?filter=unread"
    [item] = inbox.page(alice, filter=filter).items
    assert item[state]


@pytest.mark.parametrize("until", ["1h", "4h", "tomorrow", "2099-05-01T08:30"])
def test_a_form_snoozes(alice: User, signed_in: Client, until: str) -> None:
    row = the_row(alice)

    signed_in.post(ACT, {"as": "snoozed", "ids": row, "until": until})

    [item] = inbox.page(alice, filter="snoozed").items
    assert item["snoozed_until"] > timezone.now().isoformat()


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "\\\\evil", ""]
)
def test_a_form_never_leads_to_another_site(alice: User, signed_in: Client, target: str) -> None:
    answer = signed_in.post(ACT, {"as": "read", "ids": the_row(alice), "next": target})

    assert answer["Location"] == PAGE


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"as": "read"},
        {"as": "read", "ids": "x"},
        {"as": "read", "ids": "²"},
        {"as": "read", "upto": "x"},
        {"as": "read", "upto": "9" * 5000},
        {"as": "snoozed", "ids": "1", "until": ""},
        {"as": "snoozed", "ids": "1", "until": "2001-01-01T00:00"},
        {"as": "snoozed", "ids": "1", "until": "2001-99-99T00:00"},
        {"as": "read", "ids": "1", "colour": "red"},
    ],
)
def test_a_bad_form_says_what_is_wrong_on_the_page(
    signed_in: Client, fields: dict[str, str]
) -> None:
    answer = signed_in.post(ACT, fields)

    assert answer.status_code == 400
    assert 'class="clarion-error" role="alert"' in answer.text


@pytest.mark.parametrize("query", ["filter=nonsense", "before=garbage"])
def test_a_bad_address_of_the_page_is_refused(signed_in: Client, query: str) -> None:
    assert signed_in.get(f"{PAGE}?{query}").status_code == 400


def test_a_form_without_the_csrf_token_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert client.post(ACT, {"as": "read", "ids": the_row(alice)}).status_code == 403
    assert inbox.counts(alice).unread == 1


def test_buttons_and_pictures_are_shown_where_their_addresses_are_safe(
    alice: User, signed_in: Client
) -> None:
    notify(Invited(by="Bob"), to=alice)

    text = signed_in.get(PAGE).text

    assert '<img class="clarion-image" src="/media/bob.png" alt=""' in text
    assert '<a class="clarion-action" href="/invitations/1/">Look at it</a>' in text
    assert re.search(r'<form method="post" action="/invitations/1/accept/"><input .*csrf', text)
    assert "elsewhere.example" not in text  # a form there would give our CSRF token away
