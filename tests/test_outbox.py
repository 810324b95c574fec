"""What leaves the screen: sent once, at its time, and every row accounted for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import cancel, fanout, inbox, notify, outbox, preferences, reach, retract
from clarion.channels import memory
from clarion.exceptions import EndpointGone, PermanentFailure
from clarion.models import Attempt, Delivery, Endpoint, Inbox, Notification, Schedule
from tests import outward
from tests.outward import (
    BUSY,
    Alarm,
    Escalated,
    Graded,
    Held,
    MailOnly,
    Quiet,
    Throttled,
    site,
)  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def channels():
    memory.sent.clear()
    outward.failing.clear()
    outward.tried.clear()
    with outward.registered(), site():
        yield


@pytest.fixture
def clock():
    with outward.clock() as travel:
        yield travel


def deliver() -> None:
    while outbox.deliver_due():
        continue


def sent(channel: str = "email") -> list[list[str]]:
    """The titles in each envelope, in the order of sending."""
    return [
        [entry.content.title for entry in envelope.entries]
        for envelope in memory.sent
        if envelope.channel == channel
    ]


def rows(**filter: object) -> list[tuple[str, str]]:
    found = Delivery.objects.filter(**filter).order_by("pk")
    return list(found.values_list("outcome", "reason"))


def accounted() -> None:
    """Promise 2: accepted = delivered + skipped + failed + pending, and nothing hangs."""
    counted = sum(sum(by.values()) for by in outbox.accounts().values())
    assert counted == Delivery.objects.count()
    assert outbox.verify() == []


# --- once, at its time


def test_a_notification_leaves_by_the_channels_of_its_type(alice):
    notify(Graded(), to=alice)

    deliver()

    assert sent() == [["Grade A"]]
    assert rows() == [("delivered", "delivered")]
    [attempt] = Attempt.objects.all()
    assert (attempt.number, attempt.outcome, attempt.channel) == (1, "delivered", "email")
    accounted()


def test_an_envelope_has_whole_links_and_what_a_channel_needs(alice, bob):
    notify(Graded(), to=alice, actor=bob, target=bob)

    deliver()

    [envelope] = memory.sent
    [entry] = envelope.entries
    assert entry.content.url == "https://school.example/grades/"
    assert (entry.actor, entry.target) == ("Bob", f"auth.user:{bob.pk}")
    assert (envelope.kind, envelope.count, envelope.recipient) == ("single", 1, alice)


def test_a_rolled_back_notification_leaves_nothing(alice):
    with pytest.raises(RuntimeError), transaction.atomic():
        notify(Graded(), to=alice)
        raise RuntimeError

    assert not Delivery.objects.exists()


def test_a_type_without_an_inbox_leaves_no_row_there(alice):
    notify(MailOnly(), to=alice)
    deliver()

    assert inbox.page(alice).items == []
    assert sent() == [["Grade A"]]


def test_a_channel_the_site_has_not_is_as_if_it_were_not_named(alice):
    with site(CHANNELS={"other": {"BACKEND": "memory"}}):
        notify(Throttled(), to=alice)  # it names a pager, too

    assert set(Delivery.objects.values_list("channel", flat=True)) == {"email", "sms"}


def test_plain_texts_take_the_default_channels(alice):
    with site(DEFAULT_CHANNELS=["inbox", "email"]):
        notify("Hello", to=alice)
        deliver()

    assert sent() == [["Hello"]]


def test_the_actor_gets_no_mail_of_it_either(alice, bob):
    notify(Graded(), to=[alice, bob], actor=alice)
    deliver()

    assert [envelope.recipient for envelope in memory.sent] == [bob]
    assert rows(recipient=alice, channel="email") == [("skipped", "did it themselves")]


def test_a_second_worker_finds_nothing_left(alice):
    notify(Graded(), to=alice)

    assert [outbox.deliver_due(), outbox.deliver_due()] == [1, 0]
    assert len(sent()) == 1


def test_queries_do_not_grow_with_the_number_of_people(db):
    def queries(number: int) -> int:
        people = User.objects.bulk_create(User(username=f"q{number}-{n}") for n in range(number))
        notify(Graded(), to=people)
        with CaptureQueriesContext(connection) as captured:
            outbox.deliver_due()
        return len(captured)

    queries(3)
    assert queries(5) == queries(90)


@pytest.mark.parametrize("cls", [Graded, outward.Digested, outward.Sliding])
def test_fan_out_with_channels_and_choices_takes_as_many_queries_for_five_as_for_twenty(db, cls):
    def queries(number: int) -> int:
        people = User.objects.bulk_create(User(username=f"f{number}-{n}") for n in range(number))
        preferences.choose(people[0], "category:grades", "off", "email")
        preferences.set_schedule(people[1], quiet=[{"start": "22:00", "end": "07:00"}])
        with CaptureQueriesContext(connection) as captured:
            notify(cls(), to=people)
        return len(captured)

    queries(3)
    assert queries(5) == queries(20)


# --- read before send, escalation


def test_a_notification_read_in_time_is_not_mailed(alice, clock):
    notify(Escalated(), to=alice)

    inbox.mark_all_read(alice)

    assert rows() == [("skipped", "read before it was due")] * 2  # called off at once
    clock.forward(hours=2)
    assert sent() == []
    accounted()


def test_escalation_goes_on_until_somebody_reads(alice, clock):
    notify(Escalated(), to=alice)

    clock.forward(minutes=14)
    assert sent() == []
    clock.forward(minutes=1)
    assert sent() == [["Grade A"]]
    inbox.mark_all_read(alice)
    clock.forward(hours=1)

    assert sent("sms") == []
    assert rows(channel="sms") == [("skipped", "read before it was due")]


def test_a_read_by_plain_sql_is_noticed_when_the_time_comes(alice, clock):
    notify(Escalated(), to=alice)
    Notification.objects.update(read_at=timezone.now())

    clock.forward(minutes=20)

    assert rows(channel="email") == [("skipped", "read before it was due")]


def test_what_is_archived_is_not_sent(alice, clock):
    notify(Escalated(), to=alice)

    inbox.archive(alice, [Notification.objects.get().pk])

    assert {reason for _, reason in rows()} == {"archived before it was due"}


def test_what_is_taken_back_is_not_sent(alice):
    event = notify(Graded(), to=alice)

    retract(event)
    deliver()

    assert sent() == []
    assert rows() == [("skipped", "was taken back")]


def test_what_is_cancelled_leaves_nothing(alice):
    event = notify(Graded(), to=alice, at=timezone.now() + timedelta(hours=1))

    assert cancel(event)

    assert not Delivery.objects.exists()


def test_what_has_expired_is_not_sent(alice, clock):
    notify(Escalated(), to=alice, expires=timezone.now() + timedelta(minutes=10))

    clock.forward(minutes=16)

    assert rows(channel="email") == [("skipped", "expired before it was due")]


def test_a_vanished_row_does_not_stop_the_mail(alice, clock):
    notify(Escalated(), to=alice)
    Notification.objects.all().delete()

    clock.forward(minutes=16)

    assert sent() == [["Grade A"]]


# --- presence


def test_somebody_busy_on_the_site_is_left_alone_while_they_are(alice, clock):
    Inbox.objects.create(recipient=alice, active_at=timezone.now())
    notify(Held(), to=alice)
    deliver()
    assert sent() == []

    clock.forward(minutes=3)

    assert sent() == [["Grade A"]]


def test_what_they_saw_meanwhile_is_not_sent(alice, clock):
    Inbox.objects.create(recipient=alice, active_at=timezone.now())
    notify(Held(), to=alice)
    deliver()

    inbox.mark_seen(alice, [Notification.objects.get().pk])
    clock.forward(minutes=3)

    assert sent() == []
    assert rows() == [("skipped", "seen before it was due")]


def test_an_open_tab_alone_is_not_presence(alice, clock):
    Inbox.objects.create(recipient=alice, active_at=timezone.now() - timedelta(minutes=5))

    notify(Held(), to=alice)
    deliver()

    assert len(sent()) == 1


def test_marking_something_is_a_sign_of_life(alice, clock):
    notify("Hello", to=alice)

    inbox.mark_all_read(alice)

    assert Inbox.objects.get().active_at == timezone.now()


# --- failures


@pytest.fixture
def fragile():
    """The channel "email" as one that fails when told to, and a second to fall back on."""
    fragile = {"BACKEND": "tests.outward.Fragile"}
    with site(CHANNELS={"email": fragile, "sms": fragile}):
        yield outward.failing


def test_a_transient_failure_is_tried_again_with_the_same_id(alice, fragile, clock):
    fragile["email"] = BUSY
    notify(Graded(), to=alice)
    deliver()
    assert rows() == [("pending", "to be tried again: the server is busy")]
    clock.forward(seconds=20)
    assert len(outward.tried) == 1

    fragile.clear()
    clock.forward(seconds=20)

    assert [envelope.id for envelope in outward.tried] == [outward.tried[0].id] * 2
    assert rows() == [("delivered", "delivered")]
    assert [a.outcome for a in Attempt.objects.order_by("pk")] == ["transient", "delivered"]


def test_it_fails_with_its_reason_when_the_waits_are_used_up(alice, fragile, clock):
    fragile["email"] = BUSY
    notify(Graded(), to=alice)
    deliver()

    clock.forward(minutes=1)
    clock.forward(minutes=5)
    clock.forward(days=1)

    assert len(outward.tried) == 3
    assert rows() == [("failed", "the server is busy")]
    accounted()


def test_a_permanent_failure_is_not_tried_again(alice, fragile, clock):
    fragile["email"] = PermanentFailure("refused")
    notify(Graded(), to=alice)
    deliver()

    clock.forward(days=2)

    assert len(outward.tried) == 1
    assert rows() == [("failed", "refused")]


def test_an_error_of_another_kind_names_its_class_only(alice, fragile):
    fragile["email"] = ValueError("secret token abc")

    notify(Graded(), to=alice)
    deliver()

    assert rows() == [("pending", "to be tried again: ValueError")]
    assert not Attempt.objects.filter(detail__contains="secret").exists()


def test_one_that_fails_holds_up_no_other(alice, bob, fragile):
    fragile[f"me:{alice.pk}"] = ValueError("poison")

    notify(Graded(), to=[alice, bob])
    deliver()

    assert [envelope.recipient for envelope in memory.sent] == [bob]


def test_a_second_channel_takes_over(alice, clock):
    channels = {
        "email": {"BACKEND": "tests.outward.Fragile", "failover": "backup"},
        "backup": {"BACKEND": "tests.outward.Fragile"},
    }
    with site(CHANNELS=channels):
        outward.failing["email"] = BUSY
        notify(Graded(), to=alice)
        deliver()

    assert sent("backup") == [["Grade A"]]
    assert rows() == [("delivered", "delivered")]
    tries = Attempt.objects.order_by("pk").values_list("channel", "outcome")
    assert list(tries) == [("email", "transient"), ("backup", "delivered")]


def test_the_same_address_is_not_tried_twice_after_a_permanent_failure(alice):
    channels = {
        "email": {"BACKEND": "tests.outward.Fragile", "failover": "backup"},
        "backup": {"BACKEND": "tests.outward.Fragile"},
    }
    with site(CHANNELS=channels):
        outward.failing["email"] = PermanentFailure("no such mailbox")
        notify(Graded(), to=alice)
        deliver()

    assert rows() == [("failed", "no such mailbox")]


def test_a_worker_that_dies_leaves_it_to_the_next(alice, clock, monkeypatch):
    notify(Graded(), to=alice)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(memory.MemoryChannel, "send", _die)
        outbox.deliver_due()

    clock.forward(seconds=100)
    assert sent() == []
    clock.forward(seconds=30)  # the lease is over

    assert sent() == [["Grade A"]]
    accounted()


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_kills_its_worker_again_and_again_is_set_aside(alice, clock, monkeypatch):
    notify(Graded(), to=alice)
    with monkeypatch.context() as patch:
        patch.setattr(memory.MemoryChannel, "send", _die)
        for _ in range(20):
            clock.traveller.shift(timedelta(minutes=3))
            try:
                outbox.deliver_due()
            except KeyboardInterrupt:
                continue

    assert rows() == [("failed", "set aside: its worker died with it again and again")]


def test_a_worker_that_stood_still_changes_nothing_any_more(alice, clock, fragile):
    notify(Graded(), to=alice)
    taken_over = {"claim": "another", "reason": "theirs"}
    with pytest.MonkeyPatch.context() as patch:
        real = outward.Fragile.send

        def slow(self, envelope):
            Delivery.objects.update(**taken_over)
            return real(self, envelope)

        patch.setattr(outward.Fragile, "send", slow)
        outbox.deliver_due()

    assert rows() == [("pending", "theirs")]


def test_a_lease_is_renewed_while_the_others_are_sent(make_user, clock, fragile, monkeypatch):
    people = [make_user(f"p{number}") for number in range(4)]
    notify(Graded(), to=people)
    real = outward.Fragile.send

    def slow(self, envelope):
        clock.traveller.shift(timedelta(seconds=50))
        other = outbox.deliver_due()  # another worker looks for what is due meanwhile
        assert other == 0
        return real(self, envelope)

    monkeypatch.setattr(outward.Fragile, "send", slow)
    outbox.deliver_due()

    assert len(sent()) == 4


def test_what_failed_is_sent_again_by_hand(alice, fragile):
    fragile["email"] = PermanentFailure("refused")
    notify(Graded(), to=alice)
    deliver()
    fragile.clear()

    assert outbox.retry(Delivery.objects.all()) == 1
    deliver()

    assert rows() == [("delivered", "delivered")]


# --- addresses


def test_who_has_no_address_is_skipped_with_a_reason(alice, monkeypatch):
    monkeypatch.setattr(memory.MemoryChannel, "address_of", lambda *_: "")

    notify(Graded(), to=alice)
    deliver()

    assert rows() == [("skipped", "no address for email")]


def test_every_endpoint_of_a_person_gets_it(alice, fragile):
    reach.add(alice, "email", "one")
    reach.add(alice, "email", "two")

    notify(Graded(), to=alice)
    deliver()

    assert [envelope.address.value for envelope in memory.sent] == ["one", "two"]
    assert rows() == [("delivered", "delivered")]


def test_only_the_endpoint_that_failed_is_tried_again(alice, fragile, clock):
    reach.add(alice, "email", "one")
    reach.add(alice, "email", "two")
    fragile["two"] = BUSY
    notify(Graded(), to=alice)
    deliver()

    fragile.clear()
    clock.forward(minutes=1)

    assert [envelope.address.value for envelope in memory.sent] == ["one", "two"]
    assert rows() == [("delivered", "delivered")]


def test_an_endpoint_that_is_gone_is_retired(alice, fragile):
    endpoint = reach.add(alice, "email", "one")
    fragile["one"] = EndpointGone("unsubscribed")

    notify(Graded(), to=alice)
    deliver()

    endpoint.refresh_from_db()
    assert (endpoint.retired_at is not None, endpoint.reason) == (True, "unsubscribed")
    assert rows() == [("failed", "unsubscribed")]


def test_an_address_that_bounced_is_not_written_to_again(alice, fragile):
    fragile["email"] = EndpointGone("no such mailbox")
    notify(Graded(), to=alice)
    deliver()
    fragile.clear()

    notify(Graded(grade="B"), to=alice)
    deliver()

    assert len(outward.tried) == 1
    assert rows()[1] == ("skipped", "its address was retired")


def test_a_team_hears_what_it_asked_for(alice):
    teachers = Group.objects.create(name="teachers")
    reach.add(None, "email", "all", types=["out.*"])
    reach.add(None, "email", "other", types=["article.*"])
    reach.add(None, "email", "teachers", group=teachers)

    notify(Graded(), to=alice)
    notify(Graded(grade="B"), to=teachers)
    deliver()

    heard = [(e.address.value, e.entries[0].content.title) for e in memory.sent if not e.recipient]
    assert sorted(heard) == [("all", "Grade A"), ("all", "Grade B"), ("teachers", "Grade B")]


def test_a_team_hears_it_once_however_many_chunks(make_user):
    reach.add(None, "email", "all")
    with site(INLINE_LIMIT=2, CHUNK_SIZE=2):
        notify(Graded(), to=[make_user(f"c{number}") for number in range(5)])
        fanout.run_due()

    assert Delivery.objects.filter(endpoint__isnull=False).count() == 1


def test_the_oldest_endpoints_make_room(alice):
    for number in range(25):
        reach.add(alice, "email", f"device {number}")

    assert reach.of(alice).count() == 20
    assert not Endpoint.objects.filter(address="device 0").exists()


# --- throttle, storm, lanes


def test_over_the_limit_the_rest_is_summarised(alice, clock):
    for grade in "ABCD":
        notify(Throttled(grade=grade), to=alice)
        deliver()

    assert sent() == [["Grade A"], ["Grade B"]]
    clock.forward(hours=1, minutes=1)

    assert sent()[2:] == [["Grade C", "Grade D"]]
    accounted()


def test_over_the_limit_a_drop_is_on_record(alice, clock):
    for grade in "AB":
        notify(Throttled(grade=grade), to=alice)
        deliver()

    assert sent("sms") == [["Grade A"]]
    assert rows(channel="sms")[1] == ("skipped", "over its limit of 1/h")


def test_over_the_limit_each_is_deferred(alice, clock):
    with site(CHANNELS={"pager": {"BACKEND": "memory"}}):
        for grade in "ABC":
            notify(Throttled(grade=grade), to=alice)
            deliver()
        clock.forward(minutes=61)
        assert sent("pager") == [["Grade A"], ["Grade B"]]
        clock.forward(minutes=61)

    assert sent("pager") == [["Grade A"], ["Grade B"], ["Grade C"]]


def test_many_at_once_go_as_one(alice):
    for number in range(8):
        notify(Graded(grade=str(number)), to=alice)

    deliver()

    [envelope] = memory.sent
    assert (envelope.kind, envelope.count) == ("burst", 8)
    assert set(rows()) == {("delivered", "delivered")}
    accounted()


def test_a_storm_is_calmed(alice, clock):
    with site(STORM_LIMIT="3/h"):
        for number in range(6):
            notify(Graded(grade=str(number)), to=alice)
            deliver()

        assert len(sent()) == 3
        clock.forward(minutes=61)

    assert sent()[3:] == [["Grade 3", "Grade 4", "Grade 5"]]


def test_required_notifications_are_never_throttled(alice, clock):
    with site(STORM_LIMIT="1/h"):
        for _ in range(3):
            notify(Alarm(), to=alice)
            deliver()

    assert len(sent()) == 3


def test_a_mailing_to_many_waits_behind_what_is_for_one(make_user, alice):
    with site(INLINE_LIMIT=5, CHUNK_SIZE=5):
        notify(Graded(grade="bulk"), to=[make_user(f"m{number:02}") for number in range(30)])
        while fanout.run_due():
            continue
        notify(Graded(grade="mine"), to=alice)
        outbox.deliver_due(limit=10)

    assert sent()[0] == ["Grade mine"]
    assert 1 < len(sent()) <= 10


# --- preferences on the way out


def test_a_channel_that_is_off_by_default_can_be_chosen(alice):
    notify(Quiet(), to=alice)
    preferences.choose(alice, "type:out.off", "instant", "email")
    notify(Quiet(), to=alice)
    deliver()

    assert len(sent()) == 1
    assert rows(channel="email")[0] == ("skipped", "default: off")


def test_a_choice_made_while_it_waits_counts(alice, clock):
    notify(Escalated(), to=alice)

    preferences.choose(alice, "category:grades", "off", "email")
    clock.forward(minutes=16)

    assert rows(channel="email") == [("skipped", "category:grades is off")]


def test_what_is_muted_meanwhile_is_not_sent(alice, bob, clock):
    notify(Escalated(), to=alice, target=bob)

    preferences.mute(alice, bob)
    clock.forward(minutes=16)

    assert rows(channel="email") == [("skipped", "has muted what it is about")]


def test_a_row_must_have_a_time_or_a_leader_or_be_settled(alice):
    event = notify("Hello", to=alice)

    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.create(event=event, recipient=alice, channel="email")


# --- endpoints that fail for long


@pytest.fixture
def hooks(fragile):
    """The channel "email" as one whose endpoints are retired after five days of failing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outward.Fragile, "retire_after", timedelta(days=5))
        yield fragile


