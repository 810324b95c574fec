"""{% load clarion %}: the bell for the base template, and the number of unread notifications."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.html import json_script
from django.utils.safestring import SafeString, mark_safe

from clarion import bell

register = template.Library()
_SCRIPT_ESCAPES = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@register.inclusion_tag("clarion/bell.html", takes_context=True)
def clarion_bell(context: template.Context, badge: str = "unseen", **more: str) -> dict[str, Any]:
    """The bell: `{% clarion_bell %}`; `badge="unread"`, `toasts="off"`, `class="..."` as wanted.

    Shows nothing to visitors who aren't signed in, unless PUBLIC_ANONYMOUS is set. Scripts carry
    the page's CSP nonce: the context's or request's `csp_nonce`, if there is one.
    """
    request = _request(context)
    snapshot = bell.snapshot(request)
    if snapshot is None:
        return {}
    attributes = bell.attributes(request, snapshot) | {"badge": badge, "strings": "clarion-strings"}
    return {
        "attributes": attributes | {name.replace("_", "-"): value for name, value in more.items()},
        "unread": snapshot.counts.unread,
        "strings": json_script(bell.texts(), "clarion-strings"),
        "import_map": _import_map(),
        "nonce": _nonce(context, request),
    }


@register.simple_tag(takes_context=True)
def clarion_unread(context: template.Context) -> int:
    """The number of unread notifications: `{% clarion_unread as n %}`. 0 for visitors."""
    snapshot = bell.snapshot(_request(context))
    return snapshot.counts.unread if snapshot else 0


def _request(context: template.Context) -> HttpRequest:
    try:
        request: HttpRequest = context["request"]
    except KeyError:
        raise ImproperlyConfigured(
            "{% clarion_bell %} and {% clarion_unread %} need the request: add "
            "'django.template.context_processors.request' to the context_processors in TEMPLATES."
        ) from None
    return request


def _import_map() -> SafeString | None:
    """Where static files have hashed names, `import "./clarion.js"` must find the right one."""
    asked = urljoin(static("clarion/clarion-bell.js"), "clarion.js")
    found = static("clarion/clarion.js")
    if asked == found:
        return None
    text = json.dumps({"imports": {asked: found}}).translate(_SCRIPT_ESCAPES)
    return mark_safe(text)  # noqa: S308 - the characters that could end the script are escaped


def _nonce(context: template.Context, request: HttpRequest) -> str:
    """Lazy nonces are false until they are used, so ask for None."""
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(request, "csp_nonce", None)
    return "" if nonce is None else str(nonce)
