"""Where people and teams can be reached: endpoints are added, changed and retired here.

    reach.add(user, "slack", "slack://...", label="My phone")
    reach.add(None, "webhook", "https://crm.example/hooks", group=teachers, types=["grade.*"])

An address is checked by its channel before it is stored; adding a retired one brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.utils import timezone

from clarion.audiences import audience, users_have
from clarion.channels.base import get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Attempt, Endpoint, Event, digest_of

OPERATORS = "clarion.operators"
_STALE = timedelta(hours=1)  # `used_at` is not written more often
_PER_PERSON = 20  # endpoints of one channel; the one unused for longest makes room


def add(
    recipient: Any,
    channel: str,
    address: str,
    *,
    label: str = "",
    data: Mapping[str, Any] | None = None,
    group: Group | None = None,
    types: Iterable[str] = (),
) -> Endpoint:
    """Store an endpoint of a person, or with `recipient` None of a team.

    Args:
        address: checked by the channel, which may store it in another form.
        data: keys and secrets of the channel.
        group: of a team: what is sent to this group; None: all of `types`.
        types: of a team: names of types, or beginnings that end in "*"; none means all.

    Raises:
        InvalidAddress: the channel can't send to it; the text says why.
        ImproperlyConfigured: there is no such channel.
    """
    checked = get_channel(channel).check_address(address)
    if len(checked) > 1000:
        raise InvalidAddress("The address is longer than 1,000 characters.")
    pk = getattr(recipient, "pk", recipient)
    facts = {
        "address": checked,
        "label": label[:100],
        "data": dict(data or {}),
        "group": group,
        "types": list(types),
        "retired_at": None,
        "failing_since": None,
        "reason": "",
    }
    known = _known(pk, channel, checked)
    if known is None:
        _make_room(pk, channel)
        return Endpoint.objects.create(recipient_id=pk, channel=channel, **facts)
    for name, value in facts.items():
        setattr(known, name, value)
    known.save()
    return known


def _known(pk: Any, channel: str, address: str) -> Endpoint | None:
    same = Endpoint.objects.filter(channel=channel, digest=digest_of(address), recipient=pk)
    return same.first()


def _make_room(pk: Any, channel: str) -> None:
    if pk is None:
        return
    theirs = of(pk, channel).order_by("-used_at", "-pk").values_list("pk", flat=True)
    Endpoint.objects.filter(pk__in=list(theirs[_PER_PERSON - 1 :])).delete()


def of(recipient: Any, channel: str | None = None) -> QuerySet[Endpoint]:
    """The endpoints of a person that are in use."""
    rows = Endpoint.objects.filter(
        recipient=getattr(recipient, "pk", recipient), retired_at__isnull=True
    )
    return rows if channel is None else rows.filter(channel=channel)


def remove(recipient: Any, channel: str, address: str) -> bool:
    """Forget an endpoint of a person. Returns whether there was one."""
    pk = getattr(recipient, "pk", recipient)
    rows = Endpoint.objects.filter(recipient=pk, channel=channel, digest=digest_of(address))
    return bool(rows.delete()[0])


def retire(
    channel: str, address: str, reason: str, *, recipient: Any = None, tell: bool = False
) -> int:
    """Send nothing to an address any more, whoever has it: it is gone, or its owner complained.

    With `recipient`, an address that no endpoint holds (the one of the user model) is remembered.
    With `tell`, whoever looks after the endpoint gets a notification.
    """
    rows = Endpoint.objects.filter(channel=channel, digest=digest_of(address))
    pk = getattr(recipient, "pk", recipient)
    if not rows.exists() and pk is not None:
        rows = rows.filter(
            pk=Endpoint.objects.create(recipient_id=pk, channel=channel, address=address).pk
        )
    return _retire(rows.filter(retired_at__isnull=True), reason, tell)


def retire_failing(channel: str, after: timedelta) -> int:
    """Retire endpoints that have done nothing but fail for so long, and tell their owners."""
    since = timezone.now() - after
    rows = Endpoint.objects.filter(
        channel=channel, failing_since__lt=since, retired_at__isnull=True
    )
    return _retire(rows, f"did nothing but fail for {after.days} days", tell=True)


def _retire(rows: QuerySet[Endpoint], reason: str, tell: bool) -> int:
    found = list(rows)
    for endpoint in found:
        endpoint.retired_at, endpoint.reason = timezone.now(), reason[:300]
        if tell:
            _tell(endpoint)
    Endpoint.objects.bulk_update(found, ["retired_at", "reason"])
    return len(found)


def _tell(endpoint: Endpoint) -> None:
    """An event like any other; for an endpoint of a team it goes to those who run the site."""
    to: dict[str, Any] = {"name": OPERATORS}
    if endpoint.recipient_id is not None:
        to = {"users": [endpoint.recipient_id]}
    data = {"channel": endpoint.channel, "name": endpoint.label, "reason": endpoint.reason}
    Event.objects.create(
        type="clarion.endpoint_retired", data=data, audience=to, level="warning",
        text=f"{endpoint.channel} was switched off",
    )  # fmt: skip


def note_health(attempts: Iterable[Attempt]) -> None:
    """Remember which endpoints work and since when others don't. Two queries, few writes."""
    well: set[int] = set()
    ill: set[int] = set()
    for attempt in attempts:
        if attempt.endpoint_id is not None:
            worked = attempt.outcome == Attempt.Outcome.DELIVERED
            (well if worked else ill).add(attempt.endpoint_id)
    now = timezone.now()
    if well:
        stale = (
            Q(used_at__isnull=True) | Q(used_at__lt=now - _STALE) | Q(failing_since__isnull=False)
        )
        rows = Endpoint.objects.filter(stale, pk__in=well)
        rows.update(used_at=now, failing_since=None)
    if ill - well:
        rows = Endpoint.objects.filter(pk__in=ill - well, failing_since__isnull=True)
        rows.update(failing_since=now)


@audience(OPERATORS)
def operators() -> QuerySet[Any]:
    """Those who run the site: its superusers."""
    users = get_user_model()._default_manager
    return users.filter(is_superuser=True) if users_have("is_superuser") else users.none()
