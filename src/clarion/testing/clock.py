"""A clock that the test moves: what falls due on the way happens at its time, and in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any
from unittest import mock

from django.db.models import Min
from django.utils import timezone

from clarion.models import SNOOZED, Delivery, Event, Notification
from clarion.routes import Duration, duration
from clarion.testing.stillness import still, work_off


class Clock:
    """Time stands still in here, until the test moves it.

        with Clock() as clock:                                  # anywhere
        self.clock = self.enterContext(Clock())                 # in setUp of a TestCase

    It is the time that `django.utils.timezone.now()` tells, however that was imported; what asks
    the computer itself, such as `time.time()`, goes on as ever. The site's runner rests: whatever
    is due is done when the clock moves, in this thread.
    """

    def __init__(self, start: datetime | None = None) -> None:
        """`start`: an aware time; None: the present one."""
        self._now = _aware(start) if start is not None else timezone.now()
        self._stack = ExitStack()
        self._runs = False

    def __enter__(self) -> Clock:
        self._stack.enter_context(still())
        self._stack.enter_context(mock.patch.object(timezone, "datetime", _telling(self)))
        self._runs = True
        return self

    def __exit__(self, *_: object) -> None:
        self._runs = False
        self._stack.close()

    @property
    def now(self) -> datetime:
        return self._now

    def tick(self, by: Duration | None = None, **units: float) -> datetime:
        """Go forward, by "15m" (see `clarion.routes.duration`) or by the units of a timedelta.

        Returns the time that it is then.
        """
        if (by is None) == (not units):
            raise TypeError('Give either a duration, tick("15m"), or its units, tick(minutes=15).')
        return self.travel_to(self._now + (timedelta(**units) if by is None else duration(by)))

    def travel_to(self, moment: datetime) -> datetime:
        """Go forward to an aware time. What is due now, and then, and in between, is done.

        Returns the time that it is then.
        """
        if not self._runs:
            raise RuntimeError("The clock doesn't run yet: use it as `with Clock() as clock:`.")
        if _aware(moment) < self._now:
            raise ValueError(f"{moment} is past: it is {self._now}, and time goes forward.")
        work_off()
        while (due := _next_due(self._now, moment)) is not None:
            self._now = due
            work_off()
        self._now = moment
        return moment


@contextmanager
def travel(by: Duration) -> Iterator[Clock]:
    """A clock that has gone forward by "15m" or its like, with all that happens in that time.

    notify(Graded(grade="A"), to=alice)
    with travel("15m"):
        assert_notified(alice, Graded, via="email")
    """
    with Clock() as clock:
        clock.tick(by)
        yield clock


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; see django.utils.timezone.make_aware().")
    return moment


def _next_due(after: datetime, until: datetime) -> datetime | None:
    """When the next thing falls due; later than `after`, so that nothing can hold up the time."""
    listed = Notification.objects.filter(archived_at__isnull=True, removed_at__isnull=True)
    looks = (
        (Event.objects.all(), "due_at"),
        (Delivery.objects.all(), "due_at"),
        (Notification.objects.filter(SNOOZED), "snoozed_until"),
        (listed, "expires_at"),
    )
    found = []
    for rows, column in looks:
        ahead = rows.filter(**{f"{column}__gt": after, f"{column}__lte": until})
        found.append(ahead.aggregate(first=Min(column))["first"])
    return min((moment for moment in found if moment is not None), default=None)


class _AnyDatetime(type):
    """`isinstance(value, datetime)` means what it says, whatever `datetime` is at the time."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


def _telling(clock: Clock) -> type:
    """What `django.utils.timezone` takes for `datetime`.

    Not its `now` is replaced: that is the default of many fields, who would go on with the old one.
    """

    class Told(datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            local = clock.now.astimezone(tz)
            return local if tz is not None else local.replace(tzinfo=None)

    return Told
