"""Events, and what they become on screen."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from clarion.types import Level


def new_epoch() -> str:
    """A name for one unbroken history of versions."""
    return secrets.token_hex(4)


class Event(models.Model):
    """It happened, once. The row is the transactional outbox: what is committed is delivered."""

    type = models.CharField(_("type"), max_length=100, default="message", db_default="message")
    category = models.CharField(
        _("category"), max_length=100, blank=True, default="", db_default=""
    )
    data = models.JSONField(_("data"), default=dict, db_default={}, blank=True)
    level = models.CharField(
        _("level"),
        max_length=10,
        choices=[(level.value, level.name.title()) for level in Level],
        default=Level.INFO,
        db_default=Level.INFO.value,
    )
    text = models.CharField(
        _("text"),
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("What it said when it was sent; shown should its type be gone."),
    )

    actor_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    actor_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    actor = GenericForeignKey("actor_type", "actor_id")
    target_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    target_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    target = GenericForeignKey("target_type", "target_id")

    audience = models.JSONField(
        _("audience"),
        default=dict,
        db_default={},
        help_text=_('{"users": [1, 2]}, {"group": 3}, {"name": "teachers"} or {"public": true}'),
    )
    include_actor = models.BooleanField(default=False, db_default=False)
    key = models.CharField(_("key"), max_length=200, null=True, blank=True)  # noqa: DJ001 - unique
    fingerprint = models.CharField(max_length=64, blank=True, default="", db_default="")
    collapse_key = models.CharField(max_length=200, blank=True, default="", db_default="")

    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now())
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    due_at = (
        models.DateTimeField(  # also the lease: a claim moves it ahead; null: nothing left to do
            _("due"), null=True, blank=True, default=timezone.now, db_default=Now()
        )
    )
    # how far the fan-out came: the last recipient's key, or how many of the named ones
    checkpoint = models.CharField(max_length=64, blank=True, default="", db_default="")
    notified = models.PositiveIntegerField(default=0, db_default=0)
    skipped = models.PositiveIntegerField(default=0, db_default=0)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    retracted_at = models.DateTimeField(null=True, blank=True)
    public_version = models.PositiveBigIntegerField(null=True, blank=True)

    count = 1  # of the repeats collapsed into the row that is being rendered
    actor_count = 1  # different ones among them

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(fields=["type", "key"], name="clarion_event_key"),
            models.UniqueConstraint(fields=["public_version"], name="clarion_event_public"),
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="clarion_event_due", condition=Q(due_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type

    @property
    def is_public(self) -> bool:
        return bool(self.audience.get("public"))

    @property
    def actor_key(self) -> str:
        """The actor, as it is told from others; "" for none."""
        return f"{self.actor_type_id}:{self.actor_id}" if self.actor_type_id else ""

    @property
    def who(self) -> str:
        """Who did it, as a sentence begins: "Ada", "Ada and 3 others", "Somebody"."""
        if self.actor is None:
            return str(_("Somebody"))
        others = self.actor_count - 1
        if not others:
            return str(self.actor)
        said = ngettext("%(name)s and %(n)d other", "%(name)s and %(n)d others", others)
        return said % {"name": self.actor, "n": others}

    @property
    def actor_user_id(self) -> str | None:
        """The primary key of the actor as text, when the actor is a user."""
        if self.actor_type_id is None:
            return None
        actor_model = ContentType.objects.get_for_id(self.actor_type_id).model_class()
        return self.actor_id if actor_model is get_user_model() else None


class AudienceChunk(models.Model):
    """Part of the recipients of an event that names very many of them."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="chunks", db_index=False)
    position = models.PositiveIntegerField()
    ids = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "position"], name="clarion_audiencechunk_once")
        ]

    def __str__(self) -> str:
        return f"{self.event_id}[{self.position}]"


LISTED = Q(archived_at__isnull=True, removed_at__isnull=True, snoozed_until__isnull=True)
UNREAD = LISTED & Q(read_at__isnull=True)
UNSEEN = LISTED & Q(seen_at__isnull=True)
ARCHIVED = Q(archived_at__isnull=False, removed_at__isnull=True)
SNOOZED = Q(archived_at__isnull=True, removed_at__isnull=True, snoozed_until__isnull=False)
NEWEST_FIRST = ("-pinned", "-arrived_at", "-id")
_BY_RECIPIENT = ["recipient", *NEWEST_FIRST]


