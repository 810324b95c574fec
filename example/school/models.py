"""The school: people, classes, who looks after whom, and the notices they send."""

from __future__ import annotations

import zlib

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.urls import reverse

HUES = 7  # colours that avatars are drawn in; see school.css


def hue_of(username: str) -> int:
    """The colour of somebody's avatar, the same everywhere."""
    return zlib.crc32(username.encode()) % HUES


class User(AbstractUser):
    """Everybody who can sign in."""

    class Role(models.TextChoices):
        STUDENT = "student"
        TEACHER = "teacher"
        GUARDIAN = "guardian"

    role = models.CharField(max_length=10, choices=Role, default=Role.STUDENT)
    children = models.ManyToManyField(
        "self",
        through="Guardianship",
        through_fields=("guardian", "student"),
        symmetrical=False,
        blank=True,
        related_name="guardians",
    )

    class Meta(AbstractUser.Meta):
        indexes = [models.Index(fields=["role"], name="school_user_role")]

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def initials(self) -> str:
        return "".join(name[0] for name in (self.first_name, self.last_name) if name).upper()

    @property
    def hue(self) -> int:
        return hue_of(self.username)

    @property
    def may_send(self) -> bool:
        """Teachers write notices, and whoever runs the school."""
        return self.role == self.Role.TEACHER or self.is_staff


class SchoolClass(models.Model):
    """A class, with the teacher who answers for it."""

    name = models.CharField(max_length=20, unique=True)
    room = models.CharField(max_length=40, blank=True)
    teacher = models.ForeignKey(
        User, models.PROTECT, related_name="led_classes", limit_choices_to={"role": "teacher"}
    )
    students = models.ManyToManyField(
        User, related_name="classes", blank=True, limit_choices_to={"role": "student"}
    )

    class Meta:
        ordering = ["name"]
        verbose_name = "class"
        verbose_name_plural = "classes"

    def __str__(self) -> str:
        return self.name


class Guardianship(models.Model):
    """An adult looks after a student."""

    guardian = models.ForeignKey(User, models.CASCADE, related_name="guardianships")
    student = models.ForeignKey(User, models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["guardian", "student"], name="school_guardianship_once")
        ]

    def __str__(self) -> str:
        return f"{self.guardian} for {self.student}"


class Notice(models.Model):
    """What a teacher wrote. The notifications about it say that it is there, and lead here."""

    class Level(models.TextChoices):
        """Clarion's levels, as the school calls them."""

        INFO = "info", "Information"
        SUCCESS = "success", "Good news"
        WARNING = "warning", "Please note"
        ERROR = "error", "Problem"
        CRITICAL = "critical", "Urgent"

    author = models.ForeignKey(User, models.CASCADE, related_name="notices")
    title = models.CharField(max_length=120)
    body = models.TextField(max_length=1000, blank=True)
    link = models.CharField(max_length=300, blank=True)
    level = models.CharField(max_length=10, choices=Level, default=Level.INFO)
    audience = models.CharField(max_length=100)  # in words, as it was called when it was sent
    event = models.OneToOneField("clarion.Event", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("notice", args=[self.pk])
