"""Where people and teams can be reached: endpoints are added, changed and retired here.

    reach.add(user, "slack", "slack://...", label="My phone")
    reach.add(None, "webhook", "https://crm.example/hooks", group=teachers, types=["grade.*"])

An address is checked by its channel before it is stored; adding a retired one brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils import timezone

from clarion.channels.base import get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Endpoint, digest_of

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


def retire(channel: str, address: str, reason: str, *, recipient: Any = None) -> int:
    """Send nothing to an address any more, whoever has it: it is gone, or its owner complained.

    With `recipient`, an address that no endpoint holds (the one of the user model) is remembered.
    """
    now: dict[str, Any] = {"retired_at": timezone.now(), "reason": reason[:300]}
    retired = Endpoint.objects.filter(channel=channel, digest=digest_of(address)).update(**now)
    pk = getattr(recipient, "pk", recipient)
    if not retired and pk is not None:
        Endpoint.objects.create(recipient_id=pk, channel=channel, address=address, **now)
    return retired or int(pk is not None)
