"""The class book: what a teacher writes into it, and who hears of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from clarion import Audience, notify
from school.models import SchoolClass, User
from school.notifications import AbsenceNoted, AssignmentGiven, GradePosted


class StudentField(forms.ModelChoiceField):
    """Any student of the school, by user name."""

    def __init__(self) -> None:
        super().__init__(
            _students(),
            label="Student",
            to_field_name="username",
            empty_label="Choose a student",
            error_messages={
                "required": "Choose a student.",
                "invalid_choice": "There is no such student any more. Choose another one.",
            },
        )

    def label_from_instance(self, student: User) -> str:
        names = [each.name for each in student.classes.all()]
        return f"{student} ({', '.join(names)})" if names else str(student)


def _students() -> QuerySet[User]:
    found = User.objects.filter(role=User.Role.STUDENT, is_active=True)
    return found.prefetch_related("classes").order_by("first_name", "last_name")


def _day(label: str, missing: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        initial=timezone.localdate,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"required": missing, "invalid": "Write the day like 2026-01-31."},
    )


def _text(label: str, most: int, missing: str) -> forms.CharField:
    too_long = "This has %(show_value)d characters; %(limit_value)d is the most."
    errors = {"required": missing, "max_length": too_long}
    return forms.CharField(label=label, max_length=most, error_messages=errors)


class Entry(forms.Form):
    """A page of the class book."""

    name: ClassVar[str]  # in the address
    heading: ClassVar[str]
    hint: ClassVar[str]
    button: ClassVar[str]

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, auto_id=f"{self.name}_%s", **options)

    def write(self, teacher: User) -> str:
        """Tell those whom it concerns. Returns who that is, in words."""
        raise NotImplementedError


class Absence(Entry):
    name = "absence"
    heading = "Somebody is missing"
    hint = "The guardians get a mail at once."
    button = "Tell the guardians"

    student = StudentField()
    day = _day("Day", "Say on which day.")

    def clean_student(self) -> User:
        student: User = self.cleaned_data["student"]
        if not student.guardians.exists():
            raise forms.ValidationError(f"{student} has no guardian here who could be told.")
        return student

    def write(self, teacher: User) -> str:
        student, day = self.cleaned_data["student"], self.cleaned_data["day"]
        noted = AbsenceNoted(student=str(student), day=day)
        notify(noted, to=student.guardians.all(), actor=teacher, target=student)
        return f"the guardians of {student}"


class Grade(Entry):
    name = "grade"
    heading = "A piece of work is marked"
    hint = "The grades of an hour go into one mail."
    button = "Post the grade"

    student = StudentField()
    subject = _text("Subject", 60, "Name the subject.")
    grade = _text("Grade", 10, "Give a grade.")

    def write(self, teacher: User) -> str:
        given = self.cleaned_data
        posted = GradePosted(subject=given["subject"], grade=given["grade"])
        notify(posted, to=given["student"], actor=teacher)
        return str(given["student"])


class Assignment(Entry):
    name = "assignment"
    heading = "A class has something to do"
    hint = "On their phones at once, and by mail with everything of the day."
    button = "Give the assignment"

    school_class = forms.ModelChoiceField(
        SchoolClass.objects.all(),
        label="Class",
        to_field_name="name",
        empty_label="Choose a class",
        error_messages={
            "required": "Choose a class.",
            "invalid_choice": "There is no such class any more. Choose another one.",
        },
    )
    subject = _text("Subject", 60, "Name the subject.")
    title = _text("What is to do?", 100, "Say what is to do.")
    due = _day("Due on", "Say until when.")

    def write(self, teacher: User) -> str:
        given = self.cleaned_data
        school_class = given["school_class"]
        task = AssignmentGiven(subject=given["subject"], title=given["title"], due=given["due"])
        students = Audience("students", class_id=school_class.pk)
        notify(task, to=students, actor=teacher, target=school_class)
        return f"the students of {school_class}"


ENTRIES: dict[str, type[Entry]] = {entry.name: entry for entry in (Absence, Grade, Assignment)}
