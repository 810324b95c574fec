"""The content security policy: scripts and styles of this site alone, inline ones by nonce only."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

POLICY = (
    "default-src 'none'",
    "script-src 'self' 'nonce-{nonce}'",
    "style-src 'self' 'nonce-{nonce}'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
TRUSTED_TYPES = ("require-trusted-types-for 'script'", "trusted-types clarion")


class ContentSecurityPolicy(MiddlewareMixin):
    """Sets `request.csp_nonce`, anew for each request, and the header.

    Django 6 has a policy of its own built in; this one serves Django 5.2 as well.
    """

    def process_request(self, request: HttpRequest) -> None:
        request.csp_nonce = secrets.token_urlsafe(16)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not _is_debug_page(response):
            policy = "; ".join(_policy(request)).format(nonce=request.csp_nonce)
            response.headers.setdefault("Content-Security-Policy", policy)
        return response


def _policy(request: HttpRequest) -> tuple[str, ...]:
    """Django's admin builds HTML from strings, so it can't have Trusted Types."""
    return POLICY if request.path.startswith("/admin/") else POLICY + TRUSTED_TYPES


def _is_debug_page(response: HttpResponseBase) -> bool:
    """Django's own pages about a fault, in development, carry inline styles and scripts."""
    return settings.DEBUG and response.status_code in (404, 500)
