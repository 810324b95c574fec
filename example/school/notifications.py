"""What the school tells people. Clarion finds this module by its name, like `admin.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.formats import date_format

from clarion import Action, Content, Level, NotificationType, register
from clarion.routes import READ, email, inbox, webhook, webpush
from school import audiences  # noqa: F401 - their names are known from here on

if TYPE_CHECKING:
    from clarion.models import Event

PROGRAMS = webhook(default="off")  # nobody's but of those who asked: see `manage.py connect`


@register
@dataclass(frozen=True, kw_only=True)
class NoticePosted(NotificationType):
    """A teacher tells somebody something; a mail follows for whom it waits unread. The target is
    the notice."""

    type = "notice.posted"
    category = "notices"
    channels = [inbox(), email(after="15m", unless=READ), PROGRAMS]
    example = {"title": "Museum on Friday", "body": "Please bring lunch and a rain jacket."}

    title: str
    body: str = ""
    link: str = ""

    def content(self, event: Event) -> Content:
        return Content(
            title=self.title,
            body=self.body,
            url=reverse("notice", args=[event.target_id]) if event.target_id else "",
            actions=[Action("Open link", self.link)] if self.link else [],
        )


@register
@dataclass(frozen=True, kw_only=True)
class AssignmentGiven(NotificationType):
    """A class got something to do: on the phone at once, by mail in the digest of the day."""

    type = "assignment.given"
    category = "assignments"
    channels = [inbox(), webpush(), email(default="digest"), PROGRAMS]
    example = {"subject": "Mathematics", "title": "Fractions, page 12", "due": "2026-01-16"}

    subject: str
    title: str
    due: date

    def content(self, event: Event) -> Content:
        day = date_format(self.due, "l, j F")
        return Content(title=f"{self.subject}: {self.title}", body=f"Due on {day}.")


@register
@dataclass(frozen=True, kw_only=True)
class GradePosted(NotificationType):
    """A piece of work was marked. The grades of an hour make one mail."""

    type = "grade.posted"
    category = "grades"
    level = Level.SUCCESS
    channels = [inbox(), email(batch="1h"), PROGRAMS]
    example = {"subject": "Biology", "grade": "A"}

    subject: str
    grade: str

    def content(self, event: Event) -> Content:
        latest = f"{self.subject}: {self.grade}"
        if event.count > 1:
            return Content(title=f"{event.count} new grades", body=f"The latest is {latest}.")
        return Content(title=f"New grade in {self.subject}", body=f"{latest}.")


@register
@dataclass(frozen=True, kw_only=True)
class AbsenceNoted(NotificationType):
    """A child was missed in class. The guardians are told at once, by mail too, come what may."""

    type = "absence.noted"
    category = "absences"
    level = Level.WARNING
    required = True
    channels = [inbox(), email(), PROGRAMS]
    example = {"student": "Sam Okafor", "day": "2026-01-12"}

    student: str
    day: date

    def content(self, event: Event) -> Content:
        day = date_format(self.day, "l, j F")
        return Content(
            title=f"{self.student} was absent",
            body=f"We missed {self.student} on {day}. Please send us a short note.",
        )
