"""What the school tells people. Clarion finds this module by its name, like `admin.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.formats import date_format

from clarion import Action, Content, Level, NotificationType, register
from school import audiences  # noqa: F401 - their names are known from here on

if TYPE_CHECKING:
    from clarion.models import Event


@register
@dataclass(frozen=True, kw_only=True)
class NoticePosted(NotificationType):
    """A teacher tells a person, a role, a class or everyone something. The target is the notice."""

    type = "notice.posted"
    category = "notices"
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
    """A class got something to do."""

    type = "assignment.given"
    category = "assignments"
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
    """A piece of work was marked. Several in a row are one line with a count."""

    type = "grade.posted"
    category = "grades"
    level = Level.SUCCESS
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
    """A child was missed in class. For the guardians."""

    type = "absence.noted"
    category = "absences"
    level = Level.WARNING
    required = True
    example = {"student": "Sam Okafor", "day": "2026-01-12"}

    student: str
    day: date

    def content(self, event: Event) -> Content:
        day = date_format(self.day, "l, j F")
        return Content(
            title=f"{self.student} was absent",
            body=f"We missed {self.student} on {day}. Please send us a short note.",
        )
