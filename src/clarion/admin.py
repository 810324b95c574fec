"""What staff see: events and notifications, quick on large tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from clarion.models import Delivery, Event, Notification, Preference

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


@admin.register(Delivery)
class DeliveryAdmin(_Large):
    list_display = ("id", "event", "recipient", "channel", "outcome", "reason", "created_at")
    list_select_related = ("event", "recipient")
    list_filter = ("channel", "outcome")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Preference)
class PreferenceAdmin(_Large):
    list_display = ("recipient", "scope", "channel", "value")
    raw_id_fields = ("recipient",)
