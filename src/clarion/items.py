"""A row as clients see it: plain JSON values, rendered in one person's language.

Rendering never fails: a vanished target, a type that is gone or a `content()` that raises shows the
text that was stored when the event was accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import translation
from django.utils.module_loading import import_string

from clarion.conf import settings
from clarion.models import Event, Notification, iso
from clarion.types import Content, get_type

logger = logging.getLogger("clarion")

Item = dict[str, Any]


def render(notification: Notification, language: str | None = None) -> Item:
    """Return the item of one row. `language` None: the active one."""
    if notification.removed_at is not None:
        return {"id": notification.pk, "version": notification.version, "removed": True}
    return {
        "id": notification.pk,
        "version": notification.version or 0,  # not stamped yet: older than any change
        **face(notification.event, language, notification.count, len(notification.actors)),
        "created_at": iso(notification.created_at),
        "arrived_at": iso(notification.arrived_at),
        "seen": notification.seen_at is not None,
        "read": notification.read_at is not None,
        "archived": notification.archived_at is not None,
        "pinned": notification.pinned,
        "snoozed_until": iso(notification.snoozed_until),
        "expires_at": iso(notification.expires_at),
    }


def render_public(event: Event, language: str | None = None) -> Item:
    """Return the item of an announcement, which has no state of a person."""
    item_id = f"a{event.pk}"
    if event.retracted_at is not None:
        return {"id": item_id, "version": event.public_version, "removed": True}
    return {
        "id": item_id,
        "version": event.public_version,
        **face(event, language),
        "created_at": iso(event.created_at),
        "arrived_at": iso(event.created_at),
        "seen": False,
        "read": False,
        "archived": False,
        "pinned": False,
        "snoozed_until": None,
        "expires_at": iso(event.expires_at),
    }


def render_all(notifications: Sequence[Notification], language: str | None = None) -> list[Item]:
    """Return the items of many rows, with one query for each kind of actor and target."""
    prefetch(notification.event for notification in notifications)
    return [render(notification, language) for notification in notifications]


def prefetch(events: Iterable[Event]) -> None:
    """Load actors and targets: one query for each model among them."""
    models.prefetch_related_objects(list(events), "actor", "target")


def face(event: Event, language: str | None = None, count: int = 1, actors: int = 1) -> Item:
    """The part of an item that is the same for all recipients of an event."""
    content = content_of(event, language, count, actors)
    return {
        "event": event.pk,
        "type": event.type,
        "category": event.category,
        "level": event.level,
        "message": content.title,
        "title": content.title,
        "body": content.body,
        "url": content.url,
        "image": content.image,
        "actions": [
            {"label": str(action.label), "url": action.url, "method": action.method}
            for action in content.actions
        ],
        "actor": {"name": name_of(event.actor)} if event.actor is not None else None,
        "count": count,
    }


def content_of(
    event: Event, language: str | None = None, count: int = 1, actors: int = 1
) -> Content:
    """What the event says now, or the text stored with it when that can't be made any more."""
    event.count, event.actor_count = count, max(actors, 1)
    try:
        with speaking(language):
            content = get_type(event.type).from_payload(event.data).content(event)
            return Content(  # lazy translations become text while the language is active
                title=str(content.title)[: settings.TITLE_LIMIT],
                body=str(content.body)[: settings.BODY_LIMIT],
                url=content.url,
                image=content.image,
                actions=[*content.actions],
            )
    except Exception as error:  # noqa: BLE001 - whatever a site's content() may raise
        logger.warning("event %s (%s) shows its stored text: %r", event.pk, event.type, type(error))
        return Content(title=event.text or event.type)


def name_of(actor: models.Model) -> str:
    """How an actor is called on screen."""
    full_name = actor.get_full_name() if isinstance(actor, AbstractUser) else ""
    return full_name or str(actor)


def language_of(recipient: models.Model) -> str | None:
    """The language that RECIPIENT_LANGUAGE names for this person; None without the setting."""
    if settings.RECIPIENT_LANGUAGE is None:
        return None
    language = import_string(settings.RECIPIENT_LANGUAGE)(recipient)
    return str(language) if language else None


def speaks() -> bool:
    """Whether texts are made in each recipient's own language."""
    return settings.RECIPIENT_LANGUAGE is not None


def speaking(language: str | None) -> AbstractContextManager[None]:
    return translation.override(language) if language else nullcontext()
