"""How a notification type leaves the screen: which channels, when, and in what company.

    channels = [inbox(), webpush(unless=ACTIVE), email(after="15m", unless=READ, digest="daily")]

A channel is named by its alias in CLARION['CHANNELS']; `via("slack")` is for those of your own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from django.core.exceptions import ImproperlyConfigured

INBOX = "inbox"
Duration: TypeAlias = timedelta | str
"""A timedelta, or a number with its unit: "90s", "15m", "2h", "7d"."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_RATE = re.compile(r"(\d+)\s*/\s*(\d*)\s*([smhdw])")
CADENCES = ("hourly", "daily", "weekly")
MODES = ("off", "instant", "digest")


class Unless(StrEnum):
    """What makes a delivery unnecessary when its time has come."""

    SEEN = "seen"
    READ = "read"
    ACTIVE = "active"
    """The person is busy on the site just now: held until they saw it, or went away."""


SEEN, READ, ACTIVE = Unless.SEEN, Unless.READ, Unless.ACTIVE


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Many of one kind as one: a window that the first one opens.

    Args:
        window: how long it stays open.
        sliding: each further one keeps it open for another `window`, `most` at the longest.
        most: needed for a sliding window.
        leading: the first goes out alone and at once; the window collects what follows.
        items: closes it as soon as it holds so many.
        by: what belongs together: "type", "category" or "target".
    """

    window: Duration
    sliding: bool = False
    most: Duration | None = None
    leading: bool = False
    items: int | None = None
    by: str = "type"

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", duration(self.window))
        if self.sliding and self.most is None:
            raise ImproperlyConfigured("Batch: a sliding window needs most=, or it may never end.")
        if self.most is not None:
            object.__setattr__(self, "most", duration(self.most))
        if self.by not in ("type", "category", "target"):
            raise ImproperlyConfigured(f"Batch.by: {self.by!r} is not type, category or target.")
        if self.items is not None and self.items < 2:
            raise ImproperlyConfigured("Batch.items: a batch holds at least 2.")


@dataclass(frozen=True)
class Throttle:
    """At most so many to one person: "5/h", "1/10m". What is over the limit is never silent.

    `then`: "summarise" collects the rest and sends it as one when there is room again, "defer"
    sends each of them later, "drop" skips them with a reason.
    """

    rate: str
    then: str = "summarise"
    limit: int = 0
    period: timedelta = timedelta()

    def __post_init__(self) -> None:
        found = _RATE.fullmatch(str(self.rate).strip())
        if not found or int(found[1]) < 1:
            raise ImproperlyConfigured(f"Throttle: {self.rate!r} is not like '5/h' or '1/10m'.")
        if self.then not in ("summarise", "defer", "drop"):
            raise ImproperlyConfigured(
                f"Throttle.then: {self.then!r} is not summarise, defer or drop."
            )
        object.__setattr__(self, "limit", int(found[1]))
        object.__setattr__(self, "period", duration((found[2] or "1") + found[3]))


@dataclass(frozen=True, kw_only=True)
class Route:
    """One channel of a type. Times count from the moment the notification is made.

    Args:
        channel: alias in CLARION['CHANNELS'].
        default: "instant", "digest" or "off": what holds for people who chose nothing.
        after: wait so long, then look again whether it is still wanted.
        unless: SEEN, READ or ACTIVE; asked when the time has come.
        batch: a `Batch`, or the length of its window.
        digest: "hourly", "daily" or "weekly": the cadence, where the person chose no other.
        throttle: a `Throttle`, or its rate.
    """

    channel: str
    default: str = "instant"
    after: Duration = timedelta()
    unless: Unless | None = None
    batch: Batch | Duration | None = None
    digest: str = "daily"
    throttle: Throttle | str | None = None

    def __post_init__(self) -> None:
        if self.default not in MODES:
            raise ImproperlyConfigured(f"{self.channel}: default must be one of {MODES}.")
        if self.digest not in CADENCES:
            raise ImproperlyConfigured(f"{self.channel}: digest must be one of {CADENCES}.")
        object.__setattr__(self, "after", duration(self.after))
        if self.unless is not None:
            object.__setattr__(self, "unless", Unless(self.unless))
        if isinstance(self.batch, str | timedelta):
            object.__setattr__(self, "batch", Batch(window=self.batch))
        if isinstance(self.throttle, str):
            object.__setattr__(self, "throttle", Throttle(self.throttle))


def inbox(*, default: str = "instant") -> Route:
    """The persistent inbox, and with it every open screen."""
    return Route(channel=INBOX, default=default)


def email(**options: object) -> Route:
    """The channel "email". Arguments as in `Route`."""
    return via("email", **options)


def webpush(**options: object) -> Route:
    """The channel "webpush". Arguments as in `Route`."""
    return via("webpush", **options)


def webhook(**options: object) -> Route:
    """The channel "webhook". Arguments as in `Route`."""
    return via("webhook", **options)


def via(channel: str, **options: object) -> Route:
    """Any channel by its alias. Arguments as in `Route`."""
    try:
        return Route(channel=channel, **options)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{channel}(): {error}.") from None


def duration(given: Duration) -> timedelta:
    """A timedelta from "15m" and its like. Raise `ImproperlyConfigured`."""
    if isinstance(given, timedelta):
        if given < timedelta():
            raise ImproperlyConfigured(f"{given!r} is negative.")
        return given
    found = _DURATION.fullmatch(str(given).strip())
    if not found:
        raise ImproperlyConfigured(f"{given!r} is not a time like '90s', '15m', '2h' or '7d'.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
