"""Types that leave the screen, and a site that has channels for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import time_machine
from django.test import override_settings

from clarion import Content, NotificationType, outbox, types
from clarion.channels import memory
from clarion.channels.base import Channel, Envelope, Receipt
from clarion.exceptions import TransientFailure
from clarion.routes import ACTIVE, READ, Batch, Throttle, email, inbox, via
from clarion.runner import Runner


class Asleep(Runner):
    """A runner that never comes: the test delivers."""

    def wake(self) -> None:
        return


def site(**settings: Any) -> override_settings:
    """A site with three channels that keep what they send; the test calls the outbox."""
    channels = {"email": {"BACKEND": "memory"}, "sms": {"BACKEND": "memory"}}
    channels |= settings.pop("CHANNELS", {})
    return override_settings(
        CLARION={
            "RUNNER": "tests.outward.Asleep",
            "BROKER": "memory",
            "CHANNELS": channels,
            "SITE_URL": "https://school.example",
            **settings,
        }
    )


@dataclass(frozen=True, kw_only=True)
class Graded(NotificationType):
    type = "out.graded"
    category = "grades"
    example = {"grade": "A"}
    channels = [inbox(), email()]
    grade: str = "A"

    def content(self, event: Any) -> Content:
        return Content(title=f"Grade {self.grade}", url="/grades/")


@dataclass(frozen=True, kw_only=True)
class Escalated(Graded):
    type = "out.escalated"
    channels = [inbox(), email(after="15m", unless=READ), via("sms", after="1h", unless=READ)]


@dataclass(frozen=True, kw_only=True)
class Digested(Graded):
    type = "out.digested"
    channels = [inbox(), email(default="digest", digest="daily")]


@dataclass(frozen=True, kw_only=True)
class Batched(Graded):
    type = "out.batched"
    channels = [inbox(), email(batch="1h")]


@dataclass(frozen=True, kw_only=True)
class Sliding(Graded):
    type = "out.sliding"
    channels = [
        inbox(),
        email(batch=Batch(window="10m", sliding=True, most="30m")),
        via("sms", batch=Batch(window="1h", leading=True, items=3)),
    ]


@dataclass(frozen=True, kw_only=True)
class Throttled(Graded):
    type = "out.throttled"
    channels = [
        email(throttle="2/h"),
        via("sms", throttle=Throttle("1/h", then="drop")),
        via("pager", throttle=Throttle("1/h", then="defer")),
    ]


@dataclass(frozen=True, kw_only=True)
class Held(Graded):
    type = "out.held"
    channels = [inbox(), email(unless=ACTIVE)]


@dataclass(frozen=True, kw_only=True)
class Alarm(Graded):
    type = "out.alarm"
    required = True


@dataclass(frozen=True, kw_only=True)
class MailOnly(Graded):
    type = "out.mailonly"
    channels = [email()]


@dataclass(frozen=True, kw_only=True)
class Quiet(Graded):
    type = "out.off"
    channels = [inbox(), email(default="off")]


TYPES = [
    Graded, Escalated, Digested, Batched, Sliding, Throttled, Held, Alarm, MailOnly, Quiet,
]  # fmt: skip


@contextmanager
def registered() -> Iterator[None]:
    """The types above are known, for a while."""
    for cls in TYPES:
        types.register(cls)
    try:
        yield
    finally:
        for cls in TYPES:
            del types._registry[cls.type]


failing: dict[str, Exception] = {}
"""What the channel called so raises instead of sending."""
tried: list[Envelope] = []
"""What `Fragile` channels were handed, whatever came of it."""


@dataclass(frozen=True, kw_only=True)
class Fragile(Channel):
    """Sends like the memory channel, unless the test says that it fails."""

    prefix: str = "me"
    needs_endpoint: ClassVar[bool] = False
    waits: ClassVar[Any] = (timedelta(seconds=30), timedelta(minutes=2))

    def address_of(self, recipient: Any) -> str:
        return f"{self.prefix}:{recipient.pk}"

    def send(self, envelope: Envelope) -> Receipt:
        tried.append(envelope)
        error = failing.get(self.alias) or failing.get(envelope.address.value)
        if error is not None:
            raise error
        memory.sent.append(envelope)
        return Receipt()


BUSY = TransientFailure("the server is busy")


@dataclass
class Travel:
    """A clock that the test moves; what falls due on the way is delivered at its time."""

    traveller: Any
    log: list[datetime] = field(default_factory=list)

    def to(self, moment: datetime) -> None:
        self.traveller.move_to(moment)
        while outbox.deliver_due():
            continue

    def forward(self, **by: float) -> None:
        from django.utils import timezone

        self.to(timezone.now() + timedelta(**by))


START = datetime.fromisoformat("2026-11-20T12:00:00+00:00")


@contextmanager
def clock(start: datetime = START) -> Iterator[Travel]:
    with time_machine.travel(start, tick=False) as traveller:
        yield Travel(traveller)
