"""Say why somebody did or didn't get something."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clarion import explain
from clarion.models import Event, Notification


class Command(BaseCommand):
    help = (
        "Explain what became of a notification, or of an event for somebody it may not have been "
        "meant for: what was decided and done on every channel, and what would be decided now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="user name, mail address or primary key")
        parser.add_argument("id", type=int, help="of the notification; with --event, of the event")
        parser.add_argument("--event", action="store_true", help="the id is that of an event")

    def handle(self, *args: Any, **options: Any) -> None:
        user = _user(options["user"])
        what = _event(options["id"]) if options["event"] else _notification(options["id"], user)
        self.stdout.write(str(explain.why(user, what)))


def _user(given: str) -> Any:
    """Whoever is called so, or has this address, or this key: the first of these that fits."""
    model = get_user_model()
    for column in (model.USERNAME_FIELD, model.get_email_field_name(), "pk"):
        found = _users(column, given)
        if len(found) > 1:
            keys = ", ".join(str(user.pk) for user in found)
            raise CommandError(f"Several users have the {column} {given!r}; give a key: {keys}.")
        if found:
            return found[0]
    raise CommandError(f"No user has the name, mail address or primary key {given!r}.")


def _users(column: str, given: str) -> list[Any]:
    model = get_user_model()
    if column != "pk" and column not in {field.name for field in model._meta.fields}:
        return []
    try:
        return list(model._base_manager.filter(**{column: given})[:10])
    except (ValueError, ValidationError, OverflowError):  # not a key of this kind
        return []


def _notification(pk: int, user: Any) -> Notification:
    found = Notification.objects.filter(pk=pk).first()
    if found is None:
        raise CommandError(f"There is no notification {pk}. Is it an event? Add --event.")
    if found.recipient_id != user.pk:
        raise CommandError(
            f"Notification {pk} is another person's. What became of its event for {user}: "
            f"--event {found.event_id}."
        )
    return found


def _event(pk: int) -> Event:
    found = Event.objects.filter(pk=pk).first()
    if found is None:
        raise CommandError(f"There is no event {pk}.")
    return found
