"""What leaves the screen: claimed, regrouped, decided again, rendered, sent, settled.

A claim is a lease in `due_at`: whoever dies with it leaves a delivery that falls due again. Nothing
is sent inside a transaction, and what was sent is settled before the next thing is.
"""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from clarion import deliveries, envelopes, parcels, reach
from clarion.channels.base import Channel, Envelope, Receipt, Result, get_channel, reason_of
from clarion.conf import settings
from clarion.deliveries import PENDING
from clarion.exceptions import EndpointGone, PermanentFailure
from clarion.models import Attempt, Delivery, Endpoint, digest_of
from clarion.parcels import Facts, Parcel

logger = logging.getLogger("clarion")

flush = deliveries.flush
Sent = tuple[Envelope, Result]
DELIVERED, SKIPPED, FAILED = (
    Delivery.Outcome.DELIVERED, Delivery.Outcome.SKIPPED, Delivery.Outcome.FAILED,
)  # fmt: skip
_DEATHS = 3  # of processes while they had it: then it is set aside


def deliver_due(limit: int = 200) -> int:
    """Send what is due, up to `limit` deliveries and what goes with them. Returns how many."""
    claimed = _claim(limit)
    if not claimed:
        return 0
    lease = _Lease(claimed)
    gathered = parcels.gather(_usable(claimed))
    facts = Facts(gathered, timezone.now())
    sendable = parcels.recheck(gathered, facts)
    book = envelopes.AddressBook(sendable)
    envelopes.prefetch(sendable)
    for alias in sorted({parcel.leader.channel for parcel in sendable}):
        mine = [parcel for parcel in sendable if parcel.leader.channel == alias]
        _Run(get_channel(alias), book, facts, lease).deliver(mine)
    return len(claimed)


def accounts(rows: QuerySet[Delivery] | None = None) -> dict[str, dict[str, int]]:
    """Deliveries by channel and outcome: what was accepted is in exactly one of them."""
    rows = Delivery.objects.all() if rows is None else rows
    counted = rows.order_by().values_list("channel", "outcome").annotate(number=Count("pk"))
    found: dict[str, dict[str, int]] = {}
    for channel, outcome, number in counted:
        found.setdefault(channel, dict.fromkeys(Delivery.Outcome.values, 0))[outcome] = number
    return found


def verify() -> list[str]:
    """Deliveries that nobody would ever settle, in words. Empty on a sound system."""
    return [f"delivery {pk} follows one that is settled" for pk in _lost()]


def repair() -> int:
    """Have what `verify` finds sent by itself."""
    return Delivery.objects.filter(pk__in=_lost()).update(
        leader=None, window="", due_at=timezone.now()
    )


def _lost() -> list[int]:
    following = Delivery.objects.filter(PENDING, leader__isnull=False)
    return list(following.exclude(leader__outcome="pending").values_list("pk", flat=True))


def retry(rows: QuerySet[Delivery]) -> int:
    """Send again what has failed; its attempts begin anew."""
    return _begin_anew(rows.filter(outcome=FAILED), "tried again by hand")


def replay(endpoint: Endpoint, since: datetime, until: datetime | None = None) -> int:
    """Send again to an endpoint what was settled in that time, with the same ids. How many."""
    mine = Q(endpoint=endpoint)
    if endpoint.recipient_id is not None:
        mine = Q(recipient=endpoint.recipient_id, channel=endpoint.channel)
    rows = Delivery.objects.filter(
        mine, settled_at__gte=since, settled_at__lte=until or timezone.now(), leader__isnull=True
    )
    return _begin_anew(rows.exclude(outcome=SKIPPED), "replayed")


def _begin_anew(rows: QuerySet[Delivery], reason: str) -> int:
    return rows.update(
        outcome=Delivery.Outcome.PENDING,
        reason=reason,
        due_at=timezone.now(),
        settled_at=None,
        closed_at=timezone.now(),  # attempts before it were of another life
        leader=None,
        window="",
        attempts=0,
    )


