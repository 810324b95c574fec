"""The inbox as a page of the site: rendered on the server, and complete without JavaScript."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from clarion import inbox
from clarion.exceptions import BadCursor, InvalidMark

_LINKABLE = re.compile(
    r"https?://[^\s\\]+|(?![a-z][a-z0-9+.-]*:)[^\s\\]+", re.ASCII | re.IGNORECASE
)
_FORM_FIELDS = {"as", "ids", "upto", "until", "next", "csrfmiddlewaretoken"}
_PRESETS = {"1h": timedelta(hours=1), "4h": timedelta(hours=4)}


@dataclass(frozen=True)
class Row:
    """A notification as the page shows it."""

    item: dict[str, Any]
    url: str  # "" where there is none that a link may carry
    image: str
    actions: list[dict[str, str]]  # those that a link or a form may carry
    internal: bool  # on this site, so that opening it can be a form that also marks it read
    arrived_at: datetime
    snoozed_until: datetime | None
    initials: str
    level: str  # in the reader's language

    @property
    def is_new(self) -> bool:
        return timezone.now() - self.arrived_at < timedelta(minutes=1)


@require_safe
@login_required
@never_cache
def inbox_page(request: HttpRequest) -> HttpResponseBase:
    """The inbox: ?filter=all|unread|archived|snoozed, ?before=<cursor>."""
    try:
        return _shown(request, request.GET.get("filter", "all"), request.GET.get("before"))
    except BadCursor as error:
        raise BadRequest(str(error)) from error


def _shown(
    request: HttpRequest, filter: str, before: str | None, error: str = "", status: int = 200
) -> HttpResponse:
    page = inbox.page(request.user, filter=filter, before=before)
    context = {
        "rows": [_row(request, item) for item in page.items],
        "page": page,
        "filter": filter,
        "before": before,
        "filters": [
            ("all", _("All")),
            ("unread", _("Unread")),
            ("archived", _("Archived")),
            ("snoozed", _("Snoozed")),
        ],
        "here": request.get_full_path() if request.method != "POST" else "",
        "error": error,
    }
    return render(request, "clarion/inbox.html", context, status=status)


def _row(request: HttpRequest, item: dict[str, Any]) -> Row:
    url = _linkable(item["url"])
    actor = item["actor"]["name"] if item["actor"] else ""
    until = item["snoozed_until"]
    return Row(
        item=item,
        url=url,
        image=_linkable(item["image"]),
        actions=[action for action in item["actions"] if _may_be_shown(request, action)],
        internal=_is_internal(request, url),
        arrived_at=datetime.fromisoformat(item["arrived_at"]),
        snoozed_until=datetime.fromisoformat(until) if until else None,
        initials="".join(word[0] for word in actor.split()[:2]).upper(),
        level=_(item["level"].title()),
    )


def _linkable(url: str) -> str:
    return url if _LINKABLE.fullmatch(url) else ""


def _may_be_shown(request: HttpRequest, action: dict[str, str]) -> bool:
    """A POST carries the CSRF token, which is for this site only."""
    url = _linkable(action["url"])
    return bool(url) and (action["method"] == "GET" or _is_internal(request, url))


def _is_internal(request: HttpRequest, url: str) -> bool:
    return url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )


@require_POST
@csrf_protect
@login_required
@never_cache
def act(request: HttpRequest) -> HttpResponseBase:
    """A form of the page: mark, then go where `next` says, on this site."""
    try:
        _mark(request)
    except InvalidMark as error:
        return _shown(request, "all", None, error=str(error), status=400)
    target = request.POST.get("next", "")
    return redirect(target if _is_internal(request, target) else reverse("clarion:inbox"))


def _mark(request: HttpRequest) -> None:
    unknown = set(request.POST) - _FORM_FIELDS
    if unknown:
        raise InvalidMark(f"{sorted(unknown)[0][:40]!r}: unknown field.")
    upto, until = request.POST.get("upto"), request.POST.get("until")
    given = request.POST.getlist("ids")
    ids = [int(text) if text.isdecimal() and len(text) < 20 else text for text in given]
    inbox.mark(
        request.user,
        request.POST.get("as", ""),
        ids or None,
        upto=_version(upto) if upto is not None else None,
        until=_moment(until) if until is not None else None,
    )


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidMark("upto: is not a version.")
    return int(text)


def _moment(text: str) -> datetime:
    """A preset, or a time as `<input type=datetime-local>` sends it, in the person's time zone."""
    if text in _PRESETS:
        return timezone.now() + _PRESETS[text]
    if text == "tomorrow":
        tomorrow = timezone.localtime() + timedelta(days=1)
        return tomorrow.replace(hour=8, minute=0, second=0, microsecond=0)
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidMark(_("Choose a date and a time."))
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
