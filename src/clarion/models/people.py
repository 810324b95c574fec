"""What people chose: channels, targets they follow or muted, and hours. Only explicit choices."""

from __future__ import annotations

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Preference(models.Model):
    """An explicit choice of a recipient; where there is none, the defaults hold."""

    class Value(models.TextChoices):
        OFF = "off", _("Off")
        INSTANT = "instant", _("At once")
        DIGEST = "digest", _("Digest")
        NEVER = "never", _("Unsubscribed")

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="clarion_preferences",
        db_index=False,
    )
    scope = models.CharField(  # "type:assignment.due", "category:assignments" or "*"
        max_length=120
    )
    channel = models.CharField(max_length=50)
    value = models.CharField(max_length=10, choices=Value)

    class Meta:
        verbose_name = _("preference")
        verbose_name_plural = _("preferences")
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "scope", "channel"], name="clarion_preference_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.recipient_id} {self.scope} {self.channel}: {self.value}"


class PreferenceChange(models.Model):
    """Who changed what, when and where: written once, never changed."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="clarion_preference_changes"
    )
    subject = models.CharField(max_length=200)  # "category:grades by email", "schedule", a target
    old = models.CharField(max_length=500, blank=True, default="")
    new = models.CharField(max_length=500, blank=True, default="")
    source = models.CharField(max_length=50)  # "code", "preferences page", "one-click unsubscribe"
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("preference change")
        verbose_name_plural = _("preference changes")

    def __str__(self) -> str:
        return f"{self.recipient_id} {self.subject}: {self.old or '-'} to {self.new or '-'}"


class Subscription(models.Model):
    """A recipient follows a target, or has muted it."""

    class State(models.TextChoices):
        FOLLOW = "follow", _("Followed")
        MUTE = "mute", _("Muted")

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="clarion_subscriptions",
        db_index=False,
    )
    target_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+", db_index=False)
    target_id = models.CharField(max_length=64)
    target = GenericForeignKey("target_type", "target_id")
    state = models.CharField(max_length=10, choices=State)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            models.UniqueConstraint(
                fields=["target_type", "target_id", "recipient"], name="clarion_subscription_once"
            )
        ]
        indexes = [models.Index(fields=["recipient"], name="clarion_subscription_person")]

    def __str__(self) -> str:
        return f"{self.recipient_id} {self.state}s {self.target_type_id}:{self.target_id}"


class Schedule(models.Model):
    """When a person wants to be reached. No row: always, with the site's digests."""

    recipient = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="clarion_schedule",
    )
    zone = models.CharField(_("time zone"), max_length=64, blank=True, default="")
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    # [{"start": "22:00", "end": "07:00", "days": [0, 1, 2, 3, 4]}]; days may be left out
    quiet = models.JSONField(_("quiet hours"), default=list, blank=True)
    # {channel: windows} in which alone it may send
    allowed = models.JSONField(_("send windows"), default=dict, blank=True)
    digest = models.CharField(
        _("digest"),
        max_length=10,
        blank=True,
        default="",
        choices=[("hourly", _("Every hour")), ("daily", _("Daily")), ("weekly", _("Weekly"))],
    )
    digest_at = models.TimeField(_("at"), null=True, blank=True)
    digest_day = models.PositiveSmallIntegerField(_("on"), default=0)  # Monday

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")

    def __str__(self) -> str:
        return f"schedule of {self.recipient_id}"
