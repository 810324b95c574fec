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


class InvalidPreference(ClarionError, ValueError):
    """A choice that makes no sense: unknown scope, channel or value, bad hours, no such zone."""


class InvalidAddress(ClarionError, ValueError):
    """An address that a channel can't send to: not a URL, a private host, no such service."""


class DeliveryFailure(ClarionError):
    """A channel could not hand over an envelope. The text is kept as the reason: no secrets."""


class TransientFailure(DeliveryFailure):
    """It may work later: it is tried again, after `retry_after` seconds where the other side says.

    An exception of any other class that a channel raises is treated as one of these.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class PermanentFailure(DeliveryFailure):
    """It will never work like this: this envelope to this endpoint is not tried again."""


class EndpointGone(PermanentFailure):
    """The endpoint itself is no more (404, 410, an unknown mailbox): it is retired."""
