"""What `<clarion-bell>` is told by the page around it: addresses, positions, texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import get_language, get_language_bidi, ngettext
from django.utils.translation import gettext as _

from clarion import inbox, push
from clarion.conf import settings
from clarion.inbox import Counts
from clarion.realtime import catchup, tickets
from clarion.realtime.frames import Position

# Numbers that fall into every plural form there is; the browser picks the one of its number's kind.
_SAMPLES = (1, 2, 3, 5, 11, 100)


@dataclass(frozen=True)
class Snapshot:
    """Where the streams stood when the page was made, and what the badge said."""

    public: Position
    inbox: Position | None  # None: a visitor
    counts: Counts


def snapshot(request: HttpRequest) -> Snapshot | None:
    """Read once for each request, in two queries; None where there is nothing to show."""
    if not hasattr(request, "_clarion"):
        request._clarion = _read(request)  # type: ignore[attr-defined]
    found: Snapshot | None = request._clarion  # type: ignore[attr-defined]
    return found


def _read(request: HttpRequest) -> Snapshot | None:
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        public = catchup.public_position()
        own = inbox.states([user.pk])[user.pk]
        inbox.present(own)
        return Snapshot(public, own.position, own.counts)
    if not settings.PUBLIC_ANONYMOUS:
        return None
    return Snapshot(catchup.public_position(), None, Counts())


def attributes(request: HttpRequest, snapshot: Snapshot) -> dict[str, Any]:
    """The attributes of the element."""
    given = {
        "api": reverse("clarion:mark").removesuffix("mark/"),
        "socket": settings.WEBSOCKET_PATH,
        "stream": reverse("clarion:stream"),
        "public": snapshot.public,
        "lang": get_language() or "en",
        "dir": "rtl" if get_language_bidi() else "ltr",
    }
    if snapshot.inbox is None:
        return given | {"anonymous": "true"}
    return given | _personal(request, snapshot)


def _personal(request: HttpRequest, snapshot: Snapshot) -> dict[str, Any]:
    given = {
        "page": reverse("clarion:inbox"),
        "inbox": snapshot.inbox,
        "unread": snapshot.counts.unread,
        "unseen": snapshot.counts.unseen,
        # Tabs of one person share a socket; a tab left open by somebody else must not listen in.
        "key": salted_hmac("clarion.tabs", str(request.user.pk), algorithm="sha256").hexdigest()[
            :16
        ],
        "ticket": tickets.issue(request),
        **push.attributes(),
        "csrf-cookie": django_settings.CSRF_COOKIE_NAME,
        "csrf-header": django_settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
    }
    token = get_token(request)  # also has the cookie set, which no form of the page may have done
    if django_settings.CSRF_USE_SESSIONS or django_settings.CSRF_COOKIE_HTTPONLY:
        given["csrf-token"] = token
    return given


def texts() -> dict[str, Any]:
    """The texts of the element by their English form, in the active language."""
    return {
        "{n} new notifications": {
            n: ngettext("{n} new notification", "{n} new notifications", n) for n in _SAMPLES
        },
        "{n} unread": {n: ngettext("{n} unread", "{n} unread", n) for n in _SAMPLES},
        "{n} new": {n: ngettext("{n} new", "{n} new", n) for n in _SAMPLES},
        "Notifications": _("Notifications"),
        "All": _("All"),
        "Unread": _("Unread"),
        "Archived": _("Archived"),
        "Snoozed": _("Snoozed"),
        "Pinned": _("Pinned"),
        "Mark all as read": _("Mark all as read"),
        "Mark as read": _("Mark as read"),
        "Mark as unread": _("Mark as unread"),
        "Marked as read": _("Marked as read"),
        "Archive": _("Archive"),
        "Move to inbox": _("Move to inbox"),
        "Pin": _("Pin"),
        "Unpin": _("Unpin"),
        "Snooze": _("Snooze"),
        "Snooze until": _("Snooze until"),
        "For 1 hour": _("For 1 hour"),
        "For 4 hours": _("For 4 hours"),
        "Until tomorrow, 8:00": _("Until tomorrow, 8:00"),
        "More actions": _("More actions"),
        "Load more": _("Load more"),
        "Could not be loaded. Try again": _("Could not be loaded. Try again"),
        "See all notifications": _("See all notifications"),
        "Keyboard shortcuts": _("Keyboard shortcuts"),
        "Next, previous": _("Next, previous"),
        "Open": _("Open"),
        "Close": _("Close"),
        "Undo": _("Undo"),
        "Done": _("Done"),
        "You are all caught up": _("You are all caught up"),
        "Nothing unread": _("Nothing unread"),
        "Nothing archived": _("Nothing archived"),
        "Offline: showing what was saved": _("Offline: showing what was saved"),
        "Disconnected: reload the page": _("Disconnected: reload the page"),
        "Could not be saved, so it was undone": _("Could not be saved, so it was undone"),
        "Success": _("Success"),
        "Warning": _("Warning"),
        "Error": _("Error"),
        "Critical": _("Critical"),
        **push.texts(),
    }
