"""What sites test with: nothing leaves, time moves when it is told to, failures say why."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.utils import timezone
from django.utils.timezone import now as imported_before

from clarion import announce, inbox, notify, outbox, preferences, reach, retract, types
from clarion.channels import memory, webhook
from clarion.channels.base import Address, Channel, Envelope, Receipt, get_channel
from clarion.conf import settings
from clarion.exceptions import EndpointGone, PermanentFailure, TransientFailure, UnknownType
from clarion.models import Attempt, Delivery, Notification
from clarion.routes import via
from clarion.testing import (
    ChannelContract,
    Clock,
    assert_not_notified,
    assert_notified,
    capture,
    envelope,
    run_after_commit,
    snapshots,
    travel,
)
from clarion.types import Message, all_types
from tests import outward
from tests.channels.mailserver import mail_server, sends_through
from tests.channels.receiver import http_server
from tests.outward import Alarm, Batched, Digested, Escalated, Graded, MailOnly
from tests.testapp.notifications import Commented, DueSoon

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def channels():
    with outward.registered(), outward.site():
        yield


@pytest.fixture
def mailbox():
    with capture() as mailbox:
        yield mailbox


@pytest.fixture
def clock():
    with Clock(START) as clock:
        yield clock


# --- the mailbox


@pytest.mark.django_db(transaction=True)
def test_what_leaves_is_in_the_mailbox_by_person_and_channel(alice, bob, mailbox):
    notify(Escalated(), to=alice)
    notify(Graded(grade="B"), to=[alice, bob])

    with travel("2h"):
        assert len(mailbox) == 4
        assert mailbox.to(bob).titles == ["Grade B"]
        assert mailbox.by("email").to(alice).titles == ["Grade B", "Grade A"]
        assert [each.channel for each in mailbox.to(alice)] == ["email", "email", "sms"]
        assert mailbox.sent[-1] is mailbox[-1]


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_is_compared_and_emptied_like_a_list(alice, mailbox):
    assert mailbox == []
    notify(Graded(), to=alice)
    outbox.deliver_due()
    assert mailbox == mailbox.sent
    assert "email to alice: Grade A" in repr(mailbox)

    mailbox.clear()

    assert mailbox == []


@pytest.mark.django_db(transaction=True)
def test_no_configured_channel_sends_and_all_come_back(alice):
    with http_server() as receiver, outward.site(CHANNELS={"webhook": {"allow_private": True}}):
        real = get_channel("webhook")
        with capture() as mailbox, outward_type_by("webhook") as hooked:
            webhook_url = receiver.url().replace("http:", "https:")
            reach.add(alice, "webhook", webhook_url)
            notify(hooked(), to=alice)
            outbox.deliver_due()
        outbox.deliver_due()

        assert receiver.requests == []
        assert mailbox.by("webhook").titles == ["Grade A"]
        assert mailbox[0].address.value == webhook_url
        assert get_channel("webhook") == real


@contextmanager
def outward_type_by(channel: str):
    @dataclass(frozen=True, kw_only=True)
    class By(Graded):
        type = "out.by"
        channels = [via(channel)]

    types.register(By)
    yield By
    del types._registry["out.by"]


@pytest.mark.django_db(transaction=True)
def test_channels_for_machines_do_not_gather_in_the_mailbox_either(alice):
    by_webhook = outward_type_by("webhook")
    with outward.site(CHANNELS={"webhook": {}}), by_webhook as hooked, capture() as mailbox:
        for _ in range(6):
            notify(hooked(), to=alice)
        outbox.deliver_due()

    assert [each.count for each in mailbox] == [1] * 6


def test_a_channel_whose_package_or_key_is_missing_can_be_captured(db):
    odd = {"webpush": {}, "odd": {"BACKEND": "no.such.Channel"}}
    with outward.site(CHANNELS=odd), capture() as mailbox:
        assert mailbox.by("webpush") == []


def test_a_channel_the_site_has_not_is_not_asked_for_in_vain(mailbox):
    with pytest.raises(ValueError, match=r"'emial'.* email, sms"):
        mailbox.by("emial")


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_outlives_its_block_and_hides_no_other(alice):
    with capture() as outer:
        notify(Graded(grade="1"), to=alice)
        outbox.deliver_due()
        with capture() as inner:
            notify(Graded(grade="2"), to=alice)
            outbox.deliver_due()
        notify(Graded(grade="3"), to=alice)
        outbox.deliver_due()

    memory.sent.clear()
    assert inner.titles == ["Grade 2"]
    assert outer.titles == ["Grade 1", "Grade 3"]


@pytest.mark.django_db(transaction=True)
def test_the_runner_rests_while_mail_is_captured(alice):
    with override_settings(
        CLARION={"RUNNER": "inline", "CHANNELS": {"email": {"BACKEND": "memory"}}}
    ):
        with capture() as mailbox:
            notify(Graded(), to=alice)
            assert mailbox == []

        assert settings.RUNNER == "inline"


# --- the clock


def test_time_stands_still_and_comes_back(db):
    before = timezone.now()

    with Clock(START) as clock:
        assert timezone.now() == imported_before() == clock.now == START
        assert Attempt(delivery_id=1).at == START
        assert timezone.localtime(before) == before
        clock.tick(minutes=5)
        assert timezone.now() == START + timedelta(minutes=5)

    assert before <= timezone.now() < before + timedelta(hours=1)


def test_a_clock_in_a_clock_goes_on_from_there(clock):
    with Clock() as inner:
        assert inner.now == START


@pytest.mark.parametrize(
    ("move", "error", "text"),
    [
        (lambda clock: clock.travel_to(START - timedelta(1)), ValueError, "time goes forward"),
        (lambda clock: clock.travel_to(datetime(2027, 1, 1)), ValueError, "no time zone"),
        (lambda clock: clock.tick(), TypeError, "minutes=15"),
        (lambda clock: clock.tick("15m", minutes=2), TypeError, "minutes=15"),
    ],
)
def test_a_clock_refuses_what_makes_no_sense(clock, move, error, text):
    with pytest.raises(error, match=text):
        move(clock)


def test_a_clock_must_be_entered():
    with pytest.raises(RuntimeError, match="with Clock"):
        Clock(START).tick("1m")


@pytest.mark.django_db(transaction=True)
def test_each_thing_happens_at_its_time_and_in_order(alice, mailbox, clock):
    """A mail after a quarter of an hour, a text message after one, a digest next morning."""
    notify(Escalated(), to=alice)
    notify(Digested(grade="B"), to=alice)
    notify(Digested(grade="C"), to=alice)

    clock.tick(days=2)

    assert [(each.channel, each.count) for each in mailbox] == [
        ("email", 1), ("sms", 1), ("email", 2),
    ]  # fmt: skip
    times = Attempt.objects.order_by("pk").values_list("at", flat=True)
    assert [moment - START for moment in times] == [
        timedelta(minutes=15), timedelta(hours=1), timedelta(hours=20),
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_what_was_read_on_the_way_is_not_mailed(alice, mailbox, clock):
    notify(Escalated(), to=alice)
    clock.tick("20m")
    inbox.mark_all_read(alice)

    clock.tick("2h")

    assert [each.channel for each in mailbox] == ["email"]


@pytest.mark.django_db(transaction=True)
def test_quiet_hours_are_waited_through(alice, mailbox, clock):
    preferences.set_schedule(alice, quiet=[{"start": "11:00", "end": "14:00"}])
    notify(Graded(), to=alice)
    notify(Alarm(grade="!"), to=alice)

    clock.tick("1h")
    assert mailbox.titles == ["Grade !"]
    clock.travel_to(START + timedelta(hours=2))

    assert mailbox.titles == ["Grade !", "Grade A"]


@pytest.mark.django_db(transaction=True)
def test_scheduled_ones_snoozes_and_expiries_happen_on_the_way(alice, clock):
    notify("Later", to=alice, at=START + timedelta(hours=3))
    notify("Short-lived", to=alice, expires=START + timedelta(hours=1))
    notify("Snoozed", to=alice)
    [snoozed] = Notification.objects.filter(event__text="Snoozed")
    inbox.snooze(alice, [snoozed.pk], START + timedelta(hours=2))

    clock.tick("4h")

    titles = [item["title"] for item in inbox.page(alice).items]
    assert titles == ["Later", "Snoozed"]
    archived = Notification.objects.get(event__text="Short-lived").archived_at
    assert archived == START + timedelta(hours=1)


@pytest.mark.django_db(transaction=True)
def test_a_failing_channel_is_tried_again_as_time_goes_on(alice):
    outward.failing.clear()
    outward.tried.clear()
    fragile = {"email": {"BACKEND": "tests.outward.Fragile"}}
    with outward.site(CHANNELS=fragile), Clock(START) as clock:
        outward.failing["email"] = outward.BUSY
        notify(Graded(), to=alice)

        clock.tick("1h")

        assert [each.attempt for each in outward.tried] == [1, 2, 3]
        assert Delivery.objects.get().outcome == "failed"
    outward.failing.clear()


def test_it_works_where_time_machine_is_not_installed():
    """In an interpreter that can find no package but Django and ourselves."""
    code = """
