"""Why somebody did or didn't get something: what was decided, what was done, what would be now.

print(explain.why(alice, event))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from clarion import deliveries
from clarion.channels.base import aliases
from clarion.evidence import Evidence
from clarion.models import Delivery, Endpoint, Event, Notification, digest_of
from clarion.routes import INBOX

_LONG = 60  # characters of a changed preference that are told


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was decided or done."""

    channel: str
    """An alias, "inbox", or "" for what concerns the event as a whole."""
    verdict: str
    reason: str = ""
    source: str
    """What says so: "event", "audience", "notification", "delivery", "attempt", "endpoint",
    "preference"; or "now" for what would be decided at this moment: "yes", "no" or "later"."""
    at: datetime | None = None
    """When it was, or is due."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What became of an event for one person; as a text it is for people to read."""

    recipient: Any
    event: Event
    steps: Sequence[Step]

    def of(self, channel: str) -> list[Step]:
        """The steps of one channel, in the order of time; what holds now is the last."""
        return [step for step in self.steps if step.channel == channel]

    def __str__(self) -> str:
        event = self.event
        lines = [f'{self.recipient}, and event {event.pk} of {event.type}: "{event.text}"']
        for channel in dict.fromkeys(step.channel for step in self.steps):
            lines += ["", channel or "the event", *map(_line, self.of(channel))]
        return "\n".join([*lines, "", f"Times are in {timezone.get_current_timezone_name()}."])


def _line(step: Step) -> str:
    when = f"{timezone.localtime(step.at):%Y-%m-%d %H:%M:%S}" if step.at else ""
    verdict = f"if sent now: {step.verdict}" if step.source == "now" else step.verdict
    return f"  {when:19}  {verdict:20}  {step.reason}".rstrip()


def why(recipient: Any, what: Event | Notification) -> Explanation:
    """Explain what became of an event, or of a notification, for a user of the site.

    Also for somebody it was not meant for. A constant number of queries, and nothing is changed.

    Raises:
        ValueError: the notification is another person's.
        Event.DoesNotExist: it was deleted.
    """
    if isinstance(what, Notification) and what.recipient_id != recipient.pk:
        raise ValueError(f"Notification {what.pk} is another person's; explain its event instead.")
    pk = what.event_id if isinstance(what, Notification) else what.pk
    event = Event.objects.get(pk=pk)  # as it is now: `notify` returned it before the fan-out
    evidence = Evidence(recipient, event)
    return Explanation(recipient=recipient, event=event, steps=list(_steps(evidence)))


def _steps(evidence: Evidence) -> Iterator[Step]:
    yield from _event(evidence)
    yield from _inbox(evidence)
    for channel in evidence.channels:
        yield from _outward(evidence, channel)


# --- the event


def _event(evidence: Evidence) -> Iterator[Step]:
    yield _of_event("accepted", f"for {evidence.whom}", evidence.event.created_at)
    yield _fan_out(evidence.event)
    yield from _expiry(evidence)
    yield _meant(evidence)
    yield from _changes(evidence, "")


def _fan_out(event: Event) -> Step:
    if event.retracted_at:
        return _of_event("taken back", "from every inbox and screen", event.retracted_at)
    if event.cancelled_at:
        expired = event.expires_at is not None and event.expires_at <= event.cancelled_at
        why = "it expired before it was fanned out" if expired else "before it was fanned out"
        return _of_event("cancelled", why, event.cancelled_at)
    if event.due_at:
        begun = f"it has come to {event.checkpoint}" if event.checkpoint else ""
        return _of_event("to be fanned out", begun, event.due_at)
    if event.is_public:
        return _of_event("announced", "a row is made when an inbox is read")
    return _of_event("fanned out", f"{event.notified} notified, {event.skipped} skipped")


def _expiry(evidence: Evidence) -> Iterator[Step]:
    event = evidence.event
    if event.expires_at and not event.cancelled_at:
        over = event.expires_at <= evidence.now
        yield _of_event("expired" if over else "expires", "", event.expires_at)


def _meant(evidence: Evidence) -> Step:
    """Named audiences and groups are read anew: what is on record holds for what was then."""
    served = evidence.row is not None or bool(evidence.deliveries)
    if evidence.is_meant:
        pending = evidence.event.due_at is not None or evidence.event.is_public
        missed = not served and not pending and not evidence.event.cancelled_at
        verdict = "in the audience"
        reason = "but not when it was fanned out, or its rows were pruned" if missed else ""
    else:
        verdict = "not in the audience"
        reason = "but in it when it was fanned out" if served else f"it was for {evidence.whom}"
    return Step(channel="", verdict=verdict, reason=reason, source="audience")


def _of_event(verdict: str, reason: str, at: datetime | None = None) -> Step:
    return Step(channel="", verdict=verdict, reason=reason, source="event", at=at)


def _changes(evidence: Evidence, channel: str) -> Iterator[Step]:
    for row in evidence.changes.get(channel, ()):
        told = f": {row.old or 'default'} to {row.new or 'default'}"
        subject = row.subject if len(told) > _LONG else row.subject + told
        yield Step(
            channel=channel,
            verdict="preference changed",
            reason=f"{subject} ({row.source})",
            source="preference",
            at=row.at,
        )


# --- the inbox


