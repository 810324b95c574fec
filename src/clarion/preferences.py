"""Whether a person wants a notification on a channel: one pure decision, first match wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clarion.models import Event, Preference

INBOX = "inbox"
Choices = Mapping[str, str]
"""A person's explicit values by scope, most specific first when looked up."""


@dataclass(frozen=True)
class Decision:
    """Send it or not, and why, in words a person understands."""

    send: bool
    reason: str


def scopes(event: Event) -> list[str]:
    """Where a choice about this event may stand, the most specific first."""
    by_category = [f"category:{event.category}"] if event.category else []
    return [f"type:{event.type}", *by_category, "*"]


def decide(
    event: Event, *, required: bool, is_active: bool, is_actor: bool, choices: Choices
) -> Decision:
    """Decide about the inbox of one recipient."""
    if not is_active:
        return Decision(False, "the account is not active")
    if is_actor and not event.include_actor:
        return Decision(False, "did it themselves")
    if required:
        return Decision(True, "required")
    for scope in scopes(event):
        if scope in choices:
            return Decision(choices[scope] != Preference.Value.OFF, f"{scope} is {choices[scope]}")
    return Decision(True, "default")


def choices_between(event: Event, first: Any, last: Any) -> dict[Any, dict[str, str]]:
    """Explicit choices about the event's inbox rows, by recipient, for a range of recipients."""
    rows = Preference.objects.filter(
        recipient__gte=first, recipient__lte=last, channel=INBOX, scope__in=scopes(event)
    ).values_list("recipient_id", "scope", "value")
    found: dict[Any, dict[str, str]] = {}
    for recipient, scope, value in rows:
        found.setdefault(recipient, {})[scope] = value
    return found


def choose(recipient: Any, scope: str, value: str, channel: str = INBOX) -> None:
    """Store an explicit choice: `choose(user, "category:grades", "off")`."""
    Preference.objects.update_or_create(
        recipient=recipient, scope=scope, channel=channel, defaults={"value": value}
    )
