"""What notification types look like: made of their examples, without a row in the database.

The gallery and `clarion.testing` show and compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from django.conf import settings as django_settings
from django.db import models
from django.utils import timezone

from clarion import envelopes, items
from clarion.channels.base import Address, Channel, Envelope, Preview, get_channel
from clarion.channels.memory import MemoryChannel
from clarion.models import Delivery, Event, Notification
from clarion.parcels import Parcel
from clarion.types import NotificationType, get_type

MADE_AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""When every example happened, so that what shows it stays the same."""

What: TypeAlias = type[NotificationType] | NotificationType
"""A type, which is shown by its example, or an instance of one."""


def languages() -> list[str]:
    """The codes of the site's languages; just its own, where LANGUAGES is not set."""
    if django_settings.USE_I18N and django_settings.is_overridden("LANGUAGES"):
        return [code for code, _ in django_settings.LANGUAGES]
    return [django_settings.LANGUAGE_CODE]


def envelope(
    what: What | Sequence[What],
    *,
    recipient: Any = None,
    channel: str | Channel = "memory",
    address: Address | None = None,
    language: str | None = None,
    zone: ZoneInfo | None = None,
    count: int | None = None,
    kind: str = "digest",
    actor: models.Model | None = None,
    target: models.Model | None = None,
) -> Envelope:
    """An envelope as the outbox hands it to a channel.

    Args:
        what: a type or an instance, or several that go as one.
        recipient: a user, saved or not; None for an endpoint of a team.
        channel: a channel or its alias.
        address: where it goes; default: a made-up one.
        language: of the texts; None: the active one.
        zone: of the recipient; None: UTC.
        count: how many go as one; `what` is repeated until there are so many.
        kind: "batch", "digest", "quiet" or "burst", where there is more than one.
        actor: who did it. Saved, as the target is.
        target: what they are about.

    Raises:
        UnknownType: it isn't registered.
        Exception: whatever the type's `content()` raises.
    """
    given = list(what) if isinstance(what, Sequence) else [what]
    wanted = [given[number % len(given)] for number in range(count or len(given))]
    sender = channel if isinstance(channel, Channel) else MemoryChannel(alias=channel)
    zone = zone or ZoneInfo("UTC")
    with items.speaking(language), timezone.override(zone):
        events = [event(each, number, actor, target) for number, each in enumerate(wanted, 1)]
        parcel = _parcel(events, kind)
        sealed = envelopes.seal(parcel, address or Address(value="example"), sender, zone, {})
    return replace(sealed, recipient=recipient, language=language)


def event(
    what: What,
    number: int = 1,
    actor: models.Model | None = None,
    target: models.Model | None = None,
) -> Event:
    """The event that notifying somebody of it would make, in the active language; not saved."""
    message = what if isinstance(what, NotificationType) else what.from_payload(what.example)
    get_type(message.type)
    made = Event(
        pk=number,
        type=message.type,
        category=message.category,
        level=message.level,
        data=message.payload(),
        created_at=MADE_AT,
    )
    if actor is not None:
        made.actor = actor
    if target is not None:
        made.target = target
    made.text = str(message.content(made).title)  # `items` would hide what goes wrong in there
    return made


def _parcel(events: Sequence[Event], kind: str) -> Parcel:
    rows = [
        Delivery(
            pk=each.pk,
            event=each,
            notification_id=each.pk,
            window=f"{kind}:example",
            attempts=1,
        )
        for each in events
    ]
    return Parcel(rows[0], rows)


def item(
    what: What,
    *,
    language: str | None = None,
    actor: models.Model | None = None,
    target: models.Model | None = None,
) -> items.Item:
    """The row in the inbox, unread, as clients see it."""
    with items.speaking(language):
        made = event(what, actor=actor, target=target)
        row = Notification(pk=0, event=made, created_at=MADE_AT, arrived_at=MADE_AT)
        return items.render(row)


def preview(envelope: Envelope) -> Preview:
    """What the envelope's channel would say, in the language and time zone of the envelope."""
    with items.speaking(envelope.language), timezone.override(envelope.zone):
        return get_channel(envelope.channel).preview(envelope)
