"""The template tags, and what the element is told by the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.utils import translation

import clarion
from clarion import announce, bell, inbox, notify
from clarion.realtime import catchup, tickets

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)
STATIC = Path(clarion.__file__).parent / "static" / "clarion"
BELL = "{% clarion_bell %}"


@pytest.fixture
def shown(rf: Any) -> Callable[..., str]:
    """Render a line of template for somebody: `shown(alice, "{% clarion_bell %}")`."""

    def render(user: Any, line: str, nonce: str | None = None, **context: Any) -> str:
        request = rf.get("/")
        request.user, request.session = user, SessionStore()
        if nonce is not None:
            request.csp_nonce = nonce
        template = Template("{% load clarion %}" + line)
        return str(template.render(Context({"request": request, **context})))

    return render


def attributes(html: str) -> dict[str, str]:
    found = re.search(r"<clarion-bell([^>]*)>", html)
    assert found
    return dict(re.findall(r'([\w-]+)="([^"]*)"', found[1]))


def test_the_page_carries_where_the_streams_stood(alice: User, shown: Callable[..., str]) -> None:
    notify("One", to=alice)
    announce("For all")

    given = attributes(shown(alice, BELL))

    assert given["inbox"] == str(inbox.position(alice))
    assert given["public"] == str(catchup.public_position())
    assert (given["unread"], given["unseen"]) == ("2", "2")
    assert (given["api"], given["socket"]) == ("/notifications/api/", "/ws/notifications/")
    assert (given["stream"], given["page"]) == ("/notifications/stream/", "/notifications/")
    assert tickets.read(given["ticket"]).pk == alice.pk


def test_the_position_is_read_before_the_counts(
    alice: User, shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed while the page is made must come again over the stream, not be lost."""
    before = catchup.public_position()
    read = inbox.states

    def slowly(ids: Any) -> Any:
        announce("In between")
        return read(ids)

    monkeypatch.setattr(inbox, "states", slowly)

    assert attributes(shown(alice, BELL))["public"] == str(before)


def test_the_bell_and_the_number_cost_two_queries_however_full_the_inbox_is(
    alice: User, shown: Callable[..., str], django_assert_num_queries: Any
) -> None:
    for number in range(30):
        notify(f"Number {number}", to=alice)
    shown(alice, BELL)

    with django_assert_num_queries(2):
        html = shown(alice, "{% clarion_unread as n %}<b>{{ n }}</b>{% clarion_bell %}{{ n }}")

    assert "<b>30</b>" in html


def test_visitors_see_nothing_unless_the_site_allows_it(
    shown: Callable[..., str], settings: Any
) -> None:
    visitor = AnonymousUser()
    assert shown(visitor, BELL).strip() == ""
    assert shown(visitor, "{% clarion_unread as n %}{{ n }}") == "0"

    settings.CLARION = {**settings.CLARION, "PUBLIC_ANONYMOUS": True}
    html = shown(visitor, BELL)
    assert " anonymous=" in html
    assert not {"ticket", "inbox", "page", "key"} & set(attributes(html))


def test_every_script_carries_the_nonce(alice: User, shown: Callable[..., str]) -> None:
    """Under any name a site or Django 6 gives it; lazy ones are false before their use."""

    class Lazy:
        def __bool__(self) -> bool:
            return False

        def __str__(self) -> str:
            return "n0nce"

    for html in (shown(alice, BELL, nonce="n0nce"), shown(alice, BELL, csp_nonce=Lazy())):
        assert 'type="module" src="/static/clarion/clarion-bell.js" nonce="n0nce"' in html
    assert "nonce" not in shown(alice, BELL)


def test_hashed_static_files_find_each_other(
    alice: User, shown: Callable[..., str], settings: Any, tmp_path: Path
) -> None:
    from django.core.management import call_command

    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)

    html = shown(alice, BELL, nonce="n0nce")

    mapped = re.search(r'<script type="importmap" nonce="n0nce">(.*?)</script>', html)
    assert mapped
    asked, found = re.findall(r'"(/static[^"]+)"', mapped[1])
    assert asked == "/static/clarion/clarion.js"
    assert (tmp_path / found.removeprefix("/static/")).is_file()


def test_tabs_of_two_people_have_different_keys(
    alice: User, bob: User, shown: Callable[..., str]
) -> None:
    keys = {attributes(shown(user, BELL))["key"] for user in (alice, alice, bob)}

    assert len(keys) == 2


def test_sites_that_hide_the_csrf_cookie_hand_the_token_over(
    alice: User, shown: Callable[..., str], settings: Any
) -> None:
    assert "csrf-token" not in attributes(shown(alice, BELL))

    settings.CSRF_COOKIE_HTTPONLY = True
    assert attributes(shown(alice, BELL))["csrf-token"]


def test_options_of_the_tag_become_attributes(alice: User, shown: Callable[..., str]) -> None:
    line = '{% clarion_bell badge="unread" toasts="off" class=hostile %}'

    given = attributes(shown(alice, line, hostile='"><b>'))

    assert (given["badge"], given["toasts"], given["class"]) == (
        "unread",
        "off",
        "&quot;&gt;&lt;b&gt;",
    )


def test_a_template_without_the_request_is_told_how_to_get_it(db: None) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"context_processors\.request"):
        Template("{% load clarion %}{% clarion_bell %}").render(Context())


def test_every_text_of_the_element_can_be_translated() -> None:
    """Each English text in the module is one that the page hands over in its language."""
    source = (STATIC / "clarion-bell.js").read_text()
    tables = source[source.index("const STATES") : source.index("const sheet")]
    source = tables + source[source.index("class ClarionBell") :]
    quoted = set(re.findall(r'"((?:[A-Z]|\{n\} )[^"<>$]{2,}[a-z0])"', source))
    keys = {"ElementSibling", "Enter", "Escape", "PageDown", "PageUp"}

    assert quoted - keys - set(bell.texts()) == set()
    assert set(bell.texts()) <= {text for text in bell.texts() if f'"{text}"' in source}


def test_plural_forms_cover_every_kind_of_number() -> None:
    with translation.override("en"):
        forms = bell.texts()["{n} new notifications"]

    assert forms[1] == "{n} new notification"
    assert forms[5] == "{n} new notifications"


def test_the_two_modules_stay_small() -> None:
    """Together under 15 kB gzipped, as they are: nothing is built or minified."""
    from tools import bundle

    sizes = bundle.sizes()

    assert set(sizes) == {"clarion.js", "clarion-bell.js"}
    assert sum(sizes.values()) <= bundle.LIMIT
