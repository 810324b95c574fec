"""What staff see of deliveries: everything but secrets, and a way to send again."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from clarion import notify, outbox, reach
from clarion.exceptions import PermanentFailure
from clarion.models import Delivery
from tests import outward
from tests.outward import Graded, site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def failed(alice):
    outward.failing.clear()
    with outward.registered(), site(CHANNELS={"email": {"BACKEND": "tests.outward.Fragile"}}):
        outward.failing["email"] = PermanentFailure("refused")
        notify(Graded(), to=alice)
        outbox.deliver_due()
        outward.failing.clear()
        yield Delivery.objects.get()


def test_what_failed_is_sent_again_from_the_list(staff, failed):
    address = reverse("admin:clarion_delivery_changelist")

    staff.post(address, {"action": "send_again", "_selected_action": [failed.pk]})
    outbox.deliver_due()

    failed.refresh_from_db()
    assert failed.outcome == "delivered"


@pytest.mark.parametrize(
    "model",
    ["event", "notification", "delivery", "attempt", "endpoint", "preference",
     "preferencechange", "schedule"],
)  # fmt: skip
def test_every_list_opens(staff, failed, model):
    assert staff.get(reverse(f"admin:clarion_{model}_changelist")).status_code == 200


def test_addresses_and_keys_of_endpoints_are_not_shown(staff, alice):
    with site():
        endpoint = reach.add(alice, "sms", "token-abc", data={"auth": "key-def"})

    page = staff.get(reverse("admin:clarion_endpoint_change", args=[endpoint.pk])).content.decode()

    assert "token-abc" not in page
    assert "key-def" not in page
