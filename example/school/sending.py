"""A notice goes out: the row that people open, and the notification that leads them to it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from clarion import notify, retract
from clarion.events import Recipients
from school.models import Notice, User
from school.notifications import NoticePosted


@dataclass(frozen=True)
class Addressees:
    """Who gets it, and what they are called in a sentence: "all teachers"."""

    to: Recipients
    label: str


def send(author: User, to: Addressees, *, key: str | None = None, **fields: str) -> Notice:
    """Post a notice with `fields` title, body, link and level.

    `key` makes it idempotent: a repeat returns the first notice.

    Raises:
        InvalidNotification: Clarion refused it; nothing was written.
    """
    with transaction.atomic():
        if key is not None and (first := _sent_before(key)):
            return first
        notice = Notice.objects.create(
            author=author, audience=to.label, created_at=timezone.now(), **fields
        )
        message = NoticePosted(title=notice.title, body=notice.body, link=notice.link)
        notice.event = notify(
            message, to=to.to, actor=author, target=notice, level=notice.level, key=key
        )
        notice.save(update_fields=["event"])
    return notice


def _sent_before(key: str) -> Notice | None:
    return Notice.objects.filter(event__type=NoticePosted.type, event__key=key).first()


def take_back(notice: Notice) -> None:
    """Remove a notice, and what was said about it, from every inbox and open screen."""
    if notice.event is not None:
        retract(notice.event)
    notice.delete()
