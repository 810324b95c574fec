"""The school that `seed` makes, and the settings it runs with."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from unittest import mock

from config.environment import database, secret_key
from config.outward import email_settings, mailer
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import SimpleTestCase, TransactionTestCase, override_settings
from django.utils import timezone

from clarion import inbox
from clarion.models import Delivery, Event, Inbox, Notification
from school.demo.people import ACCOUNTS, CLASS_SIZE, PASSWORD
from school.models import Guardianship, Notice, SchoolClass, User
from school.tests.base import QUICK


@override_settings(CLARION={"RUNNER": "inline"}, PASSWORD_HASHERS=QUICK)
class Seed(TransactionTestCase):
    def seed(self) -> str:
        said = StringIO()
        call_command("seed", stdout=said)
        return said.getvalue()

    def test_it_makes_a_believable_school(self) -> None:
        assert "Sign in as ada, sam, grace, principal" in self.seed()

        roles = Counter(User.objects.values_list("role", flat=True))
        assert (roles["teacher"], roles["student"]) == (13, 120)
        assert {seats.students.count() for seats in SchoolClass.objects.all()} == {CLASS_SIZE}
        assert not User.objects.filter(role="student", guardians=None).exists()
        sam = User.objects.get(username="sam")
        assert sam.guardians.filter(username="grace").exists()
        assert sam.classes.filter(teacher__username="ada").exists()

    def test_the_demo_accounts_open_and_have_something_to_read(self) -> None:
        self.seed()

        for account in ACCOUNTS:
            with self.subTest(account.username):
                assert self.client.login(username=account.username, password=PASSWORD)
                user = User.objects.get(username=account.username)
                assert str(user) == account.name
                assert inbox.page(user).items

    def test_the_past_is_in_the_past_and_of_every_sort(self) -> None:
        self.seed()

        rows = Notification.objects.all()
        just_now = timezone.now() - timedelta(minutes=30)
        assert not rows.filter(arrived_at__gt=just_now).exists()
        assert len(set(Event.objects.values_list("level", flat=True))) >= 4
        assert rows.filter(read_at=None).exists()
        assert rows.exclude(read_at=None).exists()
        call_command("clarion_verify", stdout=StringIO())  # exits where a counter is wrong

    def test_the_past_is_mailed_to_nobody(self) -> None:
        with override_settings(CLARION={**settings.CLARION, "CHANNELS": {"email": {}}}):
            self.seed()

        assert mail.outbox == []
        assert not Delivery.objects.filter(channel="email").exists()
        assert not User.objects.exclude(email__endswith="@school.example").exists()

    def test_a_second_run_changes_nothing(self) -> None:
        self.seed()
        before = everything()

        assert "there already" in self.seed()

        assert everything() == before

    def test_a_run_after_a_broken_one_adds_what_is_missing(self) -> None:
        broken = mock.patch("school.demo.history._age", side_effect=KeyboardInterrupt)
        with broken, suppress(KeyboardInterrupt):
            self.seed()
        assert Event.objects.count() == 1

        self.seed()

        assert Event.objects.count() == 15


def everything() -> dict[str, list[object]]:
    """Every row that matters, as it stands."""
    models = (User, SchoolClass, Guardianship, Notice, Event, Notification, Inbox)
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


class Environment(SimpleTestCase):
    def test_a_database_is_named_by_a_url(self) -> None:
        named = database("postgres://ada:p%40ss@db.example:5433/school")

        wanted = {
            "NAME": "school",
            "USER": "ada",
            "PASSWORD": "p@ss",
            "HOST": "db.example",
            "PORT": "5433",
        }
        assert {key: named[key] for key in wanted} == wanted

    def test_sqlite_is_set_up_for_readers_beside_a_writer(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            named = database(
                (Path(folder) / "new" / "school.sqlite3").as_uri().replace("file", "sqlite")
            )

        assert named["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
        assert "journal_mode=WAL" in named["OPTIONS"]["init_command"]

    def test_another_kind_of_database_is_refused_with_a_hint(self) -> None:
        with self.assertRaisesMessage(
            ImproperlyConfigured, "use sqlite:///path/to/file or postgres://"
        ):
            database("oracle://db.example/school")

    def test_the_secret_key_is_made_once_and_kept(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", clear=True):
            file = Path(folder) / "var" / "secret-key"
            first = secret_key(file)

            assert len(first) >= 50
            assert secret_key(file) == first

    def test_a_mail_server_is_named_by_a_url(self) -> None:
        named = mailer("smtp://ada:p%40ss@mail.example:2525")

        assert named["BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
        older = email_settings(named)
        assert (older["EMAIL_HOST"], older["EMAIL_PORT"]) == ("mail.example", 2525)
        assert (older["EMAIL_HOST_USER"], older["EMAIL_HOST_PASSWORD"]) == ("ada", "p@ss")

    def test_mail_can_go_to_files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            named = mailer(Path(folder).as_uri())

        assert named["BACKEND"] == "django.core.mail.backends.filebased.EmailBackend"
        assert Path(named["OPTIONS"]["file_path"]) == Path(folder)

    def test_another_kind_of_mail_is_refused_without_its_password(self) -> None:
        with self.assertRaisesMessage(ImproperlyConfigured, "use smtp://host:port") as caught:
            mailer("pigeon://ada:sesame@mail.example")

        assert "sesame" not in str(caught.exception)
