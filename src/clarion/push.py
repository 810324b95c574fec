"""Push for the browsers of people: they are subscribed here, and get their service worker here."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from clarion import reach
from clarion.channels.base import get_channel
from clarion.conf import settings
from clarion.endpoints import body, endpoint, parameters
from clarion.exceptions import InvalidAddress
from clarion.models import Endpoint
from clarion.problems import Refused

if TYPE_CHECKING:
    from clarion.channels.webpush import WebPushChannel

CHANNEL = "webpush"  # the alias in CLARION['CHANNELS'] that browsers subscribe to
_WORKER = Path(__file__).parent / "static" / "clarion" / "clarion-worker.js"


def attributes() -> dict[str, str]:
    """What the bell is told; nothing where the site has no push."""
    if CHANNEL not in settings.CHANNELS:
        return {}
    return {"push": reverse("clarion:push"), "worker": reverse("clarion:worker")}


def texts() -> dict[str, str]:
    """The texts of clarion-push.js by their English form, in the active language."""
    if CHANNEL not in settings.CHANNELS:
        return {}
    return {
        "Notify me on this device": _("Notify me on this device"),
        "Notifications are on for this device": _("Notifications are on for this device"),
        "Blocked: allow notifications for this site in your browser": _(
            "Blocked: allow notifications for this site in your browser"
        ),
        "That did not work. Try again later": _("That did not work. Try again later"),
    }


@endpoint("GET")
def state(request: HttpRequest) -> HttpResponseBase:
    """What a page or the worker needs: our key, a CSRF token, and which devices are subscribed.

    Devices are named by the SHA-256 of their endpoint: only who has one can recognise it. The token
    is as safe here as in a page: other sites can't read either.
    """
    parameters(request)
    header = django_settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
    return JsonResponse(
        {
            "key": _channel().vapid.public_key,
            "csrf": {"header": header, "token": get_token(request)},
            "devices": list(reach.of(request.user, CHANNEL).values_list("digest", flat=True)),
        }
    )


@endpoint("POST")
def subscribe(request: HttpRequest) -> HttpResponseBase:
    """{"endpoint": ..., "keys": {"p256dh", "auth"}, "label": ...}: this browser is that person's.

    Whoever had it before has it no more: one browser shows the notifications of one account.
    """
    given = body(request, endpoint=str, keys=dict, label=str)
    address, label = given.get("endpoint", ""), given.get("label", "")
    try:
        keys = _channel().check_keys(given.get("keys", {}))
        added = reach.add(request.user, CHANNEL, address, label=label, data=keys)
    except InvalidAddress as error:
        raise Refused(400, "Bad request", str(error)) from None
    same = Endpoint.objects.filter(channel=CHANNEL, digest=added.digest, recipient__isnull=False)
    same.exclude(recipient=request.user.pk).delete()
    return JsonResponse({"subscribed": True}, status=201)


@endpoint("POST")
def unsubscribe(request: HttpRequest) -> HttpResponseBase:
    """{"endpoint": ...}: this person gets nothing there any more."""
    given = body(request, endpoint=str)
    removed = reach.remove(request.user, CHANNEL, given.get("endpoint", ""))
    return JsonResponse({"subscribed": False, "removed": removed})


def _channel() -> WebPushChannel:
    if CHANNEL not in settings.CHANNELS:
        raise Refused(404, "Not found", "This site has no channel 'webpush'.")
    return cast("WebPushChannel", get_channel(CHANNEL))


@require_safe
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker. Served by the site, next to its pages: that is what sets its scope."""
    script = _worker_script()
    return HttpResponse(
        script, content_type="text/javascript; charset=utf-8", headers={"Cache-Control": "no-cache"}
    )


@functools.cache
def _worker_script() -> bytes:
    return _WORKER.read_bytes()
