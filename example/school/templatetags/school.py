"""{% load school %}: how long ago something was."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.timesince import timesince

register = template.Library()


@register.filter
def ago(moment: datetime | str) -> str:
    """A time, or ISO 8601 text as items carry it, in words."""
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    span = timesince(moment, depth=1)
    return "just now" if span.startswith("0") else f"{span} ago"
