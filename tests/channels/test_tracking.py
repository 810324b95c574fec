"""What a mail service says later: told to its webhook, and found in the delivery's row."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core import mail
from django.test import Client, modify_settings, override_settings
from django.urls import include, path

from clarion import notify, outbox, preferences, reach
from clarion.models import Attempt, Delivery, Endpoint, Preference, PreferenceChange
from tests import outward
from tests.channels.mailserver import uses_backend
from tests.urls import urlpatterns as of_the_site

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytest.importorskip("anymail")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
urlpatterns = [*of_the_site, path("anymail/", include("anymail.urls"))]

HARD = {"RecordType": "Bounce", "Type": "HardBounce"}
SOFT = {"RecordType": "Bounce", "Type": "SoftBounce"}
BLOCKED = {"RecordType": "Bounce", "Type": "Blocked"}
SPAM = {"RecordType": "SpamComplaint", "Type": "SpamComplaint"}
ARRIVED = {"RecordType": "Delivery"}
STOPPED = {
    "RecordType": "SubscriptionChange",
    "SuppressSending": True,
    "SuppressionReason": "ManualSuppression",
}


@pytest.fixture(autouse=True)
def _service() -> Iterator[None]:
    with (
        modify_settings(INSTALLED_APPS={"append": "anymail"}),
        override_settings(ANYMAIL={"WEBHOOK_SECRET": "clarion:secret"}),
        uses_backend("anymail.backends.test.EmailBackend"),
        outward.registered(),
        outward.site(CHANNELS={"email": {"BACKEND": "email"}}),
    ):
        yield


@pytest.fixture
def ada(make_user: Any) -> User:
    return make_user("ada", email="ada@school.example")


def deliver() -> None:
    while outbox.deliver_due():
        continue


def told(event: dict[str, Any], **fields: Any) -> None:
    """The service posts an event, as Postmark writes it."""
    key = base64.b64encode(b"clarion:secret").decode()
    answer = Client().post(
        "/anymail/postmark/tracking/",
        {"Details": "550 ada@school.example is unknown"} | event | fields,
        content_type="application/json",
        headers={"Authorization": f"Basic {key}"},
    )
    assert answer.status_code == 200


def sent(number: int = -1) -> dict[str, Any]:
    """How the service knows a mail."""
    message = mail.outbox[number]
    return {"Email": message.to[0], "Metadata": message.metadata}


def email_rows() -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(channel="email").order_by("pk")
    return list(rows.values_list("outcome", "reason"))


def test_a_mail_carries_the_delivery_and_the_type_to_the_service(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    [message] = mail.outbox
    delivery = Delivery.objects.get(channel="email")
    assert message.anymail_test_params["metadata"] == {"clarion_delivery": str(delivery.pk)}
    assert message.anymail_test_params["tags"] == ["out.graded"]


def test_what_arrived_is_confirmed_on_record(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(ARRIVED, **sent())

    assert email_rows() == [("delivered", "delivered")]
    assert [row.detail for row in Attempt.objects.order_by("pk")] == [
        "taken by the mail server", "confirmed: delivered",
    ]  # fmt: skip


def test_a_hard_bounce_fails_the_delivery_and_retires_the_address(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(HARD, **sent())
    notify(outward.Graded(), to=ada)
    deliver()

    assert email_rows() == [("failed", "bounced: bounced"), ("skipped", "its address was retired")]
    endpoint = Endpoint.objects.get()
    assert endpoint.recipient == ada
    assert endpoint.retired_at is not None
    assert len(mail.outbox) == 1


def test_all_of_a_digest_has_failed_when_it_bounces(ada: User) -> None:
    with outward.clock() as clock:
        for grade in "AB":
            notify(outward.Digested(grade=grade), to=ada)
        clock.forward(days=1)

        told(HARD, **sent())

    assert email_rows() == [("failed", "bounced: bounced")] * 2


@pytest.mark.parametrize(
    ("event", "reason"), [(SOFT, "bounced: for now"), (BLOCKED, "rejected: blocked")]
)
def test_a_bounce_that_says_nothing_of_the_address_leaves_it_in_use(
    ada: User, event: dict[str, Any], reason: str
) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(event, **sent())

    assert email_rows() == [("failed", reason)]
    assert Endpoint.objects.count() == 0


def test_a_complaint_ends_all_mail_to_that_person(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(SPAM, **sent())
    ada.email = "ada@new.example"
    ada.save()
    notify(outward.Graded(), to=ada)
    deliver()

    assert email_rows() == [("delivered", "delivered"), ("skipped", "unsubscribed from everything")]
    assert Endpoint.objects.get().reason == "complained: reported as spam"
    assert PreferenceChange.objects.get().source == "complaint"


def test_who_unsubscribes_at_the_service_gets_no_more(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(STOPPED, **sent())

    [choice] = Preference.objects.all()
    assert (choice.recipient, choice.scope, choice.channel, choice.value) == (
        ada, "*", "email", "never",
    )  # fmt: skip
    assert Endpoint.objects.count() == 0


@pytest.mark.parametrize("event", [HARD, SPAM, ARRIVED, STOPPED])
def test_the_same_event_again_changes_nothing(ada: User, event: dict[str, Any]) -> None:
    notify(outward.Graded(), to=ada)
    deliver()
    told(event, **sent())
    rows, tries = email_rows(), Attempt.objects.count()
    reach.add(ada, "email", "ada@school.example")
    preferences.choose(ada, "*", None, "email")

    told(event, **sent())

    assert (email_rows(), Attempt.objects.count()) == (rows, tries)
    assert Endpoint.objects.get().retired_at is None
    assert Preference.objects.count() == 0


def test_one_address_of_two_that_bounces_leaves_the_other(ada: User) -> None:
    for address in ("ada@home.example", "ada@work.example"):
        reach.add(ada, "email", address)
    notify(outward.Graded(), to=ada)
    deliver()

    told(HARD, **sent(0))

    assert email_rows() == [("delivered", "delivered, but also: bounced: bounced")]
    assert [row.address for row in reach.of(ada, "email")] == ["ada@work.example"]


def test_both_addresses_that_bounce_fail_the_delivery(ada: User) -> None:
    for address in ("ada@home.example", "ada@work.example"):
        reach.add(ada, "email", address)
    notify(outward.Graded(), to=ada)
    deliver()

    told(HARD, **sent(0))
    told(HARD, **sent(1))

    assert email_rows() == [("failed", "bounced: bounced")]
    assert list(reach.of(ada, "email")) == []


def test_a_mail_is_also_found_by_the_id_of_the_service(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()
    Attempt.objects.update(reference="b7bc2f4a-e38e-4336-af7d-e6c392c2f817")

    told(HARD, MessageID="b7bc2f4a-e38e-4336-af7d-e6c392c2f817")

    assert email_rows() == [("failed", "bounced: bounced")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageID": "nobody-knows-it"},
        {"Metadata": {"clarion_delivery": "987654321"}},
        {"Metadata": {"clarion_delivery": "x; DROP TABLE"}},
        {"Metadata": {"clarion_delivery": "9" * 40}},
    ],
)
def test_events_about_other_mail_are_ignored(ada: User, fields: dict[str, Any]) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(HARD, Email="ada@school.example", **fields)

    assert email_rows() == [("delivered", "delivered")]
    assert Endpoint.objects.count() == 0


def test_what_the_other_server_wrote_is_kept_nowhere(ada: User) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    told(HARD, **sent())

    said = [row.detail for row in Attempt.objects.all()] + [reason for _, reason in email_rows()]
    assert "ada@" not in " ".join([*said, Endpoint.objects.get().reason])
