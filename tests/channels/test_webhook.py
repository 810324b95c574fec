"""Webhooks: signed, repeated until they are taken, and never sent into our own network."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from clarion import Content, notify, outbox, types
from clarion.channels import webhook
from clarion.channels.base import Address, Entry, Envelope, get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Attempt, Delivery, Endpoint
from clarion.routes import Route, inbox
from clarion.types import Action, Level
from tests import outward
from tests.channels.receiver import http_server, raw_server, read_request, until_closed

pytestmark = pytest.mark.django_db(transaction=True)

HERE = {"allow_private": True, "allow_http": True}


@dataclass(frozen=True, kw_only=True)
class Hooked(outward.Graded):
    type = "hook.graded"
    channels = [inbox(), Route(channel="webhook")]


@dataclass(frozen=True, kw_only=True)
class Posted(Hooked):
    type = "notice.posted"


@dataclass(frozen=True, kw_only=True)
class Daily(Hooked):
    type = "hook.daily"
    channels = [inbox(), Route(channel="webhook", default="digest")]


def site(**options: object):
    return outward.site(CHANNELS={"webhook": {**HERE, **options}})


@pytest.fixture(autouse=True)
def known_types():
    known = (Hooked, Posted, Daily)
    for cls in known:
        types.register(cls)
    with site():
        yield
    for cls in known:
        del types._registry[cls.type]


@pytest.fixture
def receiver():
    with http_server() as receiver:
        yield receiver


@pytest.fixture
def clock():
    with outward.clock() as travel:
        yield travel


def deliver() -> None:
    while outbox.deliver_due():
        continue


def deliver_again() -> None:
    """As if the wait were over."""
    Delivery.objects.filter(outcome="pending").update(due_at=timezone.now())
    deliver()


def row() -> tuple[str, str]:
    [found] = Delivery.objects.values_list("outcome", "reason")
    return found


# --- what arrives


def test_the_reference_library_accepts_what_was_sent(alice, bob, receiver):
    _, secret = webhook.register(alice, receiver.url(), label="CRM")
    notify(Hooked(grade="B"), to=alice, actor=bob, target=bob)

    deliver()

    [request] = receiver.requests
    message = Webhook(secret).verify(request.body, request.headers)
    assert message["type"] == "hook.graded"
    assert message["data"]["title"] == "Grade B"
    assert message["data"]["url"] == "https://school.example/grades/"
    assert message["data"]["payload"] == {"grade": "B"}
    assert (message["data"]["actor"], message["data"]["target"]) == ("Bob", f"auth.user:{bob.pk}")
    assert request.headers["content-type"] == "application/json"
    assert row() == ("delivered", "delivered")


def test_a_body_that_was_tampered_with_is_not_accepted(alice, receiver):
    _, secret = webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    [request] = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body.replace(b"Grade A", b"Grade F"), request.headers)


def test_every_try_has_the_same_id_and_its_own_time(alice, receiver, clock):
    receiver.answer(500, 204)
    _, secret = webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()
    clock.forward(seconds=30)

    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert Webhook(secret).verify(second.body, second.headers)
    assert row() == ("delivered", "delivered")


def test_two_endpoints_of_one_person_get_messages_of_their_own(alice, receiver):
    webhook.register(alice, receiver.url("/one"))
    webhook.register(alice, receiver.url("/two"))
    notify(Hooked(), to=alice)

    deliver()

    assert {request.path for request in receiver.requests} == {"/one", "/two"}
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2


def test_a_digest_is_one_message_with_all_items(alice, receiver, clock):
    _, secret = webhook.register(alice, receiver.url())
    for grade in "ABC":
        notify(Daily(grade=grade), to=alice)

    clock.forward(days=1)

    [request] = receiver.requests
    message = Webhook(secret).verify(request.body, request.headers)
    assert message["type"] == "clarion.digest"
    assert message["data"]["count"] == 3
    assert [item["title"] for item in message["data"]["items"]] == ["Grade A", "Grade B", "Grade C"]


def test_many_at_once_stay_messages_of_their_own(alice, receiver):
    webhook.register(alice, receiver.url())
    for _ in range(7):
        notify(Hooked(), to=alice)

    deliver()

    assert len(receiver.requests) == 7


# --- its size


def entry(**fields: object) -> Entry:
    content = Content(
        title="ö" * 200,
        body="\N{GRINNING FACE}" * 4000,
        url="https://school.example/" + "é" * 2000,
        actions=[Action("Open", "/")],
    )
    given = {
        "event": 1,
        "type": "a.b",
        "category": "c",
        "level": Level.INFO,
        "content": content,
        "created_at": outward.START,
        "actor": "ä" * 5000,
        "target": "app.model:" + "ü" * 5000,
        "data": {"text": "\x01" * 16_000},
    }
    return Entry(**given | fields)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_largest_envelope_is_cut_to_the_limit_and_says_so(count):
    envelope = Envelope(
        id="1", channel="webhook", address=Address(value=""), entries=[entry()] * count
    )

    body = webhook.body_of(envelope)

    data = json.loads(body)["data"]
    assert len(body) <= webhook.SIZE_LIMIT
    assert data["truncated"] is True
    assert data["count"] == (count if count > 1 else 1)


def test_a_long_text_is_shortened_before_the_payload_is_left_out():
    content = Content(title="Title", body="\N{GRINNING FACE}" * 4000, url="https://a.example/")
    large = entry(content=content, actor="", target="", data={"text": "x" * 10_000})
    envelope = Envelope(id="1", channel="webhook", address=Address(value=""), entries=[large])

    data = json.loads(webhook.body_of(envelope))["data"]

    assert len(data["payload"]["text"]) == 10_000
    assert (len(data["body"]), data["title"], data["url"]) == (500, "Title", "https://a.example/")


def test_what_fits_is_told_whole():
    small = entry(content=Content(title="Title"), actor="", target="", data={})
    envelope = Envelope(id="1", channel="webhook", address=Address(value=""), entries=[small])

    assert "truncated" not in json.loads(webhook.body_of(envelope))["data"]


# --- secrets


def test_a_secret_is_as_the_specification_wants_it():
    secret = webhook.new_secret()

    assert secret.startswith("whsec_")
    assert 24 <= len(Webhook(secret)._whsecret) <= 64
    assert secret != webhook.new_secret()


def test_after_a_rotation_both_secrets_verify_until_the_old_one_expires(alice, receiver, clock):
    endpoint, old = webhook.register(alice, receiver.url())
    new = webhook.rotate(endpoint, keep=timedelta(hours=2))

    notify(Hooked(), to=alice)
    deliver()
    clock.forward(hours=1)
    [both] = receiver.requests
    assert len(both.headers["webhook-signature"].split()) == 2

    clock.forward(hours=2)
    notify(Hooked(), to=alice)
    deliver()
    latest = receiver.requests[-1]
    assert len(latest.headers["webhook-signature"].split()) == 1
    assert Webhook(new).verify(latest.body, latest.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(latest.body, latest.headers)


def test_while_both_hold_the_other_side_may_use_either(alice, receiver):
    endpoint, old = webhook.register(alice, receiver.url())
    new = webhook.rotate(endpoint)
    notify(Hooked(), to=alice)

    deliver()

    [request] = receiver.requests
    assert Webhook(old).verify(request.body, request.headers)
    assert Webhook(new).verify(request.body, request.headers)


def test_a_secret_that_leaked_can_be_ended_at_once(alice, receiver):
    endpoint, old = webhook.register(alice, receiver.url())
    webhook.rotate(endpoint, keep=timedelta())
    notify(Hooked(), to=alice)

    deliver()

    [request] = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(request.body, request.headers)


def test_another_rotation_does_not_prolong_an_old_secret(alice, receiver):
    endpoint, old = webhook.register(alice, receiver.url())
    webhook.rotate(endpoint, keep=timedelta(hours=1))
    end = endpoint.data["secrets"][1]["until"]

    webhook.rotate(endpoint, keep=timedelta(hours=5))

    stored = Endpoint.objects.get().data["secrets"]
    assert stored[2] == {"secret": old, "until": end}


def test_many_rotations_do_not_make_the_signature_longer_and_longer(alice, receiver):
    endpoint, _ = webhook.register(alice, receiver.url())

    for _ in range(10):
        newest = webhook.rotate(endpoint)

    stored = Endpoint.objects.get().data["secrets"]
    assert len(stored) == 5
    assert stored[0] == {"secret": newest, "until": None}


def test_an_endpoint_without_a_secret_is_not_sent_to(alice, receiver):
    Endpoint.objects.create(recipient=alice, channel="webhook", address=receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    assert receiver.requests == []
    assert row()[0] == "failed"
    assert "has no secret yet" in row()[1]


# --- what it may be sent to


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "https://localhost/x", "https://10.0.0.1/"])
def test_a_private_address_can_not_be_registered(alice, url):
    with site(allow_private=False), pytest.raises(InvalidAddress, match="private network"):
        webhook.register(alice, url)

    assert not Endpoint.objects.exists()


def test_plain_http_can_not_be_registered(alice):
    with site(allow_http=False), pytest.raises(InvalidAddress, match="https://"):
        webhook.register(alice, "http://93.184.216.34/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_not_sent_to_although_it_was_stored(alice, receiver, host):
    webhook.register(alice, receiver.url(host=host))
    notify(Hooked(), to=alice)

    with site(allow_private=False):
        deliver()

    assert receiver.requests == []
    assert row() == ("failed", f"{host} is in a private network")


# --- what is answered


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_success(alice, receiver, status):
    receiver.answer(status)
    webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    assert row() == ("delivered", "delivered")
    [attempt] = Attempt.objects.all()
    assert attempt.detail == f"answered {status}"
    assert attempt.reference == receiver.requests[0].headers["webhook-id"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_tried_again(alice, receiver, status):
    receiver.answer(status, Location=receiver.url("/inside"))
    webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    assert [request.path for request in receiver.requests] == ["/hook"]
    assert row() == (
        "pending",
        f"to be tried again: answered with a redirect ({status}), which is not followed",
    )


def test_410_retires_the_endpoint(alice, receiver):
    receiver.answer(410)
    endpoint, _ = webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    endpoint.refresh_from_db()
    assert endpoint.retired_at is not None
    assert endpoint.reason == "answered 410: the endpoint is gone"
    assert row() == ("failed", "answered 410: the endpoint is gone")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_other_errors_are_tried_again_as_endpoints_get_mended(alice, receiver, status):
    receiver.answer(status, 200)
    webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()
    assert row() == ("pending", f"to be tried again: answered {status}")

    deliver_again()
    assert row() == ("delivered", "delivered")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_says_when_to_come_again(alice, receiver, clock, status):
    receiver.answer(status, Retry_After="3600")
    webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)

    deliver()

    assert Delivery.objects.get().due_at == timezone.now() + timedelta(hours=1)


def test_tries_are_further_and_further_apart_and_come_to_an_end(alice, receiver, clock):
    receiver.answer(500)
    webhook.register(alice, receiver.url())
    notify(Hooked(), to=alice)
    waits = []

    deliver()
    while (delivery := Delivery.objects.get()).outcome == "pending":
        waits.append(delivery.due_at - timezone.now())
        clock.to(delivery.due_at)

    planned = get_channel("webhook").waits
    assert len(waits) == len(planned) == 9
    assert all(plan <= wait <= plan * 1.2 for plan, wait in zip(planned, waits, strict=True))
    assert waits == sorted(waits)
    assert row() == ("failed", "answered 500")
    assert len(receiver.requests) == Attempt.objects.count() == 10


def test_a_server_that_says_nothing_is_given_up_and_tried_again(alice):
    with raw_server(until_closed) as port, site(timeout=0.3):
        webhook.register(alice, f"http://127.0.0.1:{port}/hook?key=geheim")
        notify(Hooked(), to=alice)

        deliver()

    assert row() == ("pending", "to be tried again: 127.0.0.1: no answer within 0.3 s")


def test_an_endless_answer_does_not_hold_the_worker(alice):
    def pour(connected):
        read_request(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connected.sendall(b"a" * 65_536)

    with raw_server(pour) as port:
        webhook.register(alice, f"http://127.0.0.1:{port}/")
        notify(Hooked(), to=alice)

        deliver()

    assert row() == ("delivered", "delivered")


def test_no_reason_and_no_log_line_holds_the_url(alice, receiver, caplog):
    receiver.answer(500, 302, 410)
    webhook.register(alice, receiver.url("/geheim?key=geheim"))
    notify(Hooked(), to=alice)

    with caplog.at_level("DEBUG"):
        deliver()
        deliver_again()
        deliver_again()

    told = [*Attempt.objects.values_list("detail", flat=True), *row(), caplog.text]
    assert Attempt.objects.count() == 3
    assert not any("geheim" in text for text in told)


# --- teams


def test_a_team_gets_the_types_it_asks_for_once_for_all_people(alice, bob, receiver):
    _, secret = webhook.register(None, receiver.url(), types=["hook.*"])
    notify(Hooked(), to=[alice, bob])
    notify(Posted(), to=[alice, bob])

    deliver()

    [request] = receiver.requests
    message = Webhook(secret).verify(request.body, request.headers)
    assert (message["type"], message["data"]["notification"]) == ("hook.graded", None)


def test_a_team_gets_what_is_sent_to_its_group(alice, bob, receiver):
    teachers, parents = (Group.objects.create(name=name) for name in ("teachers", "parents"))
    alice.groups.add(teachers)
    bob.groups.add(parents)
    webhook.register(None, receiver.url("/teachers"), group=teachers)
    notify(Hooked(), to=teachers)
    notify(Hooked(), to=parents)

    deliver()

    assert [request.path for request in receiver.requests] == ["/teachers"]


# --- failover


@contextmanager
def two_servers():
    with http_server() as first, http_server() as second:
        channels = {"webhook": {**HERE, "failover": "backup"}}
        channels["backup"] = {**HERE, "BACKEND": "webhook"}
        with outward.site(CHANNELS=channels):
            yield first, second


def test_a_second_channel_takes_over_and_both_attempts_are_on_record(alice):
    with two_servers() as (first, second):
        first.answer(500)
        webhook.register(alice, first.url())
        webhook.register(alice, second.url(), channel="backup")
        notify(Hooked(), to=alice)

        deliver()

        assert (len(first.requests), len(second.requests)) == (1, 1)
    assert row() == ("delivered", "delivered")
    attempts = Attempt.objects.order_by("pk").values_list("channel", "outcome", "detail")
    assert list(attempts) == [
        ("webhook", "transient", "answered 500"),
        ("backup", "delivered", "answered 200"),
    ]


def test_a_second_channel_is_left_alone_while_the_first_one_works(alice):
    with two_servers() as (first, second):
        webhook.register(alice, first.url())
        webhook.register(alice, second.url(), channel="backup")
        notify(Hooked(), to=alice)

        deliver()

        assert (len(first.requests), len(second.requests)) == (1, 0)
