"""When: quiet hours, send windows, digests and retries, in somebody's own time zone.

Pure functions; every time that goes in or comes out is aware. Local times that a change of the
clocks leaves out mean the first moment after the gap, those that happen twice mean the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_WEEK_AND_A_BIT = 9  # days; more windows in a row than that have no end
EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True)
class Window:
    """From `start` to `end` on `days` (Monday is 0); past midnight when `end` is not later."""

    start: time
    end: time
    days: frozenset[int] = EVERY_DAY


def local(day: date, at: time, zone: ZoneInfo) -> datetime:
    """That time of that day as an instant, in UTC: within a zone Python compares wall clocks."""
    naive = datetime.combine(day, at)
    moment = naive.replace(tzinfo=zone).astimezone(UTC)
    while moment.astimezone(zone).replace(tzinfo=None) != naive:  # the clocks skip it
        naive += _MINUTE
        moment = naive.replace(tzinfo=zone).astimezone(UTC)
    return moment


def quiet_until(moment: datetime, windows: Sequence[Window], zone: ZoneInfo) -> datetime | None:
    """When the quiet time that `moment` lies in is over; None when it lies in none.

    Windows that touch are one. Where they leave no gap in a whole week, the end of the last.
    """
    end = moment
    for _ in range(2 * _WEEK_AND_A_BIT * len(windows)):  # more than begin in that time
        ends = [stop for start, stop in _around(end, windows, zone) if start <= end < stop]
        if not ends or end - moment > _DAY * _WEEK_AND_A_BIT:
            break
        end = max(ends)
    return end if end > moment else None


def open_at(moment: datetime, windows: Sequence[Window], zone: ZoneInfo) -> datetime | None:
    """When the next of the windows opens; None when one is open now, or there are none."""
    spans = list(_around(moment, windows, zone, days_ahead=8))
    if not spans or any(start <= moment < stop for start, stop in spans):
        return None
    return min(start for start, _ in spans if start > moment)


def _around(
    moment: datetime, windows: Sequence[Window], zone: ZoneInfo, days_ahead: int = 1
) -> Iterator[tuple[datetime, datetime]]:
    today = moment.astimezone(zone).date()
    for window in windows:
        for ahead in range(-1, days_ahead + 1):
            day = today + _DAY * ahead
            if day.weekday() in window.days:
                last = day if window.end > window.start else day + _DAY
                yield local(day, window.start, zone), local(last, window.end, zone)


def next_digest(after: datetime, cadence: str, at: time, weekday: int, zone: ZoneInfo) -> datetime:
    """The first time after `after` that an hourly, daily or weekly digest goes out."""
    here = after.astimezone(zone)
    if cadence == "hourly":
        past = timedelta(minutes=here.minute, seconds=here.second, microseconds=here.microsecond)
        return after - past + timedelta(hours=1)
    for ahead in range(9):
        day = here.date() + _DAY * ahead
        moment = local(day, at, zone)
        if moment > after and (cadence == "daily" or day.weekday() == weekday):
            return moment
    raise ValueError(f"{cadence!r} is not hourly, daily or weekly")


def next_attempt(
    attempts: int,
    waits: Sequence[timedelta],
    *,
    now: datetime,
    jitter: float,
    retry_after: float | None = None,
) -> datetime | None:
    """When to try again after so many attempts; None when it is time to give up.

    `waits[0]` follows the first attempt. `jitter`, 0 to 1, adds up to a fifth; the other side's
    `retry_after` (seconds) is never undercut, and believed up to a day.
    """
    if attempts > len(waits):
        return None
    wait = waits[attempts - 1] * (1 + jitter / 5)
    asked = timedelta(seconds=min(max(retry_after or 0, 0), 86_400))
    return now + max(wait, asked)