import sys
class Hidden:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("time_machine", "pytest", "freezegun"):
            raise ImportError(name)
sys.meta_path.insert(0, Hidden())
import django
django.setup()
from clarion import testing
assert set(testing.__all__) <= set(dir(testing))
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": "src:."}

    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )

    assert answer.returncode == 0, answer.stderr


# --- after the commit


class InATestCase(TestCase):
    """As Django's own TestCase does it: no commit ever happens."""

    def setUp(self) -> None:
        self.alice = User.objects.create(username="alice")
        self.mailbox = self.enterContext(capture())
        self.clock = self.enterContext(Clock(START))

    def test_a_commit_is_played(self) -> None:
        with run_after_commit():
            notify(Graded(), to=self.alice)
            assert Delivery.objects.count() == 0

        assert_notified(self.alice, Graded)
        assert_notified(self.alice, Graded, via="email", grade="A", times=1)
        assert self.mailbox.titles == ["Grade A"]

    def test_without_it_the_clock_finds_the_event(self) -> None:
        notify(Graded(), to=self.alice)
        assert_not_notified(self.alice, Graded)

        self.clock.tick("1m")

        assert_notified(self.alice, Graded, via="email")

    def test_what_is_registered_by_a_callback_runs_too(self) -> None:
        done = []
        with run_after_commit():
            transaction.on_commit(
                lambda: transaction.on_commit(
                    lambda: done.append("inner") or notify("Hello", to=self.alice)
                )
            )

        assert done == ["inner"]
        assert_notified(self.alice, "Hello")

    def test_what_a_robust_callback_raises_is_raised(self) -> None:
        with pytest.raises(ZeroDivisionError), run_after_commit():
            transaction.on_commit(lambda: 1 / 0, robust=True)

    def test_a_block_that_raises_sets_nothing_off(self) -> None:
        with pytest.raises(RuntimeError), run_after_commit():
            notify(Graded(), to=self.alice)
            raise RuntimeError

        with run_after_commit():
            pass
        assert_not_notified(self.alice, Graded)

    def test_what_was_rolled_back_inside_is_not_played(self) -> None:
        with run_after_commit(), pytest.raises(RuntimeError), transaction.atomic():
            notify(Graded(), to=self.alice)
            raise RuntimeError

        assert_not_notified(self.alice)

    def test_a_large_audience_is_served_to_the_end(self) -> None:
        people = User.objects.bulk_create(User(username=f"p{n}") for n in range(150))

        with run_after_commit():
            notify(Graded(), to=people)

        assert len(self.mailbox) == 150


