"""Push from end to end: browsers are subscribed, people are notified, devices get it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.template import Context, Template
from django.test import Client

import clarion
from clarion import inbox, notify, outbox, push, reach
from clarion.models import Attempt, Delivery, Endpoint
from tests.channels.pushservice import Browser, PushService
from tests.outward import clock, site

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db(transaction=True)
STATIC = Path(clarion.__file__).parent / "static" / "clarion"
API = "/notifications/api/push/"
OPTIONS = {
    "vapid_private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "vapid_subject": "mailto:ops@school.example",
    "services": ["127.0.0.1"],
    "allow_private": True,
}


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    with site(CHANNELS={"webpush": OPTIONS}, DEFAULT_CHANNELS=["inbox", "webpush"]):
        yield


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as running:
        yield running
        assert running.faults == []


class Visitor(Client):
    """Somebody's browser on the site."""

    def __init__(self, user: User, **options: Any) -> None:
        super().__init__(**options)
        self.force_login(user)

    def state(self) -> Any:
        return self.get(API).json()

    def tell(self, path: str, **fields: Any) -> HttpResponse:
        return self.post(API + path, json.dumps(fields), content_type="application/json")

    def switch_on(self, service: PushService, **fields: Any) -> Browser:
        browser = service.subscribe(self.state()["key"])
        given = {"endpoint": browser.endpoint, "keys": browser.keys}
        assert self.tell("subscribe/", **given | fields).status_code == 201
        return browser


@pytest.fixture
def phone(alice: User) -> Visitor:
    return Visitor(alice)


def deliver() -> None:
    while outbox.deliver_due():
        continue


def titles(browser: Browser) -> list[str]:
    return [message.notification["title"] for message in browser.messages]


def outcomes() -> list[tuple[str, str]]:
    return list(Delivery.objects.filter(channel="webpush").values_list("outcome", "reason"))


# --- the way of one notification


def test_what_is_notified_reaches_every_device_of_that_person(
    alice: User, bob: User, service: PushService
) -> None:
    phone, laptop = Visitor(alice).switch_on(service), Visitor(alice).switch_on(service)
    of_bob = Visitor(bob).switch_on(service)

    notify("Grade A", to=alice, url="/grades/")
    deliver()

    assert titles(phone) == titles(laptop) == ["Grade A"]
    assert titles(of_bob) == []
    [row] = inbox.rows_of(alice)
    shown = phone.messages[0].notification
    assert shown["navigate"] == "https://school.example/grades/"
    assert shown["data"]["notification"] == row.pk
    assert [outcome for outcome, _ in outcomes()] == ["delivered"]
    assert all("/message/" in attempt.reference for attempt in Attempt.objects.all())


def test_a_device_that_is_gone_is_retired_and_the_others_are_served(
    alice: User, service: PushService
) -> None:
    old, new = Visitor(alice).switch_on(service), Visitor(alice).switch_on(service)
    del service.browsers["/push/" + old.endpoint.rpartition("/")[2]]

    notify("One", to=alice)
    deliver()
    notify("Two", to=alice)
    deliver()

    assert titles(new) == ["One", "Two"]
    assert [row.address for row in reach.of(alice, "webpush")] == [new.endpoint]
    assert Endpoint.objects.get(address=old.endpoint).retired_at is not None
    assert [outcome for outcome, _ in outcomes()] == ["delivered", "delivered"]


def test_a_busy_push_service_is_asked_again_when_it_said(
    alice: User, service: PushService, phone: Visitor
) -> None:
    with clock() as travel:
        browser = phone.switch_on(service)
        service.answer_with(429, Retry_After="100")
        notify("One", to=alice)
        deliver()

        travel.forward(seconds=99)
        early = len(browser.messages)
        travel.forward(seconds=2)

    assert early == 1
    assert [message.status for message in browser.messages] == [429, 201]
    assert len({message.notification["tag"] for message in browser.messages}) == 1


def test_only_the_device_that_failed_is_tried_again(alice: User, service: PushService) -> None:
    with clock() as travel:
        devices = [Visitor(alice).switch_on(service), Visitor(alice).switch_on(service)]
        service.answer_with(500)
        notify("One", to=alice)
        deliver()
        travel.forward(minutes=1)

    statuses = sorted([message.status for message in device.messages] for device in devices)
    assert statuses == [[201], [500, 201]]


def test_somebody_without_a_device_is_left_out_with_a_reason(alice: User) -> None:
    notify("One", to=alice)
    deliver()

    assert outcomes() == [("skipped", "no address for webpush")]


# --- subscribing


def test_a_subscription_is_kept_once_with_its_keys(
    alice: User, service: PushService, phone: Visitor
) -> None:
    browser = phone.switch_on(service, label="Firefox, Linux")
    phone.tell("subscribe/", endpoint=browser.endpoint, keys=browser.keys, label="Firefox, Android")

    [row] = Endpoint.objects.all()
    assert (row.recipient, row.channel, row.address) == (alice, "webpush", browser.endpoint)
    assert (row.data, row.label) == (browser.keys, "Firefox, Android")


