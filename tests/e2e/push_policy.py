"""What push needs besides the strictest policy: a worker of the site, and one address for it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import async_only_middleware

from tests.e2e.policy import Answer


@async_only_middleware
def push_policy(get_response: Answer) -> Answer:
    async def answer(request: HttpRequest) -> HttpResponse:
        response = await get_response(request)
        strict = response.headers["Content-Security-Policy"]
        response.headers["Content-Security-Policy"] = strict.replace(
            "trusted-types 'none'", "trusted-types clarion; worker-src 'self'"
        )
        return response

    return answer
