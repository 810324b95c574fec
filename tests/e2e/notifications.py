from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clarion import Action, Content, NotificationType, register

if TYPE_CHECKING:
    from clarion.models import Event


@register
@dataclass(frozen=True, kw_only=True)
class Note(NotificationType):
    """Says whatever the test wants it to say."""

    type = "e2e.note"
    category = "notes"
    example = {"title": "Fractions, page 12"}

    title: str
    body: str = ""
    url: str = ""
    actions: list[dict[str, Any]] = field(default_factory=list)

    def content(self, event: Event) -> Content:
        actions = [Action(**action) for action in self.actions]
        return Content(title=self.title, body=self.body, url=self.url, actions=actions)
