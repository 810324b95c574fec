"""A small school to test with."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import reverse

from clarion.models import Notification
from school.demo.people import PASSWORD
from school.models import Guardianship, SchoolClass, User

QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@override_settings(CLARION={"RUNNER": "inline"}, PASSWORD_HASHERS=QUICK)
class SchoolTestCase(TestCase):
    """Two classes of two students each; one guardian has a child in both."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.ada = cls.person("ada", "teacher")
        cls.tom = cls.person("tom", "teacher")
        cls.sam = cls.person("sam", "student")
        cls.mia = cls.person("mia", "student")
        cls.ben = cls.person("ben", "student")
        cls.grace = cls.person("grace", "guardian")
        cls.hans = cls.person("hans", "guardian")
        cls.upper = cls.school_class("7a", cls.ada, [cls.sam])
        cls.lower = cls.school_class("5b", cls.tom, [cls.mia, cls.ben])
        for guardian, student in [("grace", "sam"), ("grace", "mia"), ("hans", "ben")]:
            Guardianship.objects.create(
                guardian=getattr(cls, guardian), student=getattr(cls, student)
            )

    @staticmethod
    def person(username: str, role: str, **more: Any) -> User:
        facts = {
            "first_name": username.title(),
            "last_name": "Test",
            "email": f"{username}@school.example",
        }
        return User.objects.create_user(username, password=PASSWORD, role=role, **facts, **more)

    @staticmethod
    def school_class(name: str, teacher: User, students: list[User]) -> SchoolClass:
        made = SchoolClass.objects.create(name=name, teacher=teacher)
        made.students.set(students)
        return made

    def send(self, author: User, **fields: Any) -> HttpResponse:
        """Post the form of the send page, and let what was committed be delivered."""
        self.client.force_login(author)
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.post(reverse("send"), {"title": "Hello", **fields})

    def write(self, teacher: User, page: str, **fields: Any) -> HttpResponse:
        """Write into the class book, and let what was committed be delivered."""
        self.client.force_login(teacher)
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.post(reverse("class-book-entry", args=[page]), fields)

    def who_got_it(self) -> set[str]:
        rows = Notification.objects.filter(event__type="notice.posted")
        usernames = list(rows.values_list("recipient__username", flat=True))
        assert len(usernames) == len(set(usernames))
        return set(usernames)
