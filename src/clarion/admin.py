"""What staff see: events and notifications, quick on large tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from clarion import outbox, runner
from clarion.models import (
    Attempt,
    Delivery,
    Endpoint,
    Event,
    Notification,
    Preference,
    PreferenceChange,
    Schedule,
)

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin


class _Large(_Admin):
    """No COUNT(*), no form with a list of every user."""

    show_full_result_count = False
    list_per_page = 50


@admin.register(Event)
class EventAdmin(_Large):
    list_display = ("id", "type", "text", "level", "created_at", "due_at", "notified", "skipped")
    list_filter = ("level", "type")
    search_fields = ("text", "=key")
    readonly_fields = ("checkpoint", "notified", "skipped", "fingerprint", "public_version")


@admin.register(Notification)
class NotificationAdmin(_Large):
    list_display = ("id", "event", "recipient", "arrived_at", "seen_at", "read_at", "archived_at")
    list_select_related = ("event", "recipient")
    raw_id_fields = ("event", "recipient")
    readonly_fields = ("version", "members", "delivered_at", "removed_at")


class _ReadOnly(_Large):
    """Written by Clarion alone."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(_ReadOnly):
    list_display = ("id", "event", "recipient", "channel", "outcome", "reason", "due_at")
    list_select_related = ("event", "recipient")
    list_filter = ("channel", "outcome")
    actions = ("send_again",)

    @admin.action(description=_("Send again what has failed"))
    def send_again(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        number = outbox.retry(rows)
        runner.wake()
        self.message_user(
            request, ngettext("%d delivery is sent again.", "%d are sent again.", number) % number
        )


@admin.register(Attempt)
class AttemptAdmin(_ReadOnly):
    list_display = ("id", "delivery", "number", "channel", "outcome", "detail", "at")
    list_filter = ("channel", "outcome")


@admin.register(Endpoint)
class EndpointAdmin(_ReadOnly):
    """Without addresses and keys: some of them are secrets."""

    list_display = ("id", "recipient", "group", "channel", "label", "used_at", "retired_at")
    list_select_related = ("recipient", "group")
    list_filter = ("channel",)
    exclude = ("address", "digest", "data")


@admin.register(Preference)
class PreferenceAdmin(_Large):
    list_display = ("recipient", "scope", "channel", "value")
    raw_id_fields = ("recipient",)


@admin.register(PreferenceChange)
class PreferenceChangeAdmin(_ReadOnly):
    list_display = ("recipient", "subject", "old", "new", "source", "at")


@admin.register(Schedule)
class ScheduleAdmin(_Large):
    list_display = ("recipient", "zone", "paused_until", "digest")
    raw_id_fields = ("recipient",)