class InATransactionTestCase(TransactionTestCase):
    def test_what_was_played_is_not_done_again_by_a_real_commit(self) -> None:
        done = []
        with transaction.atomic():
            with run_after_commit():
                transaction.on_commit(lambda: done.append(1))
            assert done == [1]

        assert done == [1]

    def test_without_a_transaction_it_sends_what_is_due(self) -> None:
        alice = User.objects.create(username="alice")

        with capture() as mailbox, run_after_commit():
            notify(Graded(), to=alice)

        assert mailbox.titles == ["Grade A"]


# --- assertions


@pytest.fixture
def told(alice, bob, mailbox, clock):
    """Alice has an A and a comment, Bob a comment; nothing else."""
    with run_after_commit():
        notify(Graded(grade="A"), to=alice)
        notify(Commented(excerpt="hi"), to=[alice, bob])
    return clock


@pytest.mark.django_db
def test_assertions_hold_for_what_happened(told, alice, bob):
    assert_notified(alice, Graded)
    assert_notified(alice, Graded(grade="A"), via="email", times=1)
    assert_notified(alice, "Grade A", times=1)
    assert_notified(bob, Commented, excerpt="hi")
    assert_not_notified(bob, Graded)
    assert_not_notified(bob, via="email")
    assert_not_notified(alice, Graded, grade="B")


