"""What Clarion itself has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from clarion.routes import inbox
from clarion.types import Content, Level, NotificationType, register

if TYPE_CHECKING:
    from clarion.models import Event


@register
@dataclass(frozen=True, kw_only=True)
class EndpointRetired(NotificationType):
    """A webhook of yours failed for so long that nothing is sent to it any more."""

    type = "clarion.endpoint_retired"
    category = "clarion"
    level = Level.WARNING
    channels = [inbox()]
    example = {"channel": "webhook", "name": "CRM", "reason": "did nothing but fail for 5 days"}

    channel: str
    name: str = ""
    reason: str = ""

    def content(self, event: Event) -> Content:
        title = _("%(name)s was switched off") % {"name": self.name or self.channel}
        return Content(title=title, body=_("Reason: %(reason)s.") % {"reason": self.reason})