def _inbox(evidence: Evidence) -> Iterator[Step]:
    yield from _changes(evidence, INBOX)
    skipped = evidence.deliveries.get(INBOX)
    if skipped is not None:
        yield _of_delivery(skipped, skipped.outcome, skipped.reason, skipped.settled_at)
    if evidence.row is not None:
        yield from _shown(evidence.row)
    route = deliveries.inbox_route(evidence.event)
    if route is None or evidence.gone:
        yield _now(INBOX, "no", evidence.gone or "its type has no inbox")
    else:
        decision = evidence.decide(route)
        yield _now(INBOX, "yes" if decision.send else "no", decision.reason)


def _shown(row: Notification) -> Iterator[Step]:
    repeats = f"one of {row.count} repeats in one row" if row.count > 1 else ""
    happened = [
        ("put into the inbox", repeats, row.arrived_at),
        ("reached a screen", "", row.delivered_at),
        ("seen", "", row.seen_at),
        ("read", "", row.read_at),
        ("archived", "", row.archived_at),
        ("snoozed until", "", row.snoozed_until),
        ("taken back", "", row.removed_at),
    ]
    for verdict, reason, at in happened:
        if at is not None:
            yield Step(channel=INBOX, verdict=verdict, reason=reason, source="notification", at=at)
    if row.seen_at is None and row.removed_at is None:
        yield Step(channel=INBOX, verdict="not seen yet", source="notification")


# --- what leads out


def _outward(evidence: Evidence, channel: str) -> Iterator[Step]:
    if channel not in aliases():
        yield _of_endpoint(channel, "not configured", "CLARION['CHANNELS'] does not have it")
        return
    yield from _changes(evidence, channel)
    row = evidence.deliveries.get(channel)
    if row is not None:
        yield from _delivered(evidence, row)
    yield from _addresses(evidence, channel)
    if row is not None and row.outcome == Delivery.Outcome.PENDING:
        yield _judged(evidence, row)
    else:
        yield _decided(evidence, channel)


def _delivered(evidence: Evidence, row: Delivery) -> Iterator[Step]:
    if row.outcome != Delivery.Outcome.SKIPPED or row.decision != row.reason:
        yield _of_delivery(row, "wanted", row.decision, row.created_at)
    leader = row.leader or row
    for attempt in evidence.attempts.get(leader.pk, ()):
        by = f"by {attempt.channel}: " if attempt.channel != row.channel else ""
        yield Step(
            channel=row.channel,
            verdict=f"attempt {attempt.number}",
            reason=f"{by}{attempt.outcome}" + (f", {attempt.detail}" if attempt.detail else ""),
            source="attempt",
            at=attempt.at,
        )
    if row.outcome == Delivery.Outcome.PENDING:
        yield _waiting(evidence, row, leader)
    else:
        yield _of_delivery(row, row.outcome, row.reason, row.settled_at)


def _waiting(evidence: Evidence, row: Delivery, leader: Delivery) -> Step:
    others = evidence.company.get(leader.pk, 0)
    company = f"with {others} others in {leader.window!r}" if leader.window else ""
    verdict = "being sent until" if leader.claim else "due"
    reason = ", ".join(filter(None, (row.reason.removeprefix("waits: "), company)))
    return _of_delivery(row, verdict, reason, leader.due_at)


def _of_delivery(row: Delivery, verdict: str, reason: str, at: datetime | None) -> Step:
    same = reason == verdict  # "delivered", "delivered"
    return Step(
        channel=row.channel,
        verdict=verdict,
        reason="" if same else reason,
        source="delivery",
        at=at,
    )


def _addresses(evidence: Evidence, channel: str) -> Iterator[Step]:
    """By their names: an address may be a secret."""
    rows = evidence.endpoints.get(channel, [])
    used = [row for row in rows if row.retired_at is None]
    for row in rows:
        if row.retired_at is not None:
            reason = ": ".join(filter(None, (_name(row), row.reason)))
            yield _of_endpoint(channel, "address retired", reason, row.retired_at)
    for row in used:
        yield _of_endpoint(channel, "goes to", _name(row))
    own = evidence.own_address(channel)
    if not used and own and digest_of(own) not in {row.digest for row in rows}:
        yield _of_endpoint(channel, "goes to", "the address of the account")
    elif not used:
        yield _of_endpoint(channel, "goes nowhere", "" if rows else "no address is known")


def _name(row: Endpoint) -> str:
    return row.label or f"endpoint {row.pk}"


def _of_endpoint(channel: str, verdict: str, reason: str, at: datetime | None = None) -> Step:
    return Step(channel=channel, verdict=verdict, reason=reason, source="endpoint", at=at)


# --- now


def _judged(evidence: Evidence, row: Delivery) -> Step:
    verdict = evidence.judge(row)
    if verdict is None:
        return _now(row.channel, "yes", "it is still wanted")
    if isinstance(verdict, str):
        return _now(row.channel, "no", verdict)
    return _now(row.channel, "later", verdict.reason, verdict.at)


def _decided(evidence: Evidence, channel: str) -> Step:
    """What would be decided, were it sent to them now."""
    route = evidence.routes.get(channel)
    if route is None or evidence.gone:
        return _now(channel, "no", evidence.gone or "its type has no such channel")
    decision = evidence.decide(route)
    if not decision.send:
        return _now(channel, "no", decision.reason)
    due = evidence.due(route, decision)
    reason = ", ".join(filter(None, (decision.reason, due.reason)))
    return _now(channel, "later" if due.reason else "yes", reason, due.at)


def _now(channel: str, verdict: str, reason: str, at: datetime | None = None) -> Step:
    return Step(channel=channel, verdict=verdict, reason=reason, source="now", at=at)
