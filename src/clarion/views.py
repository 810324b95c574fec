"""The JSON endpoints under the bell. The inbox page is in `pages`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from clarion import inbox
from clarion.conf import settings
from clarion.endpoints import body, endpoint, parameters, require_user
from clarion.exceptions import InvalidMark
from clarion.problems import Refused
from clarion.realtime import catchup, frames, tickets
from clarion.realtime.catchup import CatchUp
from clarion.realtime.frames import Position


@endpoint("GET")
def page(request: HttpRequest) -> HttpResponseBase:
    """One page of a filter, with the positions that were read before it."""
    given = parameters(request, "filter", "before", "limit")
    public = catchup.public_position()
    found = inbox.page(
        request.user,
        filter=given.get("filter", "all"),
        before=given.get("before"),
        limit=_limit(given.get("limit")),
    )
    return JsonResponse(
        {
            "items": found.items,
            "next": found.next,
            "position": str(found.position),
            "public": str(public),
            "counts": _counts(found.counts),
        }
    )


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise Refused(400, "Bad request", "limit: must be a whole number.")
    return int(text)


@endpoint("GET", anonymous=True)
def changes(request: HttpRequest) -> HttpResponseBase:
    """The frames from the given positions to now: polling, and the way back after a gap."""
    if not settings.PUBLIC_ANONYMOUS:
        require_user(request)
    given = {name: Position.parse(text) for name, text in _cursors(request).items()}
    streams = {"public": catchup.public_catch_up(given.get("public"))}
    if request.user.is_authenticated:
        streams["inbox"] = catchup.catch_up({request.user.pk: given.get("inbox")})[request.user.pk]
    return HttpResponse(_changes(streams), content_type="application/json")


def _cursors(request: HttpRequest) -> dict[str, str]:
    return parameters(request, "inbox", "public")


def _changes(streams: dict[str, CatchUp]) -> bytes:
    """Frames are JSON already, so they are copied as they are."""
    behind = b",".join(frame for stream in streams.values() for frame in stream.frames)
    own = streams.get("inbox")
    rest = {
        "streams": {name: _position(stream.position) for name, stream in streams.items()},
        "counts": _counts(own.counts) if own else None,
        "interval": settings.POLL_INTERVAL,
    }
    return b'{"frames":[' + behind + b"]," + frames.encode(rest)[1:]


@endpoint("POST")
def mark(request: HttpRequest) -> HttpResponseBase:
    """Give notifications a state, by ids or all up to a version."""
    given = body(request, **{"as": str, "ids": list, "upto": int, "until": str})
    if "as" not in given:
        raise InvalidMark("as: missing. Name the state, for instance 'read'.")
    change = inbox.mark(
        request.user,
        given["as"],
        given.get("ids"),
        upto=given.get("upto"),
        until=_moment(given["until"]) if "until" in given else None,
    )
    answer = {"version": change.version, "changed": change.changed}
    return JsonResponse(answer | {"counts": _counts(change.counts)})


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidMark("until: write it as ISO 8601, like 2030-01-05T16:00:00Z.") from error


@endpoint("POST")
def ticket(request: HttpRequest) -> HttpResponseBase:
    """A short-lived ticket that opens a connection without the session cookie."""
    answer = {"ticket": tickets.issue(request), "expires_in": settings.TICKET_AGE}
    return JsonResponse(answer)


def _counts(counts: Any) -> dict[str, int]:
    return {"unread": counts.unread, "unseen": counts.unseen}


def _position(position: Position) -> dict[str, Any]:
    return {"epoch": position.epoch, "version": position.version}
