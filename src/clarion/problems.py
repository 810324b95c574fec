"""Errors of the JSON endpoints: RFC 9457 problem details, with what is wrong and how to mend it."""

from __future__ import annotations

from django.http import JsonResponse


class Refused(Exception):
    """A request that can't be served as it is; becomes a problem answer."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status = status
        self.title = title
        self.headers = headers


def problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None
) -> JsonResponse:
    """Return an `application/problem+json` answer with this HTTP status."""
    return JsonResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