def _claim(limit: int) -> list[Delivery]:
    """Take up to `limit` due deliveries: bulk ones behind all others, but never left out."""
    now, token = timezone.now(), secrets.token_hex(6)
    with transaction.atomic():
        ids = _due_ids(now, limit, (False, True))
        if len(ids) == limit:  # perhaps none of a large mailing
            ids += _due_ids(now, limit // 10, (True,))
        if not ids:
            return []
        Delivery.objects.filter(pk__in=ids, due_at__lte=now).update(
            due_at=now + _lease(),
            claim=token,
            attempts=F("attempts") + 1,
            closed_at=Coalesce("closed_at", now),
        )
    mine = Delivery.objects.filter(pk__in=ids, claim=token)
    return list(mine.order_by("bulk", "pk"))


def _lease() -> timedelta:
    return timedelta(seconds=settings.DELIVERY_LEASE)


def _due_ids(now: datetime, limit: int, bulk: Sequence[bool]) -> list[int]:
    due = Delivery.objects.filter(due_at__lte=now, bulk__in=bulk).order_by("bulk", "due_at")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True)
    return list(due.values_list("pk", flat=True)[:limit])


def _usable(claimed: Sequence[Delivery]) -> list[Delivery]:
    """Without poison rows, which take their worker down again and again, and strange channels."""
    sound = []
    for delivery in claimed:
        try:
            waits = get_channel(delivery.channel).waits
        except ImproperlyConfigured as error:  # of an older release, or of one not rolled out yet
            deliveries.put_off(delivery, error, Channel.waits)
            continue
        if delivery.attempts <= len(waits) + _DEATHS:
            sound.append(delivery)
        else:
            deliveries.give_up(delivery, "set aside: its worker died with it again and again")
    return sound


class _Lease:
    """The hold on all that was claimed together."""

    def __init__(self, claimed: Sequence[Delivery]) -> None:
        self.rows = Delivery.objects.filter(PENDING, claim=claimed[0].claim)
        self.renew_at = timezone.now() + _lease() / 3

    def holds(self, leader: Delivery) -> bool:
        """Renewed in good time; a process that stood still for long has lost it to another."""
        now = timezone.now()
        if now < self.renew_at:
            return True
        self.renew_at = now + _lease() / 3
        self.rows.update(due_at=now + _lease())
        return self.rows.filter(pk=leader.pk).exists()


