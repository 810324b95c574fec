"""What is sent in the benchmarks: a text of a usual length, with a category people can switch off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clarion import Content, NotificationType, register

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
