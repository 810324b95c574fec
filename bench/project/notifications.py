"""What the benchmarks send: a text of a usual length, in a category that people can switch off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clarion import Content, NotificationType, register
from clarion.routes import email, inbox

if TYPE_CHECKING:
    from clarion.models import Event


@register
@dataclass(frozen=True, kw_only=True)
class News(NotificationType):
    """Something to read for many people."""

    type = "bench.news"
    category = "news"
    example = {"headline": "The library is open on Sunday"}

    headline: str

    def content(self, event: Event) -> Content:
        return Content(title=self.headline, body="Some text of a usual length here", url="/news/")


COMMITTED: dict[int, int] = {}
"""When the commit of a numbered message began, as far as this process knows (ns, monotonic)."""


@register
@dataclass(frozen=True, kw_only=True)
class Numbered(NotificationType):
    """A message that the load client knows again, and whose way it can time from the commit on."""

    type = "bench.numbered"
    category = "news"
    example = {"number": 1, "sent": 0}

    number: int
    sent: int

    def content(self, event: Event) -> Content:
        at = COMMITTED.get(self.number, self.sent)
        said = json.dumps({"n": self.number, "t": at}, separators=(",", ":"))
        return Content(title="New comment on your post", body=said, url="/news/")


@register
@dataclass(frozen=True, kw_only=True)
class Mailed(News):
    """The same, and by mail at once."""

    type = "bench.mailed"
    channels = [inbox(), email()]


@register
@dataclass(frozen=True, kw_only=True)
class Digested(News):
    """The same, and by mail once a day."""

    type = "bench.digested"
    channels = [inbox(), email(default="digest")]