class Notification(models.Model):
    """An event concerns a recipient. State is independent timestamps, never an enum."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="notifications", db_index=False)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="clarion_notifications",
        db_index=False,
    )
    version = models.PositiveBigIntegerField(null=True, editable=False)  # null: not stamped yet
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now())
    arrived_at = models.DateTimeField(
        _("arrived"), default=timezone.now, db_default=Now()
    )  # what lists are sorted by
    count = models.PositiveIntegerField(default=1, db_default=1)
    members = models.JSONField(default=list, db_default=[], blank=True)  # collapsed event ids
    actors = models.JSONField(default=list, db_default=[], blank=True)  # different ones of them
    collapse_key = models.CharField(max_length=310, blank=True, default="", db_default="")
    pinned = models.BooleanField(default=False, db_default=False)
    seen_at = models.DateTimeField(_("seen"), null=True, blank=True)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)  # a tombstone, until it is pruned
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "recipient"], name="clarion_notification_once"
            ),
        ]
        indexes = [
            models.Index(fields=["recipient", "version"], name="clarion_notif_change"),
            models.Index(fields=_BY_RECIPIENT, name="clarion_notif_listed", condition=LISTED),
            models.Index(fields=_BY_RECIPIENT, name="clarion_notif_unread", condition=UNREAD),
            models.Index(fields=_BY_RECIPIENT, name="clarion_notif_archived", condition=ARCHIVED),
            models.Index(
                fields=["collapse_key", "recipient"],
                name="clarion_notif_collapse",
                condition=~Q(collapse_key="")
                & Q(archived_at__isnull=True, removed_at__isnull=True),
            ),
            models.Index(
                fields=["id"], name="clarion_notif_unstamped", condition=Q(version__isnull=True)
            ),
            models.Index(fields=_BY_RECIPIENT, name="clarion_notif_snoozed", condition=SNOOZED),
            models.Index(fields=["snoozed_until"], name="clarion_notif_wakes", condition=SNOOZED),
            models.Index(
                fields=["expires_at"],
                name="clarion_notif_expires",
                condition=Q(
                    expires_at__isnull=False, archived_at__isnull=True, removed_at__isnull=True
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.recipient_id}"

    @property
    def is_listed(self) -> bool:
        return self.archived_at is None and self.removed_at is None and self.snoozed_until is None


class Inbox(models.Model):
    """A recipient's counters, and the version that every change of a row of theirs raises."""

    recipient = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="clarion_inbox",
    )
    epoch = models.CharField(max_length=12, default=new_epoch)
    version = models.PositiveBigIntegerField(default=0, db_default=0)
    floor = models.PositiveBigIntegerField(default=0, db_default=0)  # below it rows were pruned
    unread = models.PositiveIntegerField(default=0, db_default=0)
    unseen = models.PositiveIntegerField(default=0, db_default=0)
    announced = models.PositiveBigIntegerField(default=0, db_default=0)  # of the public stream
    delivered = models.PositiveBigIntegerField(
        default=0, db_default=0
    )  # version a client confirmed
    active_at = models.DateTimeField(null=True, blank=True)  # when its owner last did something

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")

    def __str__(self) -> str:
        return f"inbox of {self.recipient_id}: {self.epoch}.{self.version}"


class PublicStream(models.Model):
    """The one row that numbers the announcements."""

    epoch = models.CharField(max_length=12, default=new_epoch)
    version = models.PositiveBigIntegerField(default=0, db_default=0)
    floor = models.PositiveBigIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name = _("public stream")
        verbose_name_plural = _("public stream")

    def __str__(self) -> str:
        return f"public: {self.epoch}.{self.version}"


def iso(moment: datetime | None) -> str | None:
    """A time as clients read it: UTC, ISO 8601, milliseconds."""
    if moment is None:
        return None
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"