def test_an_endpoint_that_fails_for_days_is_retired_and_its_owner_told(alice, hooks, clock):
    endpoint = reach.add(alice, "email", "one", label="CRM")
    hooks["one"] = BUSY
    for _ in range(4):
        notify(Graded(), to=alice)
        deliver()
        clock.forward(days=2)
    fanout.run_due()

    endpoint.refresh_from_db()
    assert endpoint.reason == "did nothing but fail for 5 days"
    assert "CRM was switched off" in [item["title"] for item in inbox.page(alice).items]


def test_one_success_ends_a_row_of_failures(alice, hooks, clock):
    endpoint = reach.add(alice, "email", "one")
    for error in (BUSY, None, BUSY):
        hooks["one"] = error
        notify(Graded(), to=alice)
        deliver()
        clock.forward(days=3)

    endpoint.refresh_from_db()
    assert endpoint.retired_at is None
    assert endpoint.failing_since is not None


def test_what_an_endpoint_missed_is_replayed_with_the_same_ids(alice, fragile, clock):
    endpoint = reach.add(None, "email", "all")
    begin = timezone.now()
    notify(Graded(), to=alice)
    deliver()
    first = [envelope.id for envelope in memory.sent if envelope.recipient is None]

    assert outbox.replay(endpoint, begin) == 1
    deliver()

    again = [envelope.id for envelope in memory.sent if envelope.recipient is None]
    assert again == first * 2


