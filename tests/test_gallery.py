"""The gallery: every type on every channel, for those who may see it, and harmless to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.safestring import mark_safe

from clarion import Content, types
from clarion.channels import memory
from clarion.channels.base import Channel, Envelope, Preview, Receipt
from clarion.routes import Throttle, email, inbox, via
from clarion.types import all_types
from tests import outward

pytestmark = pytest.mark.django_db
PAGE = "/notifications/gallery/"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("ar", "Arabic")]


@dataclass(frozen=True, kw_only=True)
class Marking(Channel):
    """Its preview claims to be safe HTML."""

    def send(self, envelope: Envelope) -> Receipt:
        raise AssertionError("the gallery must not send")

    def preview(self, envelope: Envelope) -> Preview:
        text = mark_safe(f'"><script>hostile()</script>{envelope.entries[0].content.title}')
        return Preview(subject=text, body=text, html=text, kind="html")


@dataclass(frozen=True, kw_only=True)
class Spoken(outward.Graded):
    """Says which language it is in.

    And more that nobody needs to read.
    """

    type = "gallery.spoken"
    channels = [
        inbox(),
        email(default="digest", digest="weekly"),
        via("sms", after="90m", unless="read", throttle=Throttle("5/h")),
        via("marking", default="off", batch="1h"),
    ]

    def content(self, event: Any) -> Content:
        title = f"<b>{event.who}</b> in {translation.get_language()}"
        return Content(title=title, url="javascript:alert" if self.grade == "bad" else "/grades/")


@dataclass(frozen=True, kw_only=True)
class Broken(outward.Graded):
    """Expects a target, and has none."""

    type = "gallery.broken"

    def content(self, event: Any) -> Content:
        return Content(title=event.target.title)


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    spoken = override_settings(LANGUAGES=LANGUAGES)
    with outward.registered(), _known(Spoken), outward.site(CHANNELS=CHANNELS), spoken:
        yield


CHANNELS = {"email": {}, "webhook": {}, "marking": {"BACKEND": "tests.test_gallery.Marking"}}


@contextmanager
def _known(cls: type[types.NotificationType]) -> Iterator[None]:
    types.register(cls)
    yield
    del types._registry[cls.type]


@pytest.fixture
def staff(make_user: Any) -> User:
    someone = make_user("ada", is_staff=True, last_name="Lovelace")
    someone.user_permissions.add(Permission.objects.get(codename="view_event"))
    return someone


@pytest.fixture
def signed_in(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def status(user: User | None) -> int:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client.get(PAGE).status_code


class Elements(HTMLParser):
    """All elements of a page: (tag, attributes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


# --- who may look


def test_visitors_are_sent_to_sign_in(db: None) -> None:
    assert status(None) == 302


def test_only_staff_who_may_see_events_may_look(make_user: Any, staff: User) -> None:
    nobody = make_user("bob")
    nobody.user_permissions.add(Permission.objects.get(codename="view_event"))

    assert status(nobody) == 403
    assert status(make_user("carol", is_staff=True)) == 403
    assert status(staff) == 200
    assert status(make_user("root", is_staff=True, is_superuser=True)) == 200


@override_settings(DEBUG=True)
def test_while_developing_all_staff_may_look(make_user: Any) -> None:
    assert status(make_user("carol", is_staff=True)) == 200
    assert status(make_user("bob")) == 403


def test_nothing_is_sent_or_written_by_looking(signed_in: Client) -> None:
    memory.sent.clear()

    with CaptureQueriesContext(connection) as captured:
        signed_in.get(PAGE)

    assert memory.sent == []
    assert all(query["sql"].startswith("SELECT") for query in captured)


def test_queries_do_not_grow_with_the_number_of_types(signed_in: Client) -> None:
    def queries(query: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            signed_in.get(PAGE + query)
        return len(captured)

    queries("")
    assert queries("") == queries("?type=message") < 10


# --- what is shown


def test_every_type_is_there_on_every_channel(signed_in: Client) -> None:
    page = Elements(signed_in.get(PAGE).text)

    wanted = {
        f"{cls.type}: {channel}"
        for cls in all_types()
        for channel in ("inbox", "email", "sms", "webhook", "marking")
    }
    assert {card["aria-label"] for card in page.of("article")} == wanted
    assert len(page.of("iframe")) == 2 * len(all_types())  # email, and the one of this test


def test_the_filters_choose(signed_in: Client) -> None:
    answer = signed_in.get(PAGE, {"type": "gallery.spoken", "channel": "sms", "language": "de"})

    [card] = Elements(answer.text).of("article")
    assert card == {"class": "card", "lang": "de", "aria-label": "gallery.spoken: sms"}
    assert "in de" in answer.text
    assert "in en" not in answer.text


def test_several_can_go_as_one(signed_in: Client) -> None:
    answer = signed_in.get(PAGE, {"type": "out.graded", "channel": "webhook", "count": "3"})

    assert "clarion.digest" in answer.text


@pytest.mark.parametrize(
    "query", ["type=no.such", "channel=fax", "language=xx", "count=2", "count=1000000"]
)
def test_what_is_not_among_the_choices_is_refused(signed_in: Client, query: str) -> None:
    assert signed_in.get(f"{PAGE}?{query}").status_code == 400


def test_a_type_says_how_it_travels(signed_in: Client) -> None:
    text = signed_in.get(PAGE, {"type": "gallery.spoken"}).text

    for told in (
        "Says which language it is in.", "in a digest: weekly", "after 90 min", "unless read",
        "at most 5/h", "only for those who choose it", "what comes within 1 h as one",
        "1 channel that it does not use",
    ):  # fmt: skip
        assert told in text
    assert "nobody needs to read" not in text
    assert "Graded(*" not in signed_in.get(PAGE, {"type": "out.graded"}).text


def test_the_row_is_in_the_language_that_was_chosen(signed_in: Client) -> None:
    page = Elements(
        signed_in.get(PAGE, {"type": "gallery.spoken", "channel": "inbox", "language": "ar"}).text
    )

    [row] = page.of("fieldset")
    assert row["dir"] == "rtl"
    assert "disabled" in row


def test_a_type_that_cannot_be_rendered_shows_why(signed_in: Client) -> None:
    with _known(Broken):
        answer = signed_in.get(PAGE)

    assert answer.status_code == 200
    assert "AttributeError: &#x27;NoneType&#x27; object has no attribute" in answer.text
    assert "gallery.spoken" in answer.text


def test_a_channel_that_cannot_be_used_shows_why(signed_in: Client) -> None:
    with outward.site(CHANNELS={"webpush": {}}):
        answer = signed_in.get(PAGE, {"channel": "webpush"})

    assert "ImproperlyConfigured: CLARION" in answer.text


# --- what it can do


def test_nothing_that_is_shown_can_act(signed_in: Client) -> None:
    """Texts are texts, also those that claim to be safe; mails are in a box without any rights."""
    text = signed_in.get(PAGE).text
    page = Elements(text)

    assert page.of("script") == []
    assert "<b>" not in text
    for frame in page.of("iframe"):
        assert frame["sandbox"] == ""
        assert "src" not in frame
    hostile = [frame for frame in page.of("iframe") if "hostile" in (frame["srcdoc"] or "")]
    assert len(hostile) == len(all_types())
    assert not [
        attributes for _, attributes in page.found if any(n[:2] == "on" for n in attributes)
    ]


def test_the_page_keeps_the_strictest_policy_itself(signed_in: Client) -> None:
    answer = signed_in.get(PAGE)
    page = Elements(answer.text)

    assert page.of("style") == []
    assert not [attributes for _, attributes in page.found if "style" in attributes]
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self' 'unsafe-inline';")
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


@override_settings(STATIC_URL="https://static.school.example/files/")
def test_styles_may_come_from_where_the_static_files_are(signed_in: Client) -> None:
    policy = signed_in.get(PAGE)["Content-Security-Policy"]

    assert "'unsafe-inline' https://static.school.example;" in policy


# --- in a browser


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1360])
def test_it_is_whole_in_a_browser(
    live_server: Any, staff: User, chromium: str, scheme: Any, width: int
) -> None:
    """No rule of accessibility is broken, no policy either, nothing is cut off at the side."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    client = Client()
    client.force_login(staff)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value}
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        context.add_cookies([{**cookie, "url": live_server.url}])  # type: ignore[list-item]
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{live_server.url}{PAGE}?type=gallery.spoken")
        found = Axe().run(page, options={"iframes": False}).response["violations"]
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        mail = page.frames[1].locator("body").inner_text()
        browser.close()

    assert [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]] == []
    assert overflow == 0
    assert "in en" in mail
    assert {text for text in complaints if "404" not in text} == {HOSTILE_SCRIPT_WAS_BLOCKED}


HOSTILE_SCRIPT_WAS_BLOCKED = (
    "Blocked script execution in 'about:srcdoc' because the document's frame is sandboxed and the "
    "'allow-scripts' permission is not set."
)
