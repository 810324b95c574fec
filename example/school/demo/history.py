"""What happened at the school in the last days: sent through `notify()` like everything else,
and only then given its age."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from clarion import Audience, NotificationType, inbox, notify
from clarion.audiences import PUBLIC
from clarion.models import Event, Notification
from school.models import Notice, SchoolClass, User
from school.notifications import AbsenceNoted, AssignmentGiven, GradePosted
from school.sending import Addressees, send

READ_AFTER = timedelta(hours=24)  # of older ones most were read


@dataclass(frozen=True)
class Story:
    """Something that happened `hours` ago. `tell` makes its event; `key` keeps it single."""

    key: str
    hours: float
    tell: Callable[[str], Event]


def seed_history() -> int:
    """Tell what was not told yet. Returns how many stories that were."""
    cast = _Cast()
    told = set(Event.objects.filter(key__startswith="seed:").values_list("key", flat=True))
    stories = [story for story in _stories(cast) if f"seed:{story.key}" not in told]
    now = timezone.now()
    with _school_without_mail():
        for story in sorted(stories, key=lambda story: -story.hours):
            event = story.tell(f"seed:{story.key}")
            _age(event, now - timedelta(hours=story.hours))
    if stories:
        _read_the_old_ones(now - READ_AFTER)
        _visit(cast)
    return len(stories)


def _school_without_mail() -> override_settings:
    """What happened long ago is mailed to nobody now."""
    return override_settings(CLARION={**settings.CLARION, "CHANNELS": {}})


class _Cast:
    """Who acts."""

    def __init__(self) -> None:
        named = User.objects.in_bulk(
            ["ada", "sam", "grace", "principal", "priya.raman", "kofi.mensah"],
            field_name="username",
        )
        self.ada, self.sam, self.grace = named["ada"], named["sam"], named["grace"]
        self.principal, self.priya, self.kofi = (
            named["principal"],
            named["priya.raman"],
            named["kofi.mensah"],
        )
        self.classes = {found.name: found for found in SchoolClass.objects.all()}

    def students(self, name: str) -> Addressees:
        return self._of("students", name)

    def guardians(self, name: str) -> Addressees:
        return self._of("guardians", name)

    def _of(self, who: str, name: str) -> Addressees:
        audience = Audience(who, class_id=self.classes[name].pk)
        return Addressees(audience, f"the {who} of {name}")


EVERYBODY = Addressees(PUBLIC, "everyone")
TEACHERS = Addressees(Audience("teachers"), "all teachers")


def _stories(cast: _Cast) -> list[Story]:
    today = timezone.localdate()
    ada, sam, grace = cast.ada, cast.sam, cast.grace
    return [
        _notice("welcome", 212, cast.principal, EVERYBODY, "success",
                "Welcome to the new term",
                "Good to have you back! Timetables hang in the entrance hall, and the canteen "
                "opens at 11:45. Questions? The office is next to the main door."),
        _notice("photos", 150, cast.principal, EVERYBODY, "info",
                "School photos next Tuesday",
                "The photographer is in the gym from 8:30 to 13:00, one class after the other, "
                "starting with 5a."),
        _notice("conference", 122, cast.principal, TEACHERS, "info",
                "Staff meeting moved to Thursday",
                "We meet at 15:30 in the library. On the list: the science fair, the new "
                "timetable and who looks after the school garden."),
        _typed("essay", 98, cast.priya, cast.students("7a"),
               AssignmentGiven(subject="English", title="Essay on a place you like",
                               due=today + timedelta(days=3))),
        _typed("absent", 76, ada, Addressees(grace, str(grace)),
               AbsenceNoted(student=str(sam), day=today - timedelta(days=3)), about=sam),
        _notice("forms", 70, ada, cast.guardians("7a"), "warning",
                "Consent forms for the museum",
                "Please sign the form and send it back by Thursday. Without it we can't take "
                "your child along."),
        _typed("biology", 52, cast.kofi, Addressees(sam, str(sam)),
               GradePosted(subject="Biology", grade="B+"), collapse="grades"),
        _notice("boiler", 47, cast.principal, TEACHERS, "error",
                "No heating in the west wing",
                "The boiler is being repaired. Classes 7a and 7b please use rooms 31 and 32 "
                "until tomorrow noon."),
        _typed("fractions", 27, ada, cast.students("7a"),
               AssignmentGiven(subject="Mathematics", title="Fractions, page 12, tasks 1 to 5",
                               due=today + timedelta(days=2))),
        _notice("museum", 25, ada, cast.students("7a"), "info",
                "Museum on Friday",
                "We meet at 8:15 at the main door. Bring lunch, a rain jacket and something to "
                "write with. We are back at about 14:00."),
        _notice("garden", 9, cast.priya, Addressees(cast.principal, str(cast.principal)), "info",
                "The garden club needs a key",
                "We have eleven children and no key to the shed. Could we have one of our own?"),
        _notice("choir", 7.5, cast.priya, cast.guardians("5b"), "info",
                "Spring concert of the choir",
                "On the last Saturday of the month at 17:00 in the hall. There will be cake."),
        _typed("maths", 4, ada, Addressees(sam, str(sam)),
               GradePosted(subject="Mathematics", grade="A-"), collapse="grades"),
        _notice("well-done", 1.2, ada, Addressees(sam, str(sam)), "success",
                "Well done, Sam!",
                "Your poster about volcanoes goes up in the entrance hall. May I show it at the "
                "science fair too?"),
        _notice("pickup", 0.6, cast.principal, cast.guardians("7a"), "warning",
                "Bus line 4 is late today",
                "Children who take it will be home about 30 minutes later than usual."),
    ]  # fmt: skip


def _notice(
    key: str, hours: float, author: User, to: Addressees, level: str, title: str, body: str
) -> Story:
    def tell(event_key: str) -> Event:
        event = send(author, to, key=event_key, title=title, body=body, level=level).event
        assert event is not None
        return event

    return Story(key, hours, tell)


def _typed(
    key: str,
    hours: float,
    author: User,
    to: Addressees,
    what: NotificationType,
    *,
    about: User | None = None,
    collapse: str = "",
) -> Story:
    def tell(event_key: str) -> Event:
        return notify(what, to=to.to, actor=author, target=about, collapse=collapse, key=event_key)

    return Story(key, hours, tell)


def _age(event: Event, moment: datetime) -> None:
    """`notify()` has no past; a demo needs one."""
    Event.objects.filter(pk=event.pk).update(created_at=moment)
    Notification.objects.filter(event=event).update(created_at=moment, arrived_at=moment)
    Notice.objects.filter(event=event).update(created_at=moment)


def _read_the_old_ones(before: datetime) -> None:
    """Three in four read what is old."""
    chance = random.Random(11)  # noqa: S311 - the same ones every time
    old = Notification.objects.filter(arrived_at__lt=before, read_at__isnull=True)
    read: dict[int, list[int]] = {}
    for pk, recipient in old.order_by("pk").values_list("pk", "recipient_id"):
        if chance.random() < 0.75:
            read.setdefault(recipient, []).append(pk)
    with transaction.atomic():
        for recipient, ids in read.items():
            inbox.mark_read(recipient, ids)


def _visit(cast: _Cast) -> None:
    """The people one can sign in as have read the announcements; those came long ago too."""
    announcements = Event.objects.filter(public_version__isnull=False, key__startswith="seed:")
    for visitor in (cast.ada, cast.sam, cast.grace, cast.principal):
        inbox.mark_read(visitor, [f"a{event.pk}" for event in announcements])
    for event in announcements:
        _age(event, event.created_at)
