"""Whether somebody gets a notification on a channel, and when: pure functions, first match wins.

They are asked when a notification is made, and again just before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from clarion import timing
from clarion.conf import settings
from clarion.routes import Route
from clarion.timing import Window

if TYPE_CHECKING:
    from clarion.models import Event

ANY = "*"
NEVER = "never"  # unsubscribed from outside: nothing but `required` overrides it
QUIET = "quiet"  # the window of what waited through quiet hours
Choices = Mapping[tuple[str, str], str]
"""Explicit values by (scope, channel)."""


class Decision(NamedTuple):
    """Send it or not, at once or in a digest, and why, in words a person understands."""

    send: bool
    reason: str
    mode: str = "instant"


class Due(NamedTuple):
    """When it is sent, and in which company: rows of one `window` go as one."""

    at: datetime
    window: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Hours:
    """When somebody wants to be reached."""

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    paused_until: datetime | None = None
    quiet: tuple[Window, ...] = ()
    allowed: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    cadence: str = ""
    digest_at: time | None = None
    digest_day: int = 0


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of one person about one event."""

    is_active: bool = True
    is_actor: bool = False
    choices: Choices = field(default_factory=dict)
    stance: str = ""
    """"follow" or "mute", of the event's target."""
    role: str = ""


def scopes(event: Event) -> list[str]:
    """Where a choice about this event may stand, the most specific first."""
    by_category = [f"category:{event.category}"] if event.category else []
    return [f"type:{event.type}", *by_category, ANY]


def decide(event: Event, route: Route, known: Known, *, required: bool) -> Decision:
    """Decide about one channel for one recipient. docs/howto/preferences.md tells the order."""
    if not known.is_active:
        return Decision(False, "the account is not active")
    if known.is_actor and not event.include_actor:
        return Decision(False, "did it themselves")
    if required:
        return Decision(True, "required")
    if known.choices.get((ANY, route.channel)) == "off":
        return Decision(False, f"{route.channel} is switched off")
    for scope in scopes(event):
        if known.choices.get((scope, route.channel)) == NEVER:
            what = "everything" if scope == ANY else scope
            return Decision(False, f"unsubscribed from {what}")
    if known.stance == "mute":
        return Decision(False, "has muted what it is about")
    chosen = _chosen(event, route.channel, known.choices)
    decided = chosen or _default(event, route, known.role)
    if known.stance == "follow":
        mode = decided.mode if decided.send else "instant"
        return Decision(True, "follows what it is about", mode)
    return decided


def _chosen(event: Event, channel: str, choices: Choices) -> Decision | None:
    for scope in scopes(event):
        value = choices.get((scope, channel))
        if value is not None:
            return Decision(value != "off", f"{scope} is {value}", value)
    return None


def _default(event: Event, route: Route, role: str) -> Decision:
    """Of the role, of the site, of the type."""
    for whose in filter(None, (role, ANY)):
        of_role = settings.DEFAULTS.get(whose, {})
        for scope in scopes(event):
            value = of_role.get(scope, {}).get(route.channel)
            if value is not None:
                name = f"default for {role}" if whose == role else "default of the site"
                return Decision(value != "off", f"{name}: {scope} is {value}", value)
    if route.default == "instant":
        return Decision(True, "default")
    return Decision(route.default != "off", f"default: {route.default}", route.default)


def due(
    event: Event,
    route: Route,
    decision: Decision,
    hours: Hours,
    *,
    made_at: datetime,
    required: bool = False,
) -> Due:
    """When an outward delivery is sent that is made at `made_at`.

    Quiet hours, pauses and send windows defer it and never drop it; `required` keeps none of them.
    """
    wanted = _wanted(event, route, decision, hours, made_at)
    free = wanted.at if required else _free_at(wanted.at, route.channel, hours)
    return wanted if free == wanted.at else Due(free, wanted.window or QUIET, "quiet hours")


def postponed(
    event: Event,
    route: Route,
    decision: Decision,
    hours: Hours,
    *,
    made_at: datetime,
    now: datetime,
    required: bool = False,
) -> Due | None:
    """Asked again when its time has come: until when it has to wait all the same, if so.

    A digest that was moved has another time now; a batch that was closed stays closed.
    """
    wanted = _wanted(event, route, decision, hours, made_at)
    if decision.mode == "digest" and wanted.at > now:
        return wanted
    free = now if required else _free_at(now, route.channel, hours)
    return None if free == now else Due(free, wanted.window or QUIET, "quiet hours")


def _wanted(event: Event, route: Route, decision: Decision, hours: Hours, made_at: datetime) -> Due:
    if decision.mode == "digest":
        cadence = hours.cadence or route.digest
        at = hours.digest_at or time(settings.DIGEST_HOUR)
        moment = _next_digest(made_at, cadence, at, hours.digest_day, hours.zone)
        return Due(moment, f"digest:{cadence}", f"{cadence} digest")
    after = route.after
    assert isinstance(after, timedelta)  # noqa: S101 - __post_init__ made it one
    if route.batch is not None:
        window: Any = route.batch.window  # type: ignore[union-attr]
        return Due(made_at + after + window, f"batch:{_belongs(event, route)}", "batch")
    return Due(made_at + after)


def _belongs(event: Event, route: Route) -> str:
    by = route.batch.by  # type: ignore[union-attr]
    if by == "target" and event.target_id:
        return f"{event.type}:{event.target_type_id}:{event.target_id}"
    return event.category if by == "category" and event.category else event.type


_next_digest = lru_cache(1024)(timing.next_digest)  # a fan-out asks for thousands in one zone


def _free_at(moment: datetime, channel: str, hours: Hours) -> datetime:
    """The first time from `moment` on at which nothing speaks against it."""
    for _ in range(10):  # a quiet time may end before a window opens, and so on
        later = max(
            hours.paused_until or moment,
            timing.quiet_until(moment, hours.quiet, hours.zone) or moment,
            timing.open_at(moment, hours.allowed.get(channel, ()), hours.zone) or moment,
        )
        if later <= moment:
            break
        moment = later
    return moment
