"""What people chose: read for many at once, written one by one, each change on record.

preferences.choose(user, "category:grades", "digest", "email", source="preferences page")
preferences.mute(user, task)
preferences.set_schedule(user, quiet=[{"start": "22:00", "end": "07:00"}], zone="Europe/Berlin")
"""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.utils import timezone

from clarion import runner
from clarion.audiences import Audience, audience
from clarion.channels.base import aliases
from clarion.conf import settings
from clarion.decisions import ANY, Hours, Known, scopes
from clarion.exceptions import InvalidPreference
from clarion.models import Delivery, Event, Preference, PreferenceChange, Schedule, Subscription
from clarion.routes import CADENCES, INBOX
from clarion.timing import EVERY_DAY, Window

FOLLOWERS = "clarion.followers"


class People:
    """What is known of some people about some events: three queries, however many of either."""

    def __init__(self, recipients: Mapping[str, Any], events: Iterable[Event]) -> None:
        """`recipients` filters by the column `recipient`, e.g. {"recipient__in": [1, 2]}."""
        self._recipients = recipients
        events = list(events)
        self.choices = self._read_choices(events)
        self.stances = self._read_stances(events)
        self.schedules: dict[Any, Schedule] = {}

    def read_schedules(self) -> None:
        """Schedules too; only what leaves the screen asks for them."""
        found = Schedule.objects.filter(**self._recipients)
        self.schedules = {schedule.recipient_id: schedule for schedule in found}

    def with_something(self) -> set[Any]:
        """Those of whom anything is stored; what holds for one of the others holds for all."""
        return {*self.choices, *self.schedules, *(pk for pk, *_ in self.stances)}

    def known(self, event: Event, pk: Any, **facts: Any) -> Known:
        """What is known of one person about one event; `facts` as in `Known`."""
        stance = self.stances.get((pk, event.target_type_id, event.target_id), "")
        return Known(choices=self.choices.get(pk, {}), stance=stance, **facts)

    def hours(self, pk: Any, zone: str = "") -> Hours:
        """When one person wants to be reached; `zone` is what the user model says."""
        return hours_of(self.schedules.get(pk), zone)

    def _read_choices(self, events: list[Event]) -> dict[Any, dict[tuple[str, str], str]]:
        wanted = {scope for event in events for scope in scopes(event)}
        rows = Preference.objects.filter(**self._recipients, scope__in=wanted)
        found: dict[Any, dict[tuple[str, str], str]] = defaultdict(dict)
        for pk, *where, value in rows.values_list("recipient_id", "scope", "channel", "value"):
            found[pk][where[0], where[1]] = value
        return dict(found)

    def _read_stances(self, events: list[Event]) -> dict[tuple[Any, int | None, str], str]:
        targets = {(event.target_type_id, event.target_id) for event in events if event.target_id}
        if not targets:
            return {}
        about = models.Q()
        for target_type, target_id in targets:
            about |= models.Q(target_type=target_type, target_id=target_id)
        rows = Subscription.objects.filter(about, **self._recipients)
        columns = rows.values_list("recipient_id", "target_type_id", "target_id", "state")
        return {(pk, kind, target): state for pk, kind, target, state in columns}


def hours_of(schedule: Schedule | None, zone: str = "") -> Hours:
    """The hours of a schedule; where it says no zone, that of the user model or of the site."""
    if schedule is None:
        return _usual_hours(zone)
    return Hours(
        zone=zone_of(schedule.zone or zone),
        paused_until=schedule.paused_until,
        quiet=_windows(schedule.quiet),
        allowed={channel: _windows(given) for channel, given in schedule.allowed.items()},
        cadence=schedule.digest,
        digest_at=schedule.digest_at,
        digest_day=schedule.digest_day,
    )


@lru_cache(1024)
def _usual_hours(zone: str) -> Hours:
    return Hours(zone=zone_of(zone))


def zone_of(name: str) -> ZoneInfo:
    """The zone called `name`; that of the site for "" and for names nobody knows."""
    try:
        return ZoneInfo(name) if name else timezone.get_default_timezone()
    except (KeyError, ValueError, OSError):
        return timezone.get_default_timezone()


