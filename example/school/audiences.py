"""Who is meant by a name. Clarion asks in chunks when a notice goes out, never before."""

from __future__ import annotations

from django.db.models import QuerySet

from clarion import audience
from school.models import User


@audience("teachers")
def teachers() -> QuerySet[User]:
    return User.objects.filter(role=User.Role.TEACHER)


@audience("students")
def students(class_id: int | None = None) -> QuerySet[User]:
    """All of them, or those of one class."""
    found = User.objects.filter(role=User.Role.STUDENT)
    return found if class_id is None else found.filter(classes=class_id)


@audience("guardians")
def guardians(class_id: int | None = None) -> QuerySet[User]:
    """All of them, or those of one class; once each, also with two children in it."""
    found = User.objects.filter(role=User.Role.GUARDIAN)
    return found if class_id is None else found.filter(children__classes=class_id).distinct()
