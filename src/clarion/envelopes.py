"""Where a parcel goes, and what is in the envelope: addresses, entries, languages, whole links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.contenttypes.models import ContentType
from django.db.models import F
from django.utils import timezone

from clarion import items
from clarion.channels.base import Address, Channel, Entry, Envelope, get_channel
from clarion.conf import settings
from clarion.models import Attempt, Delivery, Endpoint, Event, digest_of
from clarion.parcels import Parcel
from clarion.types import Action, Content, Level, is_required

SHOWN = 50  # entries of a digest that are rendered; the count is always exact


class AddressBook:
    """Where to send some parcels: two queries, and one more when some are tried again."""

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        leaders = [parcel.leader for parcel in parcels]
        channels = {name for leader in leaders for name in _with_failover(leader.channel)}
        self._stored = self._read_stored(leaders, channels)
        self._retired = self._read_retired(leaders, channels)
        self._done = self._read_done(leaders)

    def _read_stored(
        self, leaders: Sequence[Delivery], channels: set[str]
    ) -> dict[tuple[Any, str], list[Address]]:
        ids = {leader.recipient_id for leader in leaders if leader.recipient_id is not None}
        rows = Endpoint.objects.filter(
            recipient__in=ids, channel__in=channels, retired_at__isnull=True
        )
        found: dict[tuple[Any, str], list[Address]] = defaultdict(list)
        for row in rows.order_by("pk"):
            found[row.recipient_id, row.channel].append(address_of(row))
        return found

    def _read_retired(self, leaders: Sequence[Delivery], channels: set[str]) -> set[Any]:
        """Addresses that bounced or complained, whoever they belonged to."""
        own = {
            (name, digest_of(get_channel(name).address_of(leader.recipient)))
            for leader in leaders
            if leader.recipient_id is not None
            for name in channels
            if not get_channel(name).needs_endpoint
        }
        if not own:
            return set()
        rows = Endpoint.objects.filter(
            channel__in=channels, digest__in={digest for _, digest in own}, retired_at__isnull=False
        )
        return set(rows.values_list("channel", "digest"))

    def _read_done(self, leaders: Sequence[Delivery]) -> dict[tuple[int, str], str]:
        """What came of each address that needs no other try, since the delivery was first taken."""
        again = [leader.pk for leader in leaders if leader.attempts > 1]
        if not again:
            return {}
        tries = Attempt.objects.filter(delivery__in=again, at__gte=F("delivery__closed_at"))
        over = tries.exclude(outcome=Attempt.Outcome.TRANSIENT).order_by("pk")
        columns = over.values_list("delivery_id", "address", "outcome")
        return {(pk, address): outcome for pk, address, outcome in columns}

    def of(self, parcel: Parcel, channel: str | None = None) -> list[Address]:
        """Where the parcel goes by its channel or another; what was served is left out."""
        leader = parcel.leader
        name = channel or leader.channel
        found = self._all(leader, name)
        return [
            address for address in found if (leader.pk, digest_of(address.value)) not in self._done
        ]

    def was_delivered(self, parcel: Parcel) -> bool:
        """Whether an earlier try reached some address of it."""
        return Attempt.Outcome.DELIVERED in self._outcomes(parcel)

    def was_refused(self, parcel: Parcel) -> bool:
        """Whether earlier tries were refused for good."""
        return Attempt.Outcome.PERMANENT in self._outcomes(parcel)

    def _outcomes(self, parcel: Parcel) -> set[str]:
        return {outcome for (pk, _), outcome in self._done.items() if pk == parcel.leader.pk}

    def _all(self, leader: Delivery, name: str) -> list[Address]:
        if leader.endpoint is not None:
            return [] if leader.endpoint.retired_at else [address_of(leader.endpoint)]
        stored = self._stored.get((leader.recipient_id, name))
        if stored:
            return stored
        value = get_channel(name).address_of(leader.recipient)
        retired = (name, digest_of(value)) in self._retired
        return [Address(value=value)] if value and not retired else []

    def why_none(self, parcel: Parcel) -> str:
        """A reason for people when there is nowhere to send."""
        leader = parcel.leader
        if leader.endpoint is not None:
            return "the endpoint was retired"
        value = get_channel(leader.channel).address_of(leader.recipient)
        return "its address was retired" if value else f"no address for {leader.channel}"


def address_of(endpoint: Endpoint) -> Address:
    """What a channel is told of an endpoint."""
    return Address(
        value=endpoint.address, endpoint=endpoint.pk, label=endpoint.label, data=endpoint.data
    )


def _with_failover(alias: str) -> list[str]:
    second = get_channel(alias).failover
    return [alias, *([second] if second else [])]


Entries = dict[tuple[Any, ...], Entry]
"""Made once for all who get the same in the same language and zone."""


def seal(
    parcel: Parcel, address: Address, channel: Channel, zone: ZoneInfo, made: Entries
) -> Envelope:
    """The envelope of a parcel for one address, in the recipient's language and time zone."""
    leader = parcel.leader
    language = None
    if leader.recipient is not None and items.speaks():
        language = items.language_of(leader.recipient)
    rows = parcel.distinct()
    entries = [_entry(parcel, row, language, zone, made) for row in rows[-SHOWN:]]
    return Envelope(
        id=f"{leader.pk}" + (f"-{address.endpoint}" if address.endpoint else ""),
        channel=channel.alias,
        address=address,
        entries=entries,
        recipient=leader.recipient,
        language=language,
        zone=zone,
        kind=parcel.kind,
        attempt=leader.attempts,
        total=len(rows),
    )


def _entry(
    parcel: Parcel, row: Delivery, language: str | None, zone: ZoneInfo, made: Entries
) -> Entry:
    shown = parcel.shown.get(row.notification_id or 0)
    count, actors = (shown.repeats, len(shown.actors)) if shown is not None else (1, 1)
    key = (row.event_id, count, actors, language, zone.key)
    if key not in made:
        with items.speaking(language), timezone.override(zone):
            made[key] = _render(row.event, count, actors, language)
    return replace(made[key], notification=row.notification_id)


def _render(event: Event, count: int, actors: int, language: str | None) -> Entry:
    return Entry(
        event=event.pk,
        type=event.type,
        category=event.category,
        level=Level(event.level),
        content=absolute(items.content_of(event, language, count, actors)),
        created_at=event.created_at,
        actor=items.name_of(event.actor) if event.actor is not None else "",
        target=_target(event),
        count=count,
        collapse_key=event.collapse_key,
        data=event.data,
        expires_at=event.expires_at,
        required=is_required(event.type),
    )


def absolute(content: Content) -> Content:
    """The content with its links as they must be outside the site."""
    site = settings.SITE_URL.rstrip("/")

    def whole(url: str) -> str:
        return site + url if url.startswith("/") and not url.startswith("//") else url

    return Content(
        title=content.title,
        body=content.body,
        url=whole(content.url),
        image=whole(content.image),
        actions=[Action(each.label, whole(each.url), each.method) for each in content.actions],
    )


def _target(event: Event) -> str:
    if event.target_type_id is None:
        return ""
    kind = ContentType.objects.get_for_id(event.target_type_id)
    return f"{kind.app_label}.{kind.model}:{event.target_id}"


def prefetch(parcels: Iterable[Parcel]) -> None:
    """Actors and targets of all that is sent: one query for each kind of them."""
    items.prefetch(row.event for parcel in parcels for row in parcel.rows)