def _windows(given: list[dict[str, Any]]) -> tuple[Window, ...]:
    return tuple(
        Window(
            time.fromisoformat(entry["start"]),
            time.fromisoformat(entry["end"]),
            frozenset(entry["days"]) if entry.get("days") else EVERY_DAY,
        )
        for entry in given
    )


# --- writing


def choose(
    recipient: Any, scope: str, value: str | None, channel: str = INBOX, *, source: str = "code"
) -> None:
    """Store an explicit choice: `choose(user, "category:grades", "off", "email")`.

    Args:
        scope: "type:<name>", "category:<name>", or "*" for the whole channel.
        value: "off", "instant" or "digest"; "never" is "off" even for what they follow, as when
            they unsubscribe by mail; None forgets the choice, so that the defaults hold.
        channel: "inbox" or an alias of CLARION['CHANNELS'].
        source: which surface changed it, for the record.

    What waits for its time is decided anew. Raise `InvalidPreference` for anything else.
    """
    _check_choice(scope, value, channel)
    pk = getattr(recipient, "pk", recipient)
    row = Preference.objects.filter(recipient=pk, scope=scope, channel=channel)
    with transaction.atomic():
        old = row.values_list("value", flat=True).first()
        if value is None:
            row.delete()
        else:
            Preference.objects.update_or_create(
                recipient_id=pk, scope=scope, channel=channel, defaults={"value": value}
            )
        _changed(pk, f"{scope} by {channel}", old, value, source, channel)


def _check_choice(scope: str, value: str | None, channel: str) -> None:
    kind, _, name = scope.partition(":")
    if scope != ANY and (kind not in ("type", "category") or not name or len(scope) > 120):
        raise InvalidPreference(f"scope: {scope!r:.60} is not 'type:...', 'category:...' or '*'.")
    if value is not None and value not in Preference.Value.values:
        raise InvalidPreference(f"value: {value!r:.60} is not off, instant, digest or never.")
    if value == "digest" and channel == INBOX:
        raise InvalidPreference("value: the inbox has no digest; use off or instant.")
    _check_channel(channel)


