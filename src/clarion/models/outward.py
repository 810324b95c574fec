"""What leaves the screen: where to, what became of it, and every try."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clarion.models.inside import Event, Notification


class Endpoint(models.Model):
    """Where a channel finds somebody: an address, a push subscription, a URL.

    Without a recipient it is a team's: it gets what concerns its group, or everything, of the
    types it asks for.
    """

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="clarion_endpoints",
        db_index=False,
    )
    group = models.ForeignKey(
        "auth.Group", models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    channel = models.CharField(_("channel"), max_length=50)
    address = models.CharField(_("address"), max_length=1000)
    digest = models.CharField(max_length=64, editable=False)  # of the address, to find it by
    label = models.CharField(_("name"), max_length=100, blank=True, default="")
    types = models.JSONField(
        _("types"),
        default=list,
        blank=True,
        help_text=_('For a team: ["grade.*", "notice.posted"]; empty means all.'),
    )
    data = models.JSONField(default=dict, blank=True)  # keys and secrets of the channel
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now())
    used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="")

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "channel", "digest"], name="clarion_endpoint_once"
            )
        ]
        indexes = [models.Index(fields=["channel", "digest"], name="clarion_endpoint_address")]

    def __str__(self) -> str:
        return f"{self.channel}: {self.label or self.pk}"  # addresses may be secrets

    def save(self, **options: Any) -> None:
        self.digest = digest_of(self.address)
        super().save(**options)


@lru_cache(1024)
def digest_of(address: str) -> str:
    """What an address is found by, whatever its length and case."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


class Delivery(models.Model):
    """An event for one recipient on one channel: when, what became of it, and why."""

    class Outcome(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        SKIPPED = "skipped", _("Skipped")
        FAILED = "failed", _("Failed")

    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries", db_index=False)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="clarion_deliveries",
        db_index=False,
    )
    endpoint = models.ForeignKey(  # of a team, which has no recipient
        Endpoint, models.CASCADE, null=True, related_name="deliveries", db_index=False
    )
    notification = models.ForeignKey(  # may be gone: pruning doesn't wait for deliveries
        Notification,
        models.DO_NOTHING,
        null=True,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
    )
    channel = models.CharField(_("channel"), max_length=50, default="inbox", db_default="inbox")
    outcome = models.CharField(
        _("outcome"),
        max_length=20,
        choices=Outcome,
        default=Outcome.PENDING,
        db_default=Outcome.PENDING.value,
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="", db_default="")
    decision = models.CharField(  # why it was wanted, when it was made
        _("decision"), max_length=300, blank=True, default="", db_default=""
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now())
    due_at = models.DateTimeField(_("due"), null=True, blank=True)  # also the lease
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    claim = models.CharField(max_length=12, blank=True, default="", db_default="")  # whose lease
    bulk = models.BooleanField(default=False, db_default=False)  # waits behind what is not
    # What goes as one: its first row leads, has the due time, and the others follow it.
    window = models.CharField(max_length=150, blank=True, default="", db_default="")
    leader = models.ForeignKey(  # its event may be deleted: the next one leads then
        "self",
        models.DO_NOTHING,
        null=True,
        related_name="followers",
        db_constraint=False,
        db_index=False,
    )
    closed_at = models.DateTimeField(null=True, blank=True)  # first taken; nobody joins any more

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "recipient", "channel"], name="clarion_delivery_once"
            ),
            models.UniqueConstraint(fields=["event", "endpoint"], name="clarion_delivery_team"),
            # Accounted: what is pending has a time or somebody to follow, what is settled neither.
            models.CheckConstraint(
                condition=Q(outcome="pending", due_at__isnull=False, leader__isnull=True)
                | Q(outcome="pending", due_at__isnull=True, leader__isnull=False)
                | (~Q(outcome="pending") & Q(due_at__isnull=True)),
                name="clarion_delivery_accounted",
            ),
        ]
        indexes = [
            models.Index(
                fields=["bulk", "due_at"],
                name="clarion_delivery_due",
                condition=Q(due_at__isnull=False),
            ),
            models.Index(
                fields=["recipient", "channel", "settled_at"], name="clarion_delivery_person"
            ),
            models.Index(
                fields=["leader"],
                name="clarion_delivery_followers",
                condition=Q(leader__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        whom = self.recipient_id if self.endpoint_id is None else f"endpoint {self.endpoint_id}"
        return f"{self.event_id} to {whom} by {self.channel}: {self.outcome}"


class Attempt(models.Model):
    """One try to hand over what a delivery leads. Written once, never changed."""

    class Outcome(models.TextChoices):
        DELIVERED = "delivered", _("Delivered")
        TRANSIENT = "transient", _("To be tried again")
        PERMANENT = "permanent", _("Failed for good")

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="tries")
    number = models.PositiveSmallIntegerField()
    channel = models.CharField(max_length=50)  # another one than the delivery's after a failover
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, null=True, db_constraint=False, db_index=False,
        related_name="+",
    )  # fmt: skip
    address = models.CharField(max_length=64)  # its digest
    outcome = models.CharField(max_length=20, choices=Outcome)
    detail = models.CharField(max_length=300, blank=True, default="")
    reference = models.CharField(max_length=200, blank=True, default="")  # the other side's id
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        indexes = [
            models.Index(
                fields=["reference"],
                name="clarion_attempt_reference",
                condition=~Q(reference=""),
            )
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id}, attempt {self.number}: {self.outcome}"
