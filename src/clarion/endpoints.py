"""What every JSON endpoint does around its own work: method, sign-in, CSRF, strict input."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from clarion.exceptions import BadCursor, InvalidMark
from clarion.problems import Refused, problem

BODY_LIMIT = 65_536  # bytes
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def endpoint(method: str, *, anonymous: bool = False) -> Callable[[View[P]], View[P]]:
    """Decorate a JSON view: its one method, somebody signed in, CSRF, problems as JSON."""

    def decorate(view: View[P]) -> View[P]:
        @functools.wraps(view)
        def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                _check_method(request, method)
                if not anonymous:
                    require_user(request)
                return view(request, *args, **kwargs)
            except Refused as refused:
                return problem(refused.status, refused.title, str(refused), refused.headers)
            except (BadCursor, InvalidMark) as error:
                return problem(400, "Bad request", str(error))

        # The site's CSRF middleware answers with an HTML page, so it leaves the check to ours.
        return csrf_exempt(never_cache(_csrf_protect(answer)))

    return decorate


class _CsrfProblem(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> HttpResponseBase:
        return problem(403, "CSRF check failed", f"{reason} Send the token in the CSRF header.")


_csrf_protect = decorator_from_middleware(_CsrfProblem)


def _check_method(request: HttpRequest, method: str) -> None:
    if request.method != method:
        detail = f"{request.method} is not possible here; use {method}."
        raise Refused(405, "Method not allowed", detail, {"Allow": method})


def require_user(request: HttpRequest) -> None:
    """Raise `Refused` unless somebody is signed in."""
    if not request.user.is_authenticated:
        raise Refused(401, "Not signed in", "Sign in to this site first, then repeat the request.")


def parameters(request: HttpRequest, *known: str) -> dict[str, str]:
    """The query's parameters. Raise `Refused` for unknown and repeated ones."""
    for name in request.GET:
        if name not in known:
            raise _bad(f"{name[:40]!r}: unknown parameter. Known: {', '.join(known)}.")
        if len(request.GET.getlist(name)) > 1:
            raise _bad(f"{name}: given more than once.")
    return {name: request.GET[name] for name in request.GET}


def body(request: HttpRequest, **known: type | tuple[type, ...]) -> dict[str, Any]:
    """The JSON object that was sent; `known` maps each possible field to its type.

    Raises:
        Refused: 415 not JSON by its header, 413 over 64 KiB, 400 for all else that is wrong.
    """
    if request.content_type != "application/json":
        raise Refused(415, "Unsupported media type", "Send Content-Type: application/json.")
    raw = request.read(BODY_LIMIT + 1)
    if len(raw) > BODY_LIMIT:
        raise Refused(413, "Too large", f"At most {BODY_LIMIT} bytes; split the request.")
    fields = _parsed(raw)
    for name, value in fields.items():
        _check_field(name, value, known)
    return fields


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(f"The body is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise _bad("The body must be a JSON object.")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _check_field(name: str, value: object, known: dict[str, type | tuple[type, ...]]) -> None:
    if name not in known:
        raise _bad(f"{name[:40]!r}: unknown field. Known: {', '.join(known)}.")
    if not isinstance(value, known[name]) or isinstance(value, bool):
        raise _bad(f"{name}: has the wrong type, {type(value).__name__}.")


def _bad(detail: str) -> Refused:
    return Refused(400, "Bad request", detail)