def test_who_follows_a_target_is_an_audience(alice, bob, carol):
    preferences.follow(alice, carol)
    preferences.mute(bob, carol)

    notify(Quiet(), to=preferences.followers(carol), target=carol)
    deliver()

    assert [envelope.recipient for envelope in memory.sent] == [alice]


# --- one bad row, many good ones


def test_a_channel_that_is_not_configured_any_more_holds_up_no_other(alice, bob, clock):
    notify(Graded(), to=alice)
    Delivery.objects.update(channel="fax")
    notify(Graded(), to=bob)

    deliver()

    assert [envelope.recipient for envelope in memory.sent] == [bob]
    [(outcome, reason)] = rows(channel="fax")
    assert outcome == "pending"
    assert "CLARION['CHANNELS']['fax'] is missing" in reason


def test_a_schedule_that_another_program_broke_holds_up_no_other(alice, bob, clock):
    notify(Graded(), to=[alice, bob])
    Schedule.objects.create(recipient=alice, quiet=[{"from": "22"}])

    deliver()

    assert [envelope.recipient for envelope in memory.sent] == [bob]
    assert rows(recipient=alice) == [("pending", "to be tried again: KeyError")]


def test_a_language_that_raises_holds_up_no_other(alice, bob, clock):
    notify(Graded(), to=[alice, bob])
    with site(RECIPIENT_LANGUAGE="tests.test_outbox.language_of_all_but_alice"):
        deliver()

    assert [envelope.recipient for envelope in memory.sent] == [bob]
    assert rows(recipient=alice) == [("pending", "to be tried again: LookupError")]


