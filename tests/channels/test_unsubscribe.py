"""One click, and the mails about it stop: the links, the page, and what mail services post."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.core import signing
from django.test import Client, override_settings

from clarion import notify, outbox, preferences, types, unsubscribing
from clarion.models import Delivery, Preference, PreferenceChange
from clarion.routes import email, inbox
from clarion.unsubscribing import Link
from tests import outward

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass(frozen=True, kw_only=True)
class Loose(outward.Graded):
    type = "loose.note"
    category = ""
    channels = [inbox(), email()]


def site(**channels: Any) -> Any:
    return outward.site(CHANNELS={"email": {"BACKEND": "memory"}, **channels})


@pytest.fixture(autouse=True)
def _known_types() -> Iterator[None]:
    types.register(Loose)
    with outward.registered(), site():
        yield
    del types._registry[Loose.type]


@pytest.fixture
def grades(alice: User) -> Link:
    return unsubscribing.link_for(alice, "email", ["category:grades"])


def path_of(link: Link) -> str:
    return unsubscribing.url_of(link).removeprefix("https://school.example")


def choices() -> set[tuple[str, str, str]]:
    return set(Preference.objects.values_list("scope", "channel", "value"))


def outcomes() -> list[str]:
    while outbox.deliver_due():
        continue
    rows = Delivery.objects.filter(channel="email").order_by("pk")
    return list(rows.values_list("outcome", flat=True))


# --- what mail services post


@pytest.mark.parametrize("content_type", ["multipart", "application/x-www-form-urlencoded"])
def test_one_click_needs_no_cookie_login_or_token(grades: Link, content_type: str) -> None:
    service = Client(enforce_csrf_checks=True)

    if content_type == "multipart":
        answer = service.post(path_of(grades), ONE_CLICK)
    else:
        answer = service.post(
            path_of(grades), "List-Unsubscribe=One-Click", content_type=content_type
        )

    assert answer.status_code == 200
    assert answer.cookies == {}
    assert choices() == {("category:grades", "email", "never")}
    assert PreferenceChange.objects.get().source == "one-click unsubscribe"


def test_one_click_works_where_the_site_asks_everybody_to_sign_in(
    grades: Link, settings: Any
) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]  # fmt: skip

    answer = Client().post(path_of(grades), ONE_CLICK)

    assert answer.status_code == 200
    assert choices() == {("category:grades", "email", "never")}


def test_the_same_click_again_changes_nothing(grades: Link) -> None:
    for _ in range(3):
        Client().post(path_of(grades), ONE_CLICK)

    assert choices() == {("category:grades", "email", "never")}
    assert PreferenceChange.objects.count() == 1


def test_it_takes_effect_at_once(alice: User, bob: User, grades: Link) -> None:
    notify(outward.Graded(), to=[alice, bob])

    Client().post(path_of(grades), ONE_CLICK)

    assert outcomes() == ["skipped", "delivered"]


def test_what_was_due_in_a_digest_is_stopped_too(alice: User, grades: Link) -> None:
    notify(outward.Digested(), to=alice)

    Client().post(path_of(grades), ONE_CLICK)

    assert outcomes() == ["skipped"]


def test_what_is_required_and_what_is_of_another_category_still_comes(
    alice: User, grades: Link
) -> None:
    Client().post(path_of(grades), ONE_CLICK)

    notify(outward.Alarm(), to=alice)
    notify(Loose(), to=alice)

    assert outcomes() == ["delivered", "delivered"]


def test_a_choice_for_one_type_does_not_outlive_the_click(alice: User, grades: Link) -> None:
    preferences.choose(alice, "type:out.graded", "instant", "email")
    Client().post(path_of(grades), ONE_CLICK)

    notify(outward.Graded(), to=alice)

    assert outcomes() == ["skipped"]


def test_it_stops_the_channel_that_another_one_took_over_from(alice: User) -> None:
    channels = {
        "email": {"BACKEND": "memory", "failover": "second"},
        "second": {"BACKEND": "memory"},
    }
    with site(**channels):
        link = unsubscribing.link_for(alice, "second", ["category:grades"])
        Client().post(path_of(link), ONE_CLICK)
        notify(outward.Graded(), to=alice)

        assert outcomes() == ["skipped"]


def test_a_mail_about_much_is_stopped_as_a_whole(alice: User) -> None:
    few = unsubscribing.link_for(alice, "email", ["category:b", "category:a", "category:b"])
    many = unsubscribing.link_for(alice, "email", [f"category:{n}" for n in range(6)])

    assert few.scopes == ("category:a", "category:b")
    assert many.scopes == ("*",)


# --- the page


@pytest.mark.parametrize("method", ["get", "head"])
def test_following_the_link_changes_nothing(grades: Link, method: str) -> None:
    answer = getattr(Client(), method)(path_of(grades))

    assert answer.status_code == 200
    assert choices() == set()


def test_the_page_names_the_category_and_nothing_of_the_person(alice: User, grades: Link) -> None:
    answer = Client().get(path_of(grades))

    assert "No more mail about “Grades”?" in answer.text
    assert "alice" not in answer.text.lower()
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]


def test_the_buttons_need_no_javascript(grades: Link) -> None:
    page = Client(enforce_csrf_checks=True)

    stopped = page.post(path_of(grades), {"do": "stop"})
    after_stop = choices()
    everything = page.post(path_of(grades), {"do": "all"})
    after_all = choices()
    undone = page.post(path_of(grades), {"do": "undo"})

    assert "You get no more mail about “Grades”" in stopped.text
    assert after_stop == {("category:grades", "email", "never")}
    assert "You get no more mail<" in everything.text
    assert after_all == after_stop | {("*", "email", "never")}
    assert "You get mail as before" in undone.text
    assert choices() == set()


def test_undo_puts_back_what_was_chosen_before(alice: User, grades: Link) -> None:
    preferences.choose(alice, "category:grades", "digest", "email")
    preferences.choose(alice, "type:out.graded", "instant", "email")
    before = choices()

    Client().post(path_of(grades), ONE_CLICK)
    for _ in range(2):
        Client().post(path_of(grades), {"do": "undo"})

    assert choices() == before


def test_undo_leaves_alone_what_was_changed_since(alice: User, grades: Link) -> None:
    Client().post(path_of(grades), ONE_CLICK)
    preferences.choose(alice, "category:grades", "digest", "email", source="preferences page")

    Client().post(path_of(grades), {"do": "undo"})

    assert choices() == {("category:grades", "email", "digest")}


def test_a_link_about_everything_has_no_smaller_choice(alice: User) -> None:
    link = unsubscribing.link_for(alice, "email", ["*"])

    page = Client().get(path_of(link))
    Client().post(path_of(link), ONE_CLICK)

    assert "No more mail from here?" in page.text
    assert "No mail at all" not in page.text
    assert choices() == {("*", "email", "never")}


# --- tokens


@pytest.mark.parametrize(
    "token", ["x", ":", "x:y", "WzEsImVtYWlsIl0:AAAA", ".eJyL:z", "%00", "é", "x" * 5000]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_bad_link_is_not_found(db: None, token: str, method: str) -> None:
    answer = getattr(Client(), method)(f"/notifications/unsubscribe/{token}/")

    assert answer.status_code == 404
    assert "This link is not valid" in answer.text


def test_a_link_signed_for_something_else_is_not_found(alice: User, grades: Link) -> None:
    signer = signing.Signer(salt="another")
    token = signer.sign_object([alice.pk, "email", "category:grades"])

    answer = Client().post(f"/notifications/unsubscribe/{token}/", ONE_CLICK)

    assert answer.status_code == 404
    assert choices() == set()


def test_a_link_of_somebody_who_is_gone_is_not_found(alice: User, grades: Link) -> None:
    alice.delete()

    assert Client().post(path_of(grades), ONE_CLICK).status_code == 404


def test_a_link_of_a_channel_that_is_gone_is_not_found(alice: User) -> None:
    path = path_of(unsubscribing.link_for(alice, "letters", ["*"]))

    assert Client().post(path, ONE_CLICK).status_code == 404


def test_a_link_outlives_a_change_of_the_key(grades: Link) -> None:
    with override_settings(SECRET_KEY="old"):
        path = path_of(grades)

    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert Client().post(path, ONE_CLICK).status_code == 200
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert Client().post(path, ONE_CLICK).status_code == 404


def test_a_link_is_the_same_every_time_and_another_for_everybody(alice: User, bob: User) -> None:
    links = [unsubscribing.link_for(user, "email", ["category:grades"]) for user in (alice, bob)]

    assert unsubscribing.token_of(links[0]) == unsubscribing.token_of(links[0])
    assert len({unsubscribing.token_of(link) for link in links}) == 2


def test_without_a_site_there_is_no_link(alice: User, grades: Link) -> None:
    with outward.site(SITE_URL=""):
        assert unsubscribing.url_of(grades) == ""


@pytest.mark.parametrize(
    ("scope", "label"),
    [
        ("category:parents_evening", "Parents evening"),
        ("type:loose.note", "Loose note"),
        ("category:Notifications", "Notifications"),
        ("*", ""),
    ],
)
def test_a_scope_has_a_name_for_people(scope: str, label: str) -> None:
    assert unsubscribing.label_of(scope) == label
