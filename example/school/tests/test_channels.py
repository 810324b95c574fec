"""What leaves the screen: which mail goes to whom, when, and in what company."""

from __future__ import annotations

import json
from importlib.util import find_spec
from io import StringIO
from unittest import skipUnless

from config.outward import channels
from config.settings import VAR
from django.core import mail
from django.core.management import call_command
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from clarion import inbox, outbox, preferences
from clarion.models import Delivery, Endpoint
from school.models import User
from school.tests.base import SchoolTestCase

DAY = "2026-11-20"
CLARION = {
    "RUNNER": "inline",
    "SITE_URL": "https://school.example",
    "RECIPIENT_ROLE": "role",
    "CHANNELS": {"email": {}, "webhook": {"allow_http": True, "allow_private": True}},
}


def mails() -> list[tuple[str, str]]:
    """(to, subject) of all that were sent."""
    return sorted((message.to[0], message.subject) for message in mail.outbox)


def let_time_pass() -> None:
    """What waits is due."""
    Delivery.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
    outbox.deliver_due()


@override_settings(CLARION=CLARION)
class Mail(SchoolTestCase):
    def assign(self, *titles: str) -> None:
        for title in titles:
            self.write(
                self.ada, "assignment", school_class="7a", subject="Music", title=title, due=DAY
            )

    def mail_now(self, user: User) -> None:
        self.client.force_login(user)
        self.client.post(reverse("mail-now"))
        outbox.deliver_due()

    def test_an_absence_is_mailed_to_the_guardians_at_once(self) -> None:
        self.write(self.ada, "absence", student="sam", day=DAY)

        assert mails() == [("grace@school.example", "Sam Test was absent")]

    def test_nobody_can_switch_off_absences(self) -> None:
        preferences.choose(self.grace, "*", "off", "email")

        self.write(self.ada, "absence", student="sam", day=DAY)

        assert mails() == [("grace@school.example", "Sam Test was absent")]

    def test_a_notice_is_mailed_later_to_whom_it_waits_unread(self) -> None:
        self.send(self.ada, to_kind="role", to="student", title="Museum on Friday")
        assert mails() == []
        [item] = inbox.page(self.sam).items
        inbox.mark_read(self.sam, [item["id"]])

        let_time_pass()

        assert mails() == [
            ("ben@school.example", "Museum on Friday"),
            ("mia@school.example", "Museum on Friday"),
        ]

    def test_grades_of_an_hour_are_one_mail(self) -> None:
        for subject in ("Music", "Biology"):
            self.write(self.ada, "grade", student="sam", subject=subject, grade="A")
        assert mails() == []

        let_time_pass()

        [message] = mail.outbox
        assert message.to == ["sam@school.example"]
        assert "New grade in Music" in message.body
        assert "New grade in Biology" in message.body

    def test_assignments_come_in_the_digest_and_at_once_to_whom_asks_for_them(self) -> None:
        self.assign("The second verse", "The third verse")
        self.client.force_login(self.sam)
        self.assertContains(self.client.get(reverse("home")), "2 notifications wait")

        self.mail_now(self.sam)

        [message] = mail.outbox
        assert message.to == ["sam@school.example"]
        assert "The second verse" in message.body
        assert "The third verse" in message.body
        self.assertNotContains(self.client.get(reverse("home")), "Your next mail")

    def test_nobody_sends_the_mail_of_others(self) -> None:
        self.assign("The second verse")

        self.mail_now(self.mia)

        assert mails() == []

    def test_links_in_mails_lead_to_the_site(self) -> None:
        self.send(self.ada, to_kind="person", to="sam", title="Museum on Friday")

        let_time_pass()

        assert "https://school.example/notices/" in mail.outbox[0].body


class Connected(SchoolTestCase):
    """`manage.py connect`, as the demo calls it."""

    @skipUnless(find_spec("cryptography"), "web push needs cryptography")
    def test_what_was_connected_before_is_not_any_more(self) -> None:
        with override_settings(CLARION=CLARION | {"CHANNELS": channels(VAR, local=True)}):
            first, second = self.connect("one"), self.connect("two")

        assert first["secret"] != second["secret"]
        assert first["key"] == second["key"]
        addresses = set(Endpoint.objects.values_list("channel", "recipient", "address"))
        assert addresses == {
            ("webhook", None, "http://127.0.0.1:9/two"),
            ("webpush", self.sam.pk, "http://127.0.0.1:9/push/two"),
        }

    def connect(self, name: str) -> dict[str, str]:
        said = StringIO()
        # A point on the curve P-256, and 16 bytes.
        keys = [
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        ]
        place = f"http://127.0.0.1:9/{name}", "sam", f"http://127.0.0.1:9/push/{name}"
        call_command("connect", *place, *keys, stdout=said)
        return dict(json.loads(said.getvalue()))


@override_settings(CLARION=CLARION)
class ClassBook(SchoolTestCase):
    def test_only_teachers_write_into_it(self) -> None:
        for user in (self.sam, self.grace):
            with self.subTest(user):
                answer = self.write(user, "absence", student="sam", day=DAY)
                assert answer.status_code == 403
        assert mails() == []

    def test_it_says_who_was_told(self) -> None:
        for page, fields, told in [
            ("absence", {"student": "sam", "day": DAY}, "the guardians of Sam Test"),
            ("grade", {"student": "sam", "subject": "Music", "grade": "A"}, "Sam Test"),
            (
                "assignment",
                {"school_class": "7a", "subject": "Music", "title": "Sing", "due": DAY},
                "the students of 7a",
            ),
        ]:
            with self.subTest(page):
                self.assertRedirects(
                    self.write(self.ada, page, **fields),
                    reverse("class-book"),
                    fetch_redirect_response=False,
                )
                self.assertContains(self.client.get(reverse("class-book")), f"told to {told}.")

    def test_each_fault_is_told_in_a_sentence_and_nobody_else_hears_of_it(self) -> None:
        orphan = self.person("olga", "student")
        for page, fields, sentence in [
            ("absence", {"day": DAY}, "Choose a student."),
            ("absence", {"student": "ada", "day": DAY}, "There is no such student any more."),
            ("absence", {"student": "olga", "day": DAY}, f"{orphan} has no guardian here"),
            ("absence", {"student": "sam", "day": "soon"}, "Write the day like 2026-01-31."),
            ("grade", {"student": "sam", "grade": "A"}, "Name the subject."),
            ("grade", {"student": "sam", "subject": "Art", "grade": 11 * "A"}, "10 is the most."),
            ("assignment", {"school_class": "9z"}, "There is no such class any more."),
            ("assignment", {"school_class": "7a"}, "Say what is to do."),
        ]:
            with self.subTest(sentence):
                answer = self.write(self.ada, page, **fields)
                self.assertContains(answer, sentence, status_code=400)
        assert not inbox.page(self.sam).items

    def test_there_are_no_other_pages(self) -> None:
        assert self.write(self.ada, "gossip").status_code == 404
