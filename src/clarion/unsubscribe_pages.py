"""Where the links to unsubscribe lead: a page that asks, and the POST that does it (RFC 8058)."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from clarion import unsubscribing
from clarion.unsubscribing import Link


@csrf_exempt  # mail services post without a cookie or a token; the signed link is what counts
@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def one_click(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks and changes nothing, for scanners follow links. POST does it, and may be repeated.

    `do` is "all" or "undo"; anything else, like a mail service's `List-Unsubscribe=One-Click`,
    stops what the mail was about.
    """
    link = unsubscribing.read(token)
    if link is None:
        return _page(request, "unknown", status=404)
    if request.method != "POST":
        return _page(request, "ask", link)
    wanted = request.POST.get("do", "")
    if wanted == "undo":
        unsubscribing.undo(link)
        return _page(request, "undone", link)
    if wanted == "all":
        unsubscribing.stop_all(link)
        return _page(request, "all", link)
    unsubscribing.stop(link)
    return _page(request, "stopped", link)


def _page(
    request: HttpRequest, state: str, link: Link | None = None, status: int = 200
) -> HttpResponse:
    labels = [unsubscribing.label_of(scope) for scope in link.scopes] if link else []
    context = {"state": state, "about": ", ".join(filter(None, labels))}
    answer = render(request, "clarion/unsubscribe.html", context, status=status)
    answer["Referrer-Policy"] = "no-referrer"  # the link is a key
    answer["X-Robots-Tag"] = "noindex"
    return answer