@pytest.mark.parametrize(
    "claim",
    [
        lambda alice, bob: assert_notified(bob, Graded),
        lambda alice, bob: assert_notified(alice, Graded, grade="B"),
        lambda alice, bob: assert_notified(alice, Graded(grade="B")),
        lambda alice, bob: assert_notified(alice, Graded, via="sms"),
        lambda alice, bob: assert_notified(alice, Graded, times=2),
        lambda alice, bob: assert_notified(alice, Graded, times=0),
        lambda alice, bob: assert_notified(alice, "Grade B"),
        lambda alice, bob: assert_not_notified(alice, Graded, via="email"),
        lambda alice, bob: assert_not_notified(alice),
        lambda alice, bob: assert_not_notified(bob, "Somebody commented"),
    ],
)
@pytest.mark.django_db
def test_assertions_fail_for_what_did_not(told, alice, bob, claim):
    with pytest.raises(AssertionError):
        claim(alice, bob)


@pytest.mark.parametrize(
    ("claim", "error", "text"),
    [
        (lambda who: assert_not_notified(who, Graded, note="x"), TypeError, "no field 'note'"),
        (lambda who: assert_not_notified(who, Graded, via="emial"), ValueError, "'emial'"),
        (lambda who: assert_notified(who, "Grade A", body="x"), TypeError, "title stands"),
    ],
)
@pytest.mark.django_db
def test_nothing_is_asserted_in_vain(told, alice, claim, error, text):
    with pytest.raises(error, match=text):
        claim(alice)


@pytest.mark.django_db
def test_fields_are_compared_as_python_values(alice):
    due = datetime(2027, 1, 1, tzinfo=UTC)

    with run_after_commit():
        notify(DueSoon(due=due, words=3), to=alice)

    assert_notified(alice, DueSoon, due=due)


@pytest.mark.django_db
def test_a_failure_says_what_was_sent_and_why_not(alice, clock, mailbox):
    preferences.choose(alice, "type:out.graded", "off", "email")
    with run_after_commit():
        notify(Graded(grade="A"), to=alice)
        notify(Escalated(grade="E"), to=alice)
        notify(Digested(grade="D"), to=alice)
    notify(MailOnly(grade="M"), to=alice)

    with pytest.raises(AssertionError) as caught:
        assert_notified(alice, Graded, via="email", grade="A")

    text = str(caught.value)
    assert text.startswith("alice was not notified of out.graded(grade='A') by email.")
    assert "email: skipped, type:out.graded is off" in text
    assert "inbox: shown" in text
    assert "email: due at 2026-11-20 12:15:00" in text
    assert "email: due at 2026-11-21 08:00:00, waits: daily digest" in text
    assert "not fanned out yet" in text
    assert "out.mailonly(grade='M'), 'Grade M'" in text


@pytest.mark.django_db
def test_collapsed_repeats_count_one_by_one(alice):
    with run_after_commit():
        for number in range(3):
            notify(Commented(excerpt=f"{number}"), to=alice, collapse="thread")

    assert_notified(alice, Commented, times=3)
    assert_notified(alice, Commented, excerpt="1", times=1)


@pytest.mark.django_db
def test_announcements_count_and_what_was_taken_back_does_not(alice):
    with run_after_commit():
        announce("No school on Friday")
        event = notify("Wrong", to=alice)
    assert_notified(alice, "No school on Friday")
    assert_notified(alice, "Wrong")

    with run_after_commit():
        retract(event)

    assert_not_notified(alice, "Wrong")


@pytest.mark.django_db(transaction=True)
def test_who_sent_it_counts_where_another_channel_took_over(alice):
    outward.failing.clear()
    fragile = {"email": {"BACKEND": "tests.outward.Fragile", "failover": "sms"}}
    with outward.site(CHANNELS=fragile):
        outward.failing["email"] = outward.BUSY
        notify(Graded(), to=alice)
        outbox.deliver_due()

        assert_notified(alice, Graded, via="sms")
        assert_not_notified(alice, Graded, via="email")
    outward.failing.clear()


@pytest.mark.django_db
def test_each_of_a_batch_was_handed_over(alice, mailbox, clock):
    for grade in "ABC":
        with run_after_commit():
            notify(Batched(grade=grade), to=alice)
    assert_not_notified(alice, Batched, via="email")

    clock.tick("1h")

    assert len(mailbox) == 1
    assert_notified(alice, Batched, via="email", times=3)
    assert_notified(alice, Batched, via="email", grade="C", times=1)


# --- envelopes and snapshots


