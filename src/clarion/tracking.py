"""What a mail service says later of mails it took: delivered, bounced, complained about.

django-anymail turns the webhooks of the services into one signal; this is its receiver. Events may
come twice, late, or about mail that isn't ours.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import transaction

from clarion import preferences, reach
from clarion.channels.base import get_channel
from clarion.channels.email import METADATA
from clarion.conf import settings
from clarion.decisions import ANY, NEVER
from clarion.models import Attempt, Delivery, Endpoint, digest_of

_FAILED = ("bounced", "rejected")
_OTHERWISE = {
    "delivered": "confirmed: delivered",
    "complained": "complained: reported as spam",
    "unsubscribed": "unsubscribed at the mail service",
}
_GONE = (None, "bounced", "invalid", "spam")  # reasons that say something about the address
_SOFT = ("soft", "transient", "temporary")


def connect() -> None:
    """Listen, where django-anymail is an app of the site."""
    if apps.is_installed("anymail"):
        signal = import_module("anymail.signals").tracking
        signal.connect(tracked, dispatch_uid="clarion.tracked")


def tracked(event: Any, **_: Any) -> None:
    """Receive an `AnymailTrackingEvent`. What isn't known or was told before changes nothing."""
    happened = event.event_type
    if happened not in (*_FAILED, *_OTHERWISE):
        return
    attempt = _attempt_of(event)
    if attempt is None or attempt.channel not in settings.CHANNELS:
        return
    told = _wording(event)
    with transaction.atomic():
        if not _note(attempt, told, failed=happened in _FAILED):
            return
        if happened in _FAILED:
            _fail(attempt, told)
        if happened == "complained" or (happened in _FAILED and _is_gone(event)):
            _retire(attempt, event.recipient, told)
        if happened in ("complained", "unsubscribed"):
            _switch_off(attempt, "complaint" if happened == "complained" else "mail service")


def _wording(event: Any) -> str:
    """A reason for people. What the receiving server said is left out: it may quote addresses."""
    if event.event_type in _OTHERWISE:
        return _OTHERWISE[event.event_type]
    kind = "for now" if _is_soft(event.esp_event) else event.reject_reason or "no reason given"
    return f"{event.event_type}: {kind}"


def _attempt_of(event: Any) -> Attempt | None:
    """The try that the event is about: by the service's message id, else by our own."""
    tries = Attempt.objects.select_related("delivery").order_by("pk")
    if event.message_id:
        found = tries.filter(reference=str(event.message_id)[:200]).first()
        if found is not None:
            return found
    delivery = str((event.metadata or {}).get(METADATA, "")).partition("-")[0]
    if not (delivery.isascii() and delivery.isdigit() and len(delivery) < 19):
        return None
    mine = tries.filter(delivery=int(delivery))
    return mine.filter(address=digest_of(event.recipient or "")).first() or mine.first()


def _note(attempt: Attempt, told: str, *, failed: bool) -> bool:
    """Put it on record as an attempt. False: it was there already."""
    said = {"delivery": attempt.delivery, "address": attempt.address, "detail": told}
    if Attempt.objects.filter(**said).exists():
        return False
    outcome = Attempt.Outcome.PERMANENT if failed else Attempt.Outcome.DELIVERED
    Attempt.objects.create(
        **said,
        number=attempt.number,
        channel=attempt.channel,
        endpoint=attempt.endpoint,
        outcome=outcome,
        reference=attempt.reference,
    )
    return True


def _fail(attempt: Attempt, told: str) -> None:
    """The delivery has failed, unless another address of the same person got it."""
    delivery = attempt.delivery
    bounced = delivery.tries.filter(outcome=Attempt.Outcome.PERMANENT).values("address")
    others = delivery.tries.filter(outcome=Attempt.Outcome.DELIVERED).exclude(address__in=bounced)
    changed: dict[str, str] = {"reason": told}
    if others.exists():
        changed = {"reason": f"delivered, but also: {told}"}
    else:
        changed["outcome"] = Delivery.Outcome.FAILED
    together = Delivery.objects.filter(pk=delivery.pk) | Delivery.objects.filter(leader=delivery.pk)
    together.filter(outcome=Delivery.Outcome.DELIVERED).update(**changed)


def _is_gone(event: Any) -> bool:
    return event.reject_reason in _GONE and not _is_soft(event.esp_event)


def _is_soft(raw: Any) -> bool:
    """Anymail's bounces are soft ones too; the services say so in fields of these names."""
    if not isinstance(raw, dict):
        return False
    for name, value in raw.items():
        if isinstance(value, dict) and _is_soft(value):
            return True
        kind = str(name).lower() in ("type", "event", "bouncetype", "bounce_type")
        if kind and isinstance(value, str) and any(word in value.lower() for word in _SOFT):
            return True
    return False


def _retire(attempt: Attempt, told_address: str | None, reason: str) -> None:
    """Nothing more is sent there, neither by this channel nor by the one it took over from."""
    address = _address_of(attempt) or told_address
    for channel in {attempt.channel, attempt.delivery.channel} if address else ():
        reach.retire(channel, str(address), reason, recipient=attempt.delivery.recipient_id)


def _address_of(attempt: Attempt) -> str:
    """The address as we have it: a service may write it in another way."""
    if attempt.endpoint_id is not None:
        stored = Endpoint.objects.filter(pk=attempt.endpoint_id).first()
        return stored.address if stored is not None else ""
    recipient = attempt.delivery.recipient
    address = get_channel(attempt.channel).address_of(recipient) if recipient else ""
    return address if digest_of(address) == attempt.address else ""


def _switch_off(attempt: Attempt, source: str) -> None:
    recipient = attempt.delivery.recipient_id
    if recipient is not None:
        preferences.choose(recipient, ANY, NEVER, attempt.delivery.channel, source=source)
