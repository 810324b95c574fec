"""Errors raised on purpose: the class tells code what to do, the text tells a person."""

from __future__ import annotations


class ClarionError(Exception):
    """Base of all errors below."""


class InvalidNotification(ClarionError, ValueError):
    """`notify()` was given something that can't become a notification. Nothing was written."""


class UnknownType(InvalidNotification):
    """A notification type that no installed app registers."""


class InvalidPayload(InvalidNotification):
    """A payload field is missing, unknown, of the wrong kind, not JSON or over its limit."""


class InvalidRecipient(InvalidNotification):
    """A recipient is of a kind that can't be notified, or isn't saved."""


class UnknownAudience(InvalidNotification):
    """A named audience that nobody registered."""


class KeyConflict(InvalidNotification):
    """An idempotency key was used before, for another notification."""


class InvalidMark(ClarionError, ValueError):
    """A change of state that makes no sense: unknown state, bad ids, a snooze into the past."""


class BadCursor(ClarionError, ValueError):
    """A cursor or position that Clarion did not hand out."""
