"""Who was notified of what, by which channel, with a failure that tells what happened instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from clarion import inbox, schema
from clarion.channels.base import aliases
from clarion.models import Attempt, Delivery, Event
from clarion.routes import INBOX
from clarion.types import NotificationType, get_type

What: TypeAlias = type[NotificationType] | NotificationType | str
"""A type, an instance of one, or a title as it was accepted."""

_TOLD = 10  # events in a failure message


def assert_notified(
    recipient: Any, what: What, *, via: str = INBOX, times: int | None = None, **payload: Any
) -> None:
    """`recipient` got it: it is in the inbox, or was handed over by the channel `via`.

        assert_notified(alice, Graded, via="email", times=1, grade="A")
        assert_notified(alice, "Your export is ready")

    Args:
        what: a type (with the fields named in `payload`), an instance (with all of its fields), or
            a title.
        via: "inbox" or the alias of a channel.
        times: exactly so often; None: at least once. Repeats that were collapsed count one by one.

    Raises:
        AssertionError: the text says what was sent, and why anything wasn't.
        TypeError, ValueError: no such field or channel, so that nothing is asserted in vain.
    """
    __tracebackhide__ = True
    wanted = _Wanted.of(what, payload)
    found = sum(wanted.fits(event) for event in _got(recipient, via))
    if found == times or (times is None and found):
        return
    often = "" if times is None else f" {found} times, not {times},"
    verb = "was notified" if found else "was not notified"
    raise AssertionError(f"{recipient} {verb}{often} of {wanted} by {via}.\n{_story(recipient)}")


def assert_not_notified(
    recipient: Any, what: What | None = None, *, via: str = INBOX, **payload: Any
) -> None:
    """`recipient` did not get it by `via`; nothing at all, without `what`. See `assert_notified`.

    What still waits for its time was not got either: move the clock first.
    """
    __tracebackhide__ = True
    wanted = _Wanted.of(what, payload)
    if any(wanted.fits(event) for event in _got(recipient, via)):
        raise AssertionError(f"{recipient} was notified of {wanted} by {via}.\n{_story(recipient)}")


@dataclass(frozen=True)
class _Wanted:
    """What an event must be to count."""

    what: What | None
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, what: What | None, payload: Mapping[str, Any]) -> _Wanted:
        if isinstance(what, str) or what is None:
            if payload:
                raise TypeError("Fields go with a type; a title stands for itself.")
            return cls(what, {})
        known = schema.hints_of(what if isinstance(what, type) else type(what))
        for name in set(payload) - set(known):
            raise TypeError(f"{what.type} has no field {name!r}; it has {', '.join(known)}.")
        if isinstance(what, NotificationType):
            payload = {name: getattr(what, name) for name in known} | dict(payload)
        return cls(what, payload)

    def fits(self, event: Event) -> bool:
        if self.what is None:
            return True
        if isinstance(self.what, str):
            return event.text == self.what
        if event.type != self.what.type:
            return False
        message = get_type(event.type).from_payload(event.data)
        return all(getattr(message, name) == value for name, value in self.payload.items())

    def __str__(self) -> str:
        if self.what is None:
            return "anything"
        if isinstance(self.what, str):
            return repr(self.what)
        fields = ", ".join(f"{name}={value!r}" for name, value in self.payload.items())
        return f"{self.what.type}({fields})"


def _got(recipient: Any, via: str) -> Iterable[Event]:
    if via == INBOX:
        return _in_the_inbox(recipient)
    if via not in aliases():
        known = ", ".join([INBOX, *aliases()])
        raise ValueError(f"via: no channel is called {via!r}. Configured channels: {known}.")
    return _handed_over(recipient, via)


def _in_the_inbox(recipient: Any) -> list[Event]:
    """One for each repeat of a collapsed row. Announcements become rows when somebody looks."""
    inbox.position(recipient)
    rows = inbox.rows_of(recipient).filter(removed_at__isnull=True).order_by("pk")
    ids = [pk for row in rows for pk in row.members or [row.event_id]]
    events = Event.objects.in_bulk(ids)
    return [events[pk] for pk in ids if pk in events]


def _handed_over(recipient: Any, channel: str) -> list[Event]:
    """By this channel itself: another one may have taken over from the one that was decided on."""
    rows = Delivery.objects.filter(recipient=recipient, outcome=Delivery.Outcome.DELIVERED)
    sent = list(rows.exclude(channel=INBOX).select_related("event").order_by("pk"))
    tries = Attempt.objects.filter(
        delivery__in={row.leader_id or row.pk for row in sent},
        channel=channel,
        outcome=Attempt.Outcome.DELIVERED,
    )
    handed = set(tries.values_list("delivery_id", flat=True))
    return [row.event for row in sent if (row.leader_id or row.pk) in handed]


# --- what happened instead


def _story(recipient: Any) -> str:
    lines = _what_there_is(recipient)
    waiting = [f"  {_name(event)}" for event in Event.objects.filter(due_at__isnull=False)[:_TOLD]]
    if waiting:
        lines += [
            "",
            "Accepted, but not fanned out yet; put it into `with run_after_commit():`, or move the "
            "clock:",
            *waiting,
        ]
    return "\n".join(lines)


def _what_there_is(recipient: Any) -> list[str]:
    """The newest events that concern somebody, and what became of them on each channel."""
    told: dict[Event, list[str]] = {}
    for event in _in_the_inbox(recipient):
        told.setdefault(event, []).append("inbox: shown")
    rows = Delivery.objects.filter(recipient=recipient).select_related("event", "leader")
    for row in rows.order_by("pk"):
        told.setdefault(row.event, []).append(f"{row.channel}: {_became(row)}")
    if not told:
        return [f"There is nothing for {recipient}."]
    newest = sorted(told, key=lambda event: event.pk)[-_TOLD:]
    lines = [f"What there is for {recipient}:"]
    for event in newest:
        lines += [f"  {_name(event)}", *(f"    {text}" for text in told[event])]
    return lines


def _name(event: Event) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in event.data.items())
    return f"{event.type}({fields}), {event.text!r}"


def _became(row: Delivery) -> str:
    if row.outcome != Delivery.Outcome.PENDING:
        same = row.reason in ("", row.outcome)
        return row.outcome if same else f"{row.outcome}, {row.reason}"
    leader = row.leader or row
    when = f"due at {leader.due_at:%Y-%m-%d %H:%M:%S}" if leader.due_at else "waits"
    return f"{when}, {row.reason}" if row.reason else when