def _check_channel(channel: str) -> None:
    known = [INBOX, *aliases()]
    if channel not in known:
        close = difflib.get_close_matches(str(channel), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
        raise InvalidPreference(f"channel: {channel!r:.60} is not configured. {hint}")


def _changed(
    pk: Any, subject: str, old: Any, new: Any, source: str, channel: str | None = None
) -> None:
    """Put a change on record, and have what waits decided anew."""
    old, new = old or "", new or ""
    if old == new:
        return
    PreferenceChange.objects.create(
        recipient_id=pk, subject=subject[:200], old=old[:500], new=new[:500], source=source[:50]
    )
    waiting = Delivery.objects.filter(
        recipient=pk, settled_at__isnull=True, due_at__isnull=False, claim=""
    ).exclude(window="")
    if channel is not None:
        waiting = waiting.filter(channel=channel)
    elif subject == "schedule":
        waiting = waiting.exclude(window__startswith="batch:")  # their time is not of the day
    if waiting.update(due_at=timezone.now()):
        transaction.on_commit(runner.wake, robust=True)


def follow(recipient: Any, target: models.Model, *, source: str = "code") -> None:
    """Hear of everything about `target`, also through channels that are off by default."""
    _take_stance(recipient, target, Subscription.State.FOLLOW, source)


def mute(recipient: Any, target: models.Model, *, source: str = "code") -> None:
    """Hear nothing about `target`, but what is required."""
    _take_stance(recipient, target, Subscription.State.MUTE, source)


def unsubscribe(recipient: Any, target: models.Model, *, source: str = "code") -> None:
    """Neither follow nor mute it."""
    _take_stance(recipient, target, None, source)


def followers(target: models.Model) -> Audience:
    """Who follows `target`, as an audience: `notify(..., to=preferences.followers(task))`."""
    return Audience(FOLLOWERS, model=target._meta.label_lower, pk=str(target.pk))


@audience(FOLLOWERS)
def _followers(model: str, pk: str) -> models.QuerySet[Any]:
    kind = ContentType.objects.get_for_model(apps.get_model(model))
    rows = Subscription.objects.filter(
        target_type=kind, target_id=pk, state=Subscription.State.FOLLOW
    )
    return get_user_model()._default_manager.filter(pk__in=rows.values("recipient"))


def _take_stance(recipient: Any, target: models.Model, state: str | None, source: str) -> None:
    if target.pk is None:
        raise InvalidPreference(f"target: {target!r:.80} is not saved yet.")
    pk = getattr(recipient, "pk", recipient)
    kind = ContentType.objects.get_for_model(target)
    where = {"recipient_id": pk, "target_type": kind, "target_id": str(target.pk)}
    rows = Subscription.objects.filter(**where)
    with transaction.atomic():
        old = rows.values_list("state", flat=True).first()
        if state is None:
            rows.delete()
        else:
            Subscription.objects.update_or_create(**where, defaults={"state": state})
        _changed(pk, f"{target._meta.label_lower}:{target.pk}", old, state, source)


def set_schedule(recipient: Any, *, source: str = "code", **changes: Any) -> Schedule:
    """Change when somebody is reached; keywords are the fields of `Schedule`.

        set_schedule(user, zone="Asia/Kolkata", quiet=[{"start": "22:00", "end": "07:00"}],
                     allowed={"sms": [{"start": "09:00", "end": "18:00", "days": [0, 1, 2]}]},
                     digest="weekly", digest_at=time(7), digest_day=4, paused_until=None)

    Raises:
        InvalidPreference: an unknown field, no such zone, a window that is none.
    """
    pk = getattr(recipient, "pk", recipient)
    schedule = Schedule.objects.filter(pk=pk).first() or Schedule(recipient_id=pk)
    old = _as_text(schedule)
    for name, value in changes.items():
        setattr(schedule, name, _checked(name, value))
    with transaction.atomic():
        schedule.save()
        _changed(pk, "schedule", old, _as_text(schedule), source)
    return schedule


_FIELDS = ("zone", "paused_until", "quiet", "allowed", "digest", "digest_at", "digest_day")


def _as_text(schedule: Schedule) -> str:
    return json.dumps({name: getattr(schedule, name) for name in _FIELDS}, default=str)


def _checked(name: str, value: Any) -> Any:
    if name not in _FIELDS:
        raise InvalidPreference(f"{name}: unknown; a schedule has {', '.join(_FIELDS)}.")
    check = {
        "zone": lambda: value == "" or value in available_timezones(),
        "paused_until": lambda: (
            value is None or (isinstance(value, datetime) and value.tzinfo is not None)
        ),
        "quiet": lambda: _are_windows(value),
        "allowed": lambda: isinstance(value, dict) and all(map(_are_windows, value.values())),
        "digest": lambda: value in ("", *CADENCES),
        "digest_at": lambda: value is None or isinstance(value, time),
        "digest_day": lambda: type(value) is int and 0 <= value <= 6,
    }[name]
    if not check():  # type: ignore[no-untyped-call]
        raise InvalidPreference(f"{name}: {value!r:.80} {_EXPECTED[name]}")
    if name == "allowed":
        for channel in value:
            _check_channel(channel)
    return value


_WINDOWS = 'is not a list of windows like {"start": "22:00", "end": "07:00", "days": [0, 1]}.'
_EXPECTED = {
    "zone": "is not an IANA time zone such as Europe/Berlin.",
    "paused_until": "is not a time with a zone.",
    "quiet": _WINDOWS,
    "allowed": f"names a channel that {_WINDOWS}",
    "digest": "is not hourly, daily or weekly.",
    "digest_at": "is not a time of day.",
    "digest_day": "is not a weekday; Monday is 0.",
}


def _are_windows(given: Any) -> bool:
    try:
        windows = _windows(given)
        named = [set(entry) <= {"start", "end", "days"} for entry in given]
    except (TypeError, ValueError, KeyError, AttributeError):
        return False
    days = {day for window in windows for day in window.days}
    return all(named) and days <= EVERY_DAY and all(type(day) is int for day in days)


def pause(recipient: Any, until: datetime | None, *, source: str = "code") -> None:
    """Nothing leaves the screen until then, but what is required; None ends a pause."""
    set_schedule(recipient, paused_until=until, source=source)


def role_and_zone_columns() -> list[str]:
    """Columns of the user model that decisions need, by the site's settings."""
    return [name for name in (settings.RECIPIENT_ROLE, settings.RECIPIENT_TIME_ZONE) if name]