def test_a_browser_belongs_to_whoever_subscribed_last(
    alice: User, bob: User, service: PushService, phone: Visitor
) -> None:
    """Somebody else's notifications must not show on a device that was handed on."""
    browser = phone.switch_on(service)
    team = reach.add(None, "webpush", browser.endpoint, group=Group.objects.create(name="staff"))

    Visitor(bob).tell("subscribe/", endpoint=browser.endpoint, keys=browser.keys)

    notify("For Alice", to=alice)
    notify("For Bob", to=bob)
    deliver()
    assert "For Alice" not in titles(browser)
    assert "For Bob" in titles(browser)
    assert Endpoint.objects.filter(pk=team.pk).exists()


def test_an_unsubscribed_browser_gets_nothing_and_can_come_back(
    alice: User, bob: User, service: PushService, phone: Visitor
) -> None:
    browser = phone.switch_on(service)
    Visitor(bob).tell("unsubscribe/", endpoint=browser.endpoint)
    assert reach.of(alice).exists()

    answer = phone.tell("unsubscribe/", endpoint=browser.endpoint)

    assert answer.json() == {"subscribed": False, "removed": True}
    assert not reach.of(alice).exists()
    assert phone.tell("unsubscribe/", endpoint=browser.endpoint).json()["removed"] is False
    again = phone.tell("subscribe/", endpoint=browser.endpoint, keys=browser.keys)
    assert again.status_code == 201


def test_the_state_has_our_key_and_names_only_own_devices(
    alice: User, bob: User, service: PushService, phone: Visitor
) -> None:
    browser = phone.switch_on(service)
    Visitor(bob).switch_on(service)

    found = phone.state()

    assert found["devices"] == [hashlib.sha256(browser.endpoint.lower().encode()).hexdigest()]
    assert len(found["key"]) == 87
    assert browser.endpoint not in json.dumps(found)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "p256dh"),
        ({"keys": {"p256dh": "x", "auth": "y"}}, "p256dh"),
        ({"keys": "none"}, "keys: has the wrong type"),
        ({"endpoint": 7}, "endpoint: has the wrong type"),
        ({"expirationTime": None}, "unknown field"),
        ({"endpoint": "https://evil.example/x", "keys": True}, "push services"),
        ({"endpoint": "https://127.0.0.1/" + "x" * 1000, "keys": True}, "1,000"),
        ({"keys": True}, "push services"),
    ],
)
def test_what_is_no_subscription_is_refused(
    fields: dict[str, Any], complaint: str, service: PushService, phone: Visitor
) -> None:
    keys = service.subscribe("").keys
    given = {name: keys if value is True else value for name, value in fields.items()}

    answer = phone.tell("subscribe/", **given)

    assert answer.status_code == 400
    assert complaint in answer.json()["detail"]
    assert not Endpoint.objects.exists()


def test_only_who_is_signed_in_and_shows_the_token_may_subscribe(
    alice: User, service: PushService
) -> None:
    browser = service.subscribe("")
    given = json.dumps({"endpoint": browser.endpoint, "keys": browser.keys})
    phone = Visitor(alice, enforce_csrf_checks=True)
    csrf = phone.state()["csrf"]

    def status(client: Client, **headers: str) -> int:
        path = API + "subscribe/"
        return client.post(path, given, "application/json", headers=headers).status_code

    assert status(Client()) == 401
    assert status(phone) == 403
    assert status(phone, **{csrf["header"]: csrf["token"]}) == 201


def test_a_site_without_push_says_so(phone: Visitor) -> None:
    with site():
        answer = phone.get(API)

    assert answer.status_code == 404
    assert "webpush" in answer.json()["detail"]


# --- the page


def test_the_worker_is_served_next_to_the_pages() -> None:
    """Its address sets its scope: it never takes the place of a worker that the site has."""
    answer = Client().get("/notifications/worker.js")

    assert answer["Content-Type"].startswith("text/javascript")
    assert answer["Cache-Control"] == "no-cache"
    assert "Service-Worker-Allowed" not in answer
    assert answer.content == (STATIC / "clarion-worker.js").read_bytes()


def shown(rf: Any, user: User) -> str:
    from django.contrib.sessions.backends.db import SessionStore

    request = rf.get("/")
    request.user, request.session, request.csp_nonce = user, SessionStore(), "n0nce"
    return str(
        Template("{% load clarion %}{% clarion_bell %}").render(Context({"request": request}))
    )


def test_the_bell_loads_the_switch_where_the_site_has_push(rf: Any, alice: User) -> None:
    with_push = shown(rf, alice)
    with site():
        without = shown(rf, alice)

    assert 'push="/notifications/api/push/" worker="/notifications/worker.js"' in with_push
    assert 'src="/static/clarion/clarion-push.js" nonce="n0nce"' in with_push
    assert "Notify me on this device" in with_push
    assert "push" not in without


def test_every_text_of_the_switch_can_be_translated() -> None:
    source = (STATIC / "clarion-push.js").read_text()
    quoted = set(re.findall(r'"([A-Z][a-z]+[^"]* [^"]*)"', source))

    assert quoted == set(push.texts())