class _Run:
    """The parcels of one claim that leave by one channel."""

    def __init__(
        self, channel: Channel, book: envelopes.AddressBook, facts: Facts, lease: _Lease
    ) -> None:
        self.channel = channel
        self.book = book
        self.facts = facts
        self.lease = lease
        self.parcels: dict[str, Parcel] = {}  # by envelope id
        self.expected: dict[int, int] = {}  # envelopes of each parcel, by its leader
        self.sent: dict[int, list[Sent]] = defaultdict(list)
        self.made: envelopes.Entries = {}
        self.attempts: list[Attempt] = []  # not written yet
        self.complete: list[Parcel] = []  # all of it sent, not settled yet

    def deliver(self, mine: Sequence[Parcel]) -> None:
        for envelope, result in self.channel.send_all(self._envelopes(mine)):
            parcel = self.parcels[envelope.id]
            sent = self._fail_over(parcel, envelope, result)
            self.attempts.append(_attempt(parcel, *sent))
            self.sent[parcel.leader.pk].append(sent)
            if len(self.sent[parcel.leader.pk]) == self.expected[parcel.leader.pk]:
                self.complete.append(parcel)
            if len(self.attempts) >= self.channel.at_risk:
                self._settle()
        self._settle()

    def _envelopes(self, mine: Sequence[Parcel]) -> Iterator[Envelope]:
        """Made one by one, as the channel takes them; what another worker took over is left out."""
        for parcel in mine:
            if not self.lease.holds(parcel.leader):
                continue
            try:
                sealed = self._seal(parcel)
            except Exception as error:
                logger.exception("delivery %s could not be rendered", parcel.leader.pk)
                deliveries.put_off(parcel.leader, error, self.channel.waits)
                continue
            if not sealed:
                self._nowhere(parcel)
            self.expected[parcel.leader.pk] = len(sealed)
            yield from sealed

    def _seal(self, parcel: Parcel) -> list[Envelope]:
        """An envelope for each address that was not served yet."""
        zone = self.facts.hours(parcel.leader).zone
        sealed = [
            envelopes.seal(parcel, address, self.channel, zone, self.made)
            for address in self.book.of(parcel)
        ]
        self.parcels |= {envelope.id: parcel for envelope in sealed}
        return sealed

    def _nowhere(self, parcel: Parcel) -> None:
        if self.book.was_delivered(parcel):  # to all of them, but it was not settled
            self._close([parcel], DELIVERED, "delivered")
        elif self.book.was_refused(parcel):
            self._close([parcel], FAILED, "refused by every address")
        else:
            self._close([parcel], SKIPPED, self.book.why_none(parcel))

    def _fail_over(self, parcel: Parcel, envelope: Envelope, result: Result) -> Sent:
        """The second channel takes over at once; the first one's failure is kept as an attempt."""
        if isinstance(result, Receipt) or not self.channel.failover:
            return envelope, result
        second = get_channel(self.channel.failover)
        addresses = self.book.of(parcel, second.alias)
        if isinstance(result, PermanentFailure):  # of the address, not of the provider
            addresses = [each for each in addresses if each.value != envelope.address.value]
        if not addresses:
            return envelope, result
        self.attempts.append(_attempt(parcel, envelope, result))
        again = replace(envelope, channel=second.alias, address=addresses[0])
        [sent] = second.send_all([again])
        return sent

    def _settle(self) -> None:
        """Write down what became of everything that was sent since the last time."""
        attempts, self.attempts = self.attempts, []
        complete, self.complete = self.complete, []
        if not attempts:
            return
        with transaction.atomic():
            Attempt.objects.bulk_create(attempts)
            failed = [parcel for parcel in complete if self._errors(parcel)]
            self._close([each for each in complete if each not in failed], DELIVERED, "delivered")
            for parcel in failed:
                self._settle_failed(parcel, self._errors(parcel))
            reach.note_health(attempts)
            if self.channel.retire_after is not None:
                reach.retire_failing(self.channel.alias, self.channel.retire_after)

    def _errors(self, parcel: Parcel) -> list[tuple[Envelope, Exception]]:
        sent = self.sent[parcel.leader.pk]
        return [(envelope, what) for envelope, what in sent if isinstance(what, Exception)]

    def _settle_failed(self, parcel: Parcel, errors: list[tuple[Envelope, Exception]]) -> None:
        for envelope, error in errors:
            if isinstance(error, EndpointGone):
                reach.retire(
                    envelope.channel,
                    envelope.address.value,
                    reason_of(error),
                    recipient=parcel.leader.recipient_id,
                    tell=self.channel.retire_after is not None,
                )
        transient = [error for _, error in errors if not isinstance(error, PermanentFailure)]
        reason = reason_of((transient or [errors[0][1]])[0])
        if transient and deliveries.put_off(
            parcel.leader, transient[0], self.channel.waits, last=False
        ):
            return
        if len(errors) < len(self.sent[parcel.leader.pk]) or self.book.was_delivered(parcel):
            self._close([parcel], DELIVERED, f"delivered, but also: {reason}")
        else:
            self._close([parcel], FAILED, reason)

    def _close(self, closed: Sequence[Parcel], outcome: str, reason: str) -> None:
        """Leaders under their claim, so that who lost it changes nothing; then their followers."""
        if not closed:
            return
        plain = [parcel.leader.pk for parcel in closed if not parcel.skipped]
        claim = closed[0].leader.claim
        deliveries.settle(
            Delivery.objects.filter(PENDING, pk__in=plain, claim=claim), reason, outcome
        )
        followers = [
            row.pk for parcel in closed for row in parcel.rows if row.pk != parcel.leader.pk
        ]
        if followers:
            deliveries.settle(Delivery.objects.filter(PENDING, pk__in=followers), reason, outcome)
        for parcel in closed:
            if parcel.skipped:
                deliveries.settle(self._mine(parcel.leader), parcel.skipped)

    def _mine(self, leader: Delivery) -> QuerySet[Delivery]:
        return Delivery.objects.filter(PENDING, pk=leader.pk, claim=leader.claim)


def _attempt(parcel: Parcel, envelope: Envelope, result: Result) -> Attempt:
    attempt = Attempt(
        delivery_id=parcel.leader.pk,
        number=parcel.leader.attempts,
        channel=envelope.channel,
        endpoint_id=envelope.address.endpoint,
        address=digest_of(envelope.address.value),
    )
    if isinstance(result, Receipt):
        attempt.outcome = Attempt.Outcome.DELIVERED
        attempt.reference, attempt.detail = result.reference[:200], result.detail[:300]
    else:
        permanent = isinstance(result, PermanentFailure)
        attempt.outcome = Attempt.Outcome.PERMANENT if permanent else Attempt.Outcome.TRANSIENT
        attempt.detail = reason_of(result)
    return attempt
