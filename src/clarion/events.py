"""The front door: what a site's code calls to make something known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.utils import timezone

from clarion import deliveries, fanout, runner, upkeep
from clarion.audiences import PUBLIC, Audience
from clarion.conf import settings
from clarion.exceptions import InvalidNotification, InvalidPayload, InvalidRecipient, KeyConflict
from clarion.models import AudienceChunk, Event
from clarion.realtime import frames
from clarion.realtime.brokers import publish
from clarion.realtime.frames import aside
from clarion.types import Level, Message, NotificationType, get_type

Recipients: TypeAlias = models.Model | Iterable[Any] | Audience | str
"""A user, an iterable or queryset of users, a Group, an `Audience`, or the name of one."""

_IDS_IN_A_ROW = 1000  # explicit recipients kept with the event; more go into chunks
_INLINE_LEASE = timedelta(seconds=5)  # the committing process has this long before a sweep looks


def notify(
    what: str | NotificationType,
    /,
    *,
    to: Recipients,
    actor: models.Model | None = None,
    target: models.Model | None = None,
    body: str = "",
    url: str = "",
    level: Level | str | None = None,
    key: str | None = None,
    at: datetime | None = None,
    expires: datetime | None = None,
    collapse: str = "",
    include_actor: bool = False,
) -> Event:
    """Accept a notification: one INSERT in the caller's transaction, delivered after its commit.

    Args:
        what: a notification type, or a line of text (then `body` and `url` say more).
        to: a user, an iterable or queryset of users, a Group, an `Audience` or the name of one.
        actor: who did it. Left out of the recipients, unless `include_actor`.
        target: what it is about.
        level: "info", "success", "warning", "error" or "critical"; default: the type's.
        key: makes the call idempotent for ever within the type. The same call again returns the
            first event; another one with this key is an error.
        at: send it then; `cancel()` calls it off.
        expires: archived then, or never sent when that comes first.
        collapse: repeats with this key share one live row, with a count, on top and unread again.

    Returns:
        The event, saved. It is the receipt: keep its pk to `retract()` or `cancel()`.

    Raises:
        InvalidNotification: or a subclass that says what was wrong. Nothing was written.
    """
    message = _message(what, body, url)
    event = Event(
        type=message.type,
        category=message.category,
        data=_payload(message),
        level=_known_level(message.level if level is None else level),
        expires_at=_moment("expires", expires),
        collapse_key=_short("collapse", collapse),
        include_actor=include_actor,
        key=_short("key", key) if key is not None else None,
        created_at=timezone.now(),
    )
    if actor is not None:
        event.actor = _saved("actor", actor)
    if target is not None:
        event.target = _saved("target", target)
    event.due_at = _moment("at", at) or event.created_at + _INLINE_LEASE
    event.text = _say(message, event)
    audience = _audience(to)
    if collapse and "public" in audience:
        raise InvalidNotification("collapse: an announcement stands alone; leave it out.")
    return _accept(event, audience, at)


async def anotify(what: str | NotificationType, /, *, to: Recipients, **options: Any) -> Event:
    """`notify()` for async code; same arguments."""
    return await sync_to_async(partial(notify, what, to=to, **options))()


def announce(
    what: str | NotificationType,
    /,
    *,
    actor: models.Model | None = None,
    target: models.Model | None = None,
    body: str = "",
    url: str = "",
    level: Level | str | None = None,
    key: str | None = None,
    at: datetime | None = None,
    expires: datetime | None = None,
) -> Event:
    """Tell everyone, on one row: open screens at once, each inbox when it is next read.

    Costs the same for a hundred people and for a hundred million. Arguments as in `notify()`.
    """
    return notify(
        what,
        to=PUBLIC,
        actor=actor,
        target=target,
        body=body,
        url=url,
        level=level,
        key=key,
        at=at,
        expires=expires,
    )


def toast(
    to: Recipients, message: str, *, body: str = "", url: str = "", level: Level | str = Level.INFO
) -> None:
    """Show a message on the open screens of `to` after commit. It is never stored, and may be lost.

    `to` is a user, an iterable of users, or `"everyone"` for every open screen.
    """
    content = Message(title=message, body=body, url=url).content(Event())
    frame = frames.toast(
        message=content.title, body=content.body, url=content.url, level=_known_level(level)
    )
    for topic in _topics(_audience(to)):
        transaction.on_commit(partial(publish, aside(topic, frame)), robust=True)


def _topics(audience: dict[str, Any]) -> list[str]:
    if audience == {"name": "everyone"}:
        return ["public"]
    if "users" not in audience:
        raise InvalidRecipient("to: toast() takes users, or 'everyone'.")
    return [f"inbox.{pk}" for pk in audience["users"]]


def cancel(event: Event) -> bool:
    """Call off an event that was not sent yet. Returns whether that was in time."""
    waiting = Event.objects.filter(
        pk=event.pk, due_at__isnull=False, checkpoint="", cancelled_at=None
    )
    return bool(waiting.update(due_at=None, cancelled_at=timezone.now()))


def retract(event: Event) -> int:
    """Take an event back from every inbox and screen. Returns from how many rows.

    What was not sent yet isn't sent any more.
    """
    with transaction.atomic():
        held = Event.objects.select_for_update().get(pk=event.pk)
        held.retracted_at = held.retracted_at or timezone.now()
        held.due_at = None
        held.save(update_fields=["retracted_at", "due_at"])
        deliveries.call_off_event(held, "was taken back")
        if held.public_version is not None:
            fanout.number(held)
    removed = 0
    while changed := upkeep.remove(held):
        removed += changed
    return removed


def _message(what: str | NotificationType, body: str, url: str) -> NotificationType:
    if isinstance(what, str):
        return Message(title=what, body=body, url=url)
    if not isinstance(what, NotificationType):
        raise InvalidNotification(
            f"notify() takes a text or a NotificationType, not a {type(what).__name__}."
        )
    if body or url:
        raise InvalidNotification("body and url go with a text; a type makes its own in content().")
    get_type(what.type)
    return what


def _payload(message: NotificationType) -> dict[str, Any]:
    data = message.payload()
    size = len(json.dumps(data, ensure_ascii=False).encode())
    if size > settings.PAYLOAD_LIMIT:
        raise InvalidPayload(
            f"{message.type}: the payload has {size:,} bytes, the limit is "
            f"{settings.PAYLOAD_LIMIT:,}. Store large things elsewhere and pass target=."
        )
    return data


def _known_level(level: Level | str) -> str:
    try:
        return Level(level).value
    except ValueError:
        raise InvalidNotification(f"level: {level!r} is not one of {', '.join(Level)}.") from None


def _moment(name: str, moment: datetime | None) -> datetime | None:
    if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
        raise InvalidNotification(
            f"{name}: {moment!r} is not a datetime with a time zone; see django.utils.timezone."
        )
    return moment


def _short(name: str, text: str, limit: int = 200) -> str:
    if not isinstance(text, str) or len(text) > limit:
        raise InvalidNotification(f"{name}: must be a text of at most {limit} characters.")
    return text


def _saved(name: str, instance: object) -> models.Model:
    if not isinstance(instance, models.Model) or instance.pk is None:
        raise InvalidNotification(f"{name}: {instance!r:.80} is not a saved model instance.")
    return instance


def _say(message: NotificationType, event: Event) -> str:
    """What it says now, checked while the caller can still be told that it says too much."""
    content = message.content(event)
    title, body = str(content.title), str(content.body)
    if not title.strip():
        raise InvalidNotification(f"{message.type}: the title is empty.")
    for name, text, limit in (
        ("title", title, settings.TITLE_LIMIT),
        ("body", body, settings.BODY_LIMIT),
    ):
        if len(text) > limit:
            raise InvalidNotification(
                f"{message.type}: the {name} has {len(text):,} characters, the limit is {limit:,}."
            )
    return title[:255]


def _audience(to: Recipients) -> dict[str, Any]:
    """Who is meant, as it is stored: users by id, everybody else by name."""
    user_model = get_user_model()
    if isinstance(to, str):
        to = Audience(to)
    if isinstance(to, Audience):
        if to.name == PUBLIC.name:
            return {"public": True}
        return {"name": to.name, **({"arguments": to.arguments} if to.arguments else {})}
    if isinstance(to, Group):
        return {"group": _saved("to", to).pk}
    if isinstance(to, user_model):
        return {"users": [_user_id(to)]}
    if isinstance(to, models.QuerySet):
        return {"users": _ids_of(to)}
    if isinstance(to, Iterable) and not isinstance(to, bytes | dict | models.Model):
        return {"users": _sorted({_user_id(user) for user in to})}
    raise InvalidRecipient(
        f"to: a {type(to).__name__} can't be notified. Give users, a queryset of users, a Group, "
        "an Audience or the name of one."
    )


def _ids_of(users: models.QuerySet[Any]) -> list[Any]:
    if users.model._meta.concrete_model is not get_user_model()._meta.concrete_model:
        raise InvalidRecipient(f"to: a queryset of {users.model.__name__} holds no users.")
    return _sorted(set(users.order_by().values_list("pk", flat=True)))


def _user_id(user: Any) -> Any:
    if not isinstance(user, get_user_model()):
        raise InvalidRecipient(f"to: {user!r:.80} is not a user of this site.")
    if user.pk is None:
        raise InvalidRecipient(f"to: {user!r:.80} is not saved yet.")
    return user.pk


def _sorted(ids: set[Any]) -> list[Any]:
    return [pk if isinstance(pk, int | str) else str(pk) for pk in sorted(ids)]


def _accept(event: Event, audience: dict[str, Any], at: datetime | None) -> Event:
    ids = audience.get("users", [])
    if event.key is not None:
        event.fingerprint = _fingerprint(event, audience, at)
    if len(ids) <= _IDS_IN_A_ROW:
        event.audience = audience
        event = _insert(event)
    else:
        event = _insert_chunked(event, ids)
    if at is None or at <= timezone.now():
        transaction.on_commit(partial(_deliver, event), robust=True)
    return event


def _insert(event: Event) -> Event:
    """One INSERT; with a key, ON CONFLICT DO NOTHING and a look at what is there."""
    if event.key is None:
        event.save(force_insert=True)
        return event
    Event.objects.bulk_create([event], ignore_conflicts=True)
    first = Event.objects.get(type=event.type, key=event.key)
    if first.fingerprint != event.fingerprint:
        raise KeyConflict(
            f"key {event.key!r} of {event.type} was used on {first.created_at:%Y-%m-%d %H:%M} for "
            "something else. Use another key for another notification."
        )
    return first


def _insert_chunked(event: Event, ids: list[Any]) -> Event:
    event.audience = {"chunks": len(ids)}
    with transaction.atomic():
        first = _insert(event)
        if not first.chunks.exists():
            AudienceChunk.objects.bulk_create(
                [
                    AudienceChunk(event=first, position=at, ids=ids[at : at + settings.CHUNK_SIZE])
                    for at in range(0, len(ids), settings.CHUNK_SIZE)
                ],
                batch_size=10,
            )
    return first


def _fingerprint(event: Event, audience: dict[str, Any], at: datetime | None) -> str:
    """A digest of everything that makes it this notification, and no other."""
    facts = [
        event.type,
        event.data,
        event.level,
        _identity(event.actor),
        _identity(event.target),
        audience,
        at.isoformat() if at else None,
        event.expires_at.isoformat() if event.expires_at else None,
        event.collapse_key,
        event.include_actor,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _identity(instance: models.Model | None) -> list[str] | None:
    return None if instance is None else [instance._meta.label_lower, str(instance.pk)]


def _deliver(event: Event) -> None:
    """After commit: small audiences at once and here, the rest and what fails by the runner."""
    done = False
    try:
        done = settings.INLINE_LIMIT > 0 and fanout.run(event, limit=settings.INLINE_LIMIT)
    finally:
        if not done:
            Event.objects.filter(pk=event.pk, due_at__isnull=False).update(due_at=timezone.now())
            runner.wake()
