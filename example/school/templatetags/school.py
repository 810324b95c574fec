"""{% load school %}: how long ago something was."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.timesince import timesince

register = template.Library()


@register.filter
def ago(moment: str) -> str:
    """An ISO 8601 time, as items carry it, in words."""
    span = timesince(datetime.fromisoformat(moment), depth=1)
    return "just now" if span.startswith("0") else f"{span} ago"