def test_an_envelope_is_as_the_outbox_makes_it():
    made = envelope(Graded, channel="email", language="de", kind="batch", count=60)

    assert (made.channel, made.kind, made.count, len(made.entries)) == ("email", "batch", 60, 50)
    entry = made.entries[0]
    assert (entry.type, entry.category, entry.data) == ("out.graded", "grades", {"grade": "A"})
    assert entry.content.url == "https://school.example/grades/"
    assert made.language == "de"


def test_an_envelope_of_one_is_a_single_one():
    made = envelope(Graded(grade="F"))

    assert (made.kind, made.count) == ("single", 1)
    assert made.entries[0].content.title == "Grade F"


def test_several_types_can_go_as_one():
    made = envelope([Graded, Message])

    assert [entry.type for entry in made.entries] == ["out.graded", "message"]


@pytest.mark.django_db
def test_an_envelope_can_have_an_actor_and_a_target(alice, bob):
    made = envelope(Commented, recipient=alice, actor=bob, target=alice)

    assert made.recipient == alice
    assert made.entries[0].content.title == "bob commented"
    assert (made.entries[0].actor, made.entries[0].target) == ("Bob", f"auth.user:{alice.pk}")


def test_an_unknown_type_makes_no_envelope():
    @dataclass(frozen=True, kw_only=True)
    class Grade(Graded):
        type = "out.grade"

    with pytest.raises(UnknownType, match=r"out\.graded"):
        envelope(Grade)


