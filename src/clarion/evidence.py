"""All that is on record about one event and one person, and what would be decided now."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Q
from django.utils import timezone

from clarion import decisions, deliveries
from clarion.audiences import Audience, users_have
from clarion.channels.base import get_channel
from clarion.conf import settings
from clarion.decisions import Decision, Due, Known
from clarion.exceptions import ClarionError
from clarion.ledger import RETIRED
from clarion.models import (
    Attempt,
    Delivery,
    Endpoint,
    Event,
    Notification,
    PreferenceChange,
    digest_of,
)
from clarion.parcels import Facts, Parcel, Shown
from clarion.preferences import People
from clarion.routes import INBOX, Route
from clarion.types import is_required

_CHANGES = 10  # of preferences, the newest


class Evidence:
    """Read when it is first asked for; a constant number of queries, and nothing is changed."""

    def __init__(self, recipient: Any, event: Event) -> None:
        self.now = timezone.now()
        self.recipient = recipient
        self.event = event

    @cached_property
    def routes(self) -> dict[str, Route]:
        """The routes that lead out, as the type declares them now."""
        return {route.channel: route for route in deliveries.routes_of(self.event)}

    @cached_property
    def channels(self) -> list[str]:
        """Those that lead out, now or when it was made."""
        return list(
            dict.fromkeys(name for name in (*self.routes, *self.deliveries) if name != INBOX)
        )

    @cached_property
    def deliveries(self) -> dict[str, Delivery]:
        """By channel; in the inbox there is one only where it was skipped."""
        rows = Delivery.objects.filter(event=self.event, recipient=self.recipient.pk)
        found = {row.channel: row for row in rows.select_related("leader__event").order_by("pk")}
        for row in found.values():
            row.event, row.recipient = self.event, self.recipient
        return found

    @cached_property
    def row(self) -> Notification | None:
        """The row in the inbox; of a repeat that was collapsed, the one it was folded into."""
        mine = Q(event=self.event)
        if self.event.collapse_key:
            key = f"{self.event.type}:{self.event.collapse_key}"
            mine |= Q(collapse_key__in=[key, f"{RETIRED}{key}"])
        rows = Notification.objects.filter(mine, recipient=self.recipient.pk).order_by("-pk")
        return next((row for row in rows if self._is_in(row)), None)

    def _is_in(self, row: Notification) -> bool:
        return row.event_id == self.event.pk or self.event.pk in row.members

    @cached_property
    def attempts(self) -> dict[int, list[Attempt]]:
        """By the delivery that led."""
        found: dict[int, list[Attempt]] = defaultdict(list)
        for attempt in Attempt.objects.filter(delivery__in=self._leaders).order_by("pk"):
            found[attempt.delivery_id].append(attempt)
        return found

    @cached_property
    def company(self) -> dict[int, int]:
        """How many others wait with it, by the delivery that leads."""
        followers = Delivery.objects.filter(deliveries.PENDING, leader__in=self._leaders)
        counted = followers.order_by().values("leader").annotate(number=Count("pk"))
        return dict(counted.values_list("leader_id", "number"))

    @cached_property
    def _leaders(self) -> set[int]:
        return {row.leader_id or row.pk for row in self.deliveries.values()}

    # --- where it goes

    @cached_property
    def endpoints(self) -> dict[str, list[Endpoint]]:
        """Theirs by channel, and those that took the address of their account out of use."""
        own = {digest_of(address) for address in map(self.own_address, self.channels) if address}
        retired = Q(digest__in=own, retired_at__isnull=False)
        mine = Q(recipient=self.recipient.pk)
        found: dict[str, list[Endpoint]] = defaultdict(list)
        rows = Endpoint.objects.filter(mine | retired, channel__in=self.channels)
        for row in rows.order_by("pk"):
            found[row.channel].append(row)
        return found

    def own_address(self, channel: str) -> str:
        """What their account says; "" for nothing, and for a channel that can't be used."""
        try:
            return get_channel(channel).address_of(self.recipient)
        except ImproperlyConfigured:
            return ""

    # --- what was chosen

    @cached_property
    def changes(self) -> dict[str, list[PreferenceChange]]:
        """The last changes of preferences that bear on it: by channel, "" for all channels."""
        subjects = {
            f"{scope} by {channel}"[:200]: channel
            for scope in decisions.scopes(self.event)
            for channel in (INBOX, *self.channels)
        }
        subjects |= dict.fromkeys(("schedule", self._target()), "")
        rows = PreferenceChange.objects.filter(recipient=self.recipient.pk, subject__in=subjects)
        found: dict[str, list[PreferenceChange]] = defaultdict(list)
        for change in reversed(rows.order_by("-pk")[:_CHANGES]):
            found[subjects[change.subject]].append(change)
        return found

    def _target(self) -> str:
        """As `PreferenceChange` names it."""
        kind = self.event.target_type
        return f"{kind.app_label}.{kind.model}:{self.event.target_id}" if kind else ""

    # --- what would be decided now

    @property
    def gone(self) -> str:
        """Why nobody gets it any more."""
        if self.event.cancelled_at or self.event.retracted_at:
            return "was taken back"
        is_over = self.event.expires_at is not None and self.event.expires_at <= self.now
        return "has expired" if is_over else ""

    def decide(self, route: Route) -> Decision:
        """Whether they want it there."""
        return decisions.decide(self.event, route, self._known, required=self._required)

    def due(self, route: Route, decision: Decision) -> Due:
        """When it would be sent, if it were made now."""
        zone = str(self._user.get(settings.RECIPIENT_TIME_ZONE or "") or "")
        hours = self._people.hours(self.recipient.pk, zone)
        return decisions.due(
            self.event, route, decision, hours, made_at=self.now, required=self._required
        )

    def judge(self, row: Delivery) -> str | Due | None:
        """What the outbox would say of a waiting delivery now; as `Facts.judge`."""
        parcel = self._parcels[row.pk]
        return self._facts.judge(parcel, row) or self._facts.over_the_limit(parcel, [row])

    @cached_property
    def _facts(self) -> Facts:
        return Facts(list(self._parcels.values()), self.now)

    @cached_property
    def _parcels(self) -> dict[int, Parcel]:
        """Of each waiting delivery: itself and what it follows, without the rest of its company."""
        shown = {}
        if self.row is not None:
            state = [getattr(self.row, name) for name in Shown._fields[1:]]
            shown = {self.row.pk: Shown(self.row.count, *state)}
        found = {}
        for row in self.deliveries.values():
            if row.outcome == Delivery.Outcome.PENDING:
                leader = row.leader or row
                leader.recipient = self.recipient
                found[row.pk] = Parcel(leader, [leader, row], shown)
        return found

    @cached_property
    def _required(self) -> bool:
        return is_required(self.event.type)

    @cached_property
    def _user(self) -> dict[str, Any]:
        """What the user model says, by the columns that decisions need."""
        columns = [settings.RECIPIENT_ROLE, settings.RECIPIENT_TIME_ZONE]
        columns += ["is_active"] if users_have("is_active") else []
        users = get_user_model()._base_manager.filter(pk=self.recipient.pk)
        found: dict[str, Any] = users.values("pk", *filter(None, columns)).get()
        return found

    @cached_property
    def _people(self) -> People:
        people = People({"recipient__in": [self.recipient.pk]}, [self.event])
        people.read_schedules()
        return people

    @cached_property
    def _known(self) -> Known:
        return self._people.known(
            self.event,
            self.recipient.pk,
            is_active=self._user.get("is_active", True),
            is_actor=str(self.recipient.pk) == self.event.actor_user_id,
            role=str(self._user.get(settings.RECIPIENT_ROLE or "") or ""),
        )

    # --- the audience

    @cached_property
    def is_meant(self) -> bool:
        """Whether they are among those it was sent to, as these are now."""
        whom = self.event.audience
        if self.event.is_public:
            return True
        if "users" in whom:
            return str(self.recipient.pk) in map(str, whom["users"])
        if "chunks" in whom:
            named = self.event.chunks.values_list("ids", flat=True).iterator()
            return any(str(self.recipient.pk) in map(str, ids) for ids in named)
        return self._is_member(whom)

    def _is_member(self, whom: dict[str, Any]) -> bool:
        users = get_user_model()._base_manager.filter(pk=self.recipient.pk)
        if "group" in whom:
            return users.filter(groups=whom["group"]).exists()
        try:
            members = Audience(whom["name"], **whom.get("arguments", {})).members()
        except (ClarionError, KeyError):  # its app is gone
            return False
        return users.filter(pk__in=members.values("pk")).exists()

    @property
    def whom(self) -> str:
        """Who was meant, in words."""
        whom = self.event.audience
        if self.event.is_public:
            return "everybody who looks"
        if "users" in whom or "chunks" in whom:
            number = whom.get("chunks") or len(whom["users"])
            return "one person, by name" if number == 1 else f"{number} people, by name"
        if "group" in whom:
            return f"the group {whom['group']}"
        return f"the audience {whom.get('name')!r}"