def language_of_all_but_alice(user: User) -> str:
    if user.username == "alice":
        raise LookupError
    return "de"


def test_a_retry_in_quiet_hours_waits_with_the_same_id(alice, fragile, clock):
    fragile["email"] = BUSY
    notify(Graded(), to=alice)
    deliver()
    preferences.set_schedule(alice, quiet=[{"start": "12:00", "end": "13:00"}])
    fragile.clear()

    clock.forward(minutes=30)
    notify(Graded(grade="B"), to=alice)
    assert len(outward.tried) == 1
    clock.forward(minutes=31)

    assert outward.tried[0].id in {envelope.id for envelope in memory.sent}
    assert sorted(sent()) == [["Grade A"], ["Grade B"]]


def test_a_slow_channel_loses_no_lease_of_the_next(alice, clock, monkeypatch):
    notify(Escalated(), to=alice)
    Delivery.objects.update(due_at=timezone.now())
    real = memory.MemoryChannel.send

    def slow(self, envelope):
        if envelope.channel == "email":
            monkeypatch.setattr(memory.MemoryChannel, "send", real)
            clock.traveller.shift(timedelta(seconds=150))  # longer than the lease
            outbox.deliver_due()  # another worker
        return real(self, envelope)

    monkeypatch.setattr(memory.MemoryChannel, "send", slow)
    outbox.deliver_due()

    assert len(sent("sms")) == 1


def test_a_replay_that_is_tried_again_is_sent_all_the_same(alice, fragile, clock):
    endpoint = reach.add(None, "email", "all")
    begin = timezone.now()
    notify(Quiet(), to=alice)
    deliver()
    clock.forward(minutes=5)
    outbox.replay(endpoint, begin)
    fragile["all"] = BUSY
    deliver()
    fragile.clear()

    clock.forward(minutes=5)

    assert len(sent()) == 2
    assert rows(endpoint=endpoint) == [("delivered", "delivered")]


def test_what_every_address_refused_before_its_worker_died_has_failed(alice, fragile, clock):
    fragile["email"] = PermanentFailure("refused")
    notify(Graded(), to=alice)
    deliver()
    lost = {"outcome": "pending", "settled_at": None, "due_at": timezone.now()}  # the settling
    Delivery.objects.update(**lost)

    clock.forward(minutes=3)

    assert len(outward.tried) == 1
    assert rows() == [("failed", "refused by every address")]