def test_what_a_type_raises_is_not_hidden():
    @dataclass(frozen=True, kw_only=True)
    class Broken(Graded):
        type = "out.graded"

        def content(self, event: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        envelope(Broken)


@override_settings(LANGUAGES=[("en", "English"), ("de", "Deutsch")])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("channel", ["inbox", "sms", "email", "webhook", "webpush", "slack"])
def test_every_type_renders_on_every_channel_in_every_language(channel: str, count: int):
    with outward.site(CHANNELS=_real(channel)):
        shown = dict(snapshots(channels=[channel], count=count))

    wanted = {f"{cls.type}/{channel}.{code}.txt" for cls in all_types() for code in ("en", "de")}
    assert set(shown) == wanted
    assert all(text.strip() for text in shown.values())


def _real(channel: str) -> dict[str, Any]:
    """The channel itself, as far as its package is installed."""
    if channel == "webpush":
        pytest.importorskip("cryptography")
        from clarion.channels.encryption import new_private_key

        keys = {"vapid_private_key": new_private_key(), "vapid_subject": "mailto:it@school.example"}
        return {"webpush": keys}
    if channel == "slack":
        pytest.importorskip("apprise")
        return {"slack": {"BACKEND": "apprise"}}
    return {channel: {}} if channel in ("email", "webhook") else {}


def test_snapshots_are_the_same_at_any_time():
    first = dict(snapshots(count=3))

    with Clock(START):
        assert dict(snapshots(count=3)) == first


def test_a_site_that_names_no_languages_has_one():
    names = [name for name, _ in snapshots([Graded], channels=["inbox", "sms"])]

    assert names == ["out.graded/inbox.en.txt", "out.graded/sms.en.txt"]


def test_a_snapshot_holds_what_is_said():
    shown = dict(snapshots([Graded], channels=["inbox", "sms"]))

    assert shown["out.graded/sms.en.txt"] == "Grade A\nhttps://school.example/grades/\n"
    assert '"title": "Grade A"' in shown["out.graded/inbox.en.txt"]


# --- the contract of channels


class TestTheMemoryChannel(ChannelContract):
    options: ClassVar[Any] = {"BACKEND": "memory", "keep": 5}


class TestTheMemoryChannelWithUnittest(ChannelContract, SimpleTestCase):
    options: ClassVar[Any] = {"BACKEND": "memory"}


class TestTheWebhookChannel(ChannelContract):
    secret: ClassVar[str] = webhook.new_secret()
    options: ClassVar[Any] = {"BACKEND": "webhook", "allow_private": True, "allow_http": True}
    secrets: ClassVar[Any] = [secret, "k3y-in-the-path"]

    @pytest.fixture(autouse=True)
    def _receiver(self):
        with http_server() as self.receiver:
            yield

    def address(self) -> Address:
        secrets = {"secrets": [{"secret": self.secret, "until": None}]}
        return Address(value=self.receiver.url(), label="CRM", data=secrets)

    @contextmanager
    def failing(self, how: str):
        if how == "permanent":
            pytest.skip("whatever a webhook answers is tried again, but 410")
        self.receiver.answer({"transient": 503, "gone": 410}[how])
        yield
        self.receiver.answer(200)


class TestTheEmailChannel(ChannelContract):
    options: ClassVar[Any] = {"BACKEND": "email"}
    secrets: ClassVar[Any] = ["zoe@school.example"]

    @pytest.fixture(autouse=True)
    def _server(self):
        with mail_server() as self.server, sends_through(self.server.port):
            yield

    def address(self) -> Address:
        return Address(value="zoe@school.example")

    def recipient(self) -> User:
        return User(pk=7, username="zoe")

    @contextmanager
    def failing(self, how: str):
        self.server.replies[:] = {
            "transient": ["451 4.3.0 zoe@school.example is over its quota"],
            "permanent": ["554 5.7.1 zoe@school.example takes no mail from you"],
            "gone": [],
        }[how]
        if how == "gone":
            self.server.unknown["zoe@school.example"] = "550 5.1.1 no zoe@school.example here"
        yield
        self.server.unknown.clear()

    def test_line_breaks_end_no_header(self) -> None:
        self.test_any_text_can_be_sent()

        assert [mail["Bcc"] for mail in self.server.mails] == [None, None]
        assert self.server.recipients == ["zoe@school.example"] * 2


@dataclass(frozen=True, kw_only=True)
class Pager(Channel):
    """A channel as a site writes it, and ways in which it can be wrong."""

    key: str = field(repr=False)
    wrong: str = ""
    other_side: ClassVar[str] = ""

    def send(self, envelope: Envelope) -> Receipt:
        if self.wrong == "says nothing":
            return None  # type: ignore[return-value]
        if self.wrong == "no umlauts":
            envelope.entries[0].content.title.encode("ascii")
        if self.wrong == "one at a time" and len(envelope.entries) > 1:
            raise PermanentFailure("only one")
        if self.wrong == "once" and envelope.attempt > 1:
            raise PermanentFailure("had it already")
        told = f"for {self.key}" if self.wrong == "talks" else ""
        if self.other_side and self.wrong == "never fails":
            return Receipt()
        if self.other_side and self.wrong == "always for good":
            raise PermanentFailure("no")
        if self.other_side == "transient":
            raise TransientFailure(f"busy {told}")
        if self.other_side == "permanent":
            raise PermanentFailure(f"refused {told}")
        if self.other_side == "gone":
            raise EndpointGone(f"gone {told}")
        return Receipt(detail=told)


class PagerContract(ChannelContract):
    options: ClassVar[Any] = {"BACKEND": "tests.test_testing.Pager", "key": "k-123"}
    secrets: ClassVar[Any] = ["k-123"]

    @contextmanager
    def failing(self, how: str):
        Pager.other_side = how
        yield
        Pager.other_side = ""


class TestAPager(PagerContract):
    pass


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        ("says nothing", "test_what_is_sent_is_acknowledged_by_a_receipt"),
        ("says nothing", "test_each_of_many_has_its_own_result"),
        ("no umlauts", "test_any_text_can_be_sent"),
        ("one at a time", "test_three_can_go_as_one"),
        ("one at a time", "test_sixty_can_go_as_one_of_which_fifty_are_told"),
        ("once", "test_the_same_envelope_may_be_sent_twice"),
        ("once", "test_it_sends_again_after_a_failure"),
        ("talks", "test_secrets_are_not_seen"),
        ("talks", "test_reasons_hold_no_secrets"),
        ("never fails", "test_a_transient_failure_is_told_as_such"),
        ("never fails", "test_a_permanent_failure_is_told_as_such"),
        ("always for good", "test_a_transient_failure_is_told_as_such"),
        ("always for good", "test_an_address_that_is_gone_is_told_as_such"),
    ],
)
def test_the_contract_finds_what_is_wrong(wrong: str, test: str):
    contract = PagerContract()
    contract.options = {**PagerContract.options, "wrong": wrong}  # type: ignore[misc]

    try:
        with pytest.raises(AssertionError):
            getattr(contract, test)()
    finally:
        Pager.other_side = ""


def test_the_contract_finds_a_key_in_the_repr():
    contract = PagerContract()
    contract.options = {**PagerContract.options, "wrong": "k-123"}  # type: ignore[misc]

    with pytest.raises(AssertionError, match=r"\*\*\*"):
        contract.test_secrets_are_not_seen()
