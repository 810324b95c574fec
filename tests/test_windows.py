"""Batches, digests and quiet hours: what goes as one, when, and that nothing falls between."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from clarion import inbox, notify, outbox, preferences, retract
from clarion.channels import memory
from clarion.models import Delivery, Notification, PreferenceChange
from tests import outward
from tests.outward import Alarm, Batched, Digested, Graded, Sliding, site
from tests.test_outbox import accounted, deliver, rows, sent

pytestmark = pytest.mark.django_db(transaction=True)

NIGHT = [{"start": "22:00", "end": "07:00"}]


@pytest.fixture(autouse=True)
def channels():
    memory.sent.clear()
    with outward.registered(), site():
        yield


@pytest.fixture
def clock():
    with outward.clock() as travel:  # Friday, 20 November 2026, noon UTC
        yield travel


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def grade(alice: User, *grades: str, cls: type[Graded] = Batched) -> None:
    for text in grades:
        notify(cls(grade=text), to=alice)


# --- batches


def test_a_batch_goes_as_one_when_its_window_closes(alice, clock):
    grade(alice, "A")
    clock.forward(minutes=30)
    grade(alice, "B", "C")
    clock.forward(minutes=29)
    assert sent() == []

    clock.forward(minutes=1)

    [envelope] = memory.sent
    assert sent() == [["Grade A", "Grade B", "Grade C"]]
    assert (envelope.kind, envelope.count) == ("batch", 3)
    assert set(rows()) == {("delivered", "delivered")}
    accounted()


def test_the_next_one_opens_a_new_window(alice, clock):
    grade(alice, "A")
    clock.forward(hours=1)
    grade(alice, "B")
    clock.forward(hours=1)

    assert sent() == [["Grade A"], ["Grade B"]]


def test_a_batch_of_one_is_a_single(alice, clock):
    grade(alice, "A")
    clock.forward(hours=1)

    assert memory.sent[0].kind == "single"


def test_each_person_has_a_window_of_their_own(alice, bob, clock):
    grade(alice, "A")
    clock.forward(minutes=30)
    notify(Batched(grade="B"), to=[alice, bob])
    clock.forward(minutes=30)
    assert sent() == [["Grade A", "Grade B"]]

    clock.forward(minutes=30)

    assert sent()[1:] == [["Grade B"]]


def test_a_window_slides_until_its_longest(alice, clock):
    grade(alice, "A", cls=Sliding)
    for text in "BCDE":
        clock.forward(minutes=8)
        grade(alice, text, cls=Sliding)

    assert sent() == [["Grade A", "Grade B", "Grade C", "Grade D"]]  # after 30 minutes


def test_a_window_that_nobody_slides_closes_in_its_time(alice, clock):
    grade(alice, "A", cls=Sliding)

    clock.forward(minutes=10)

    assert sent() == [["Grade A"]]


def test_leading_the_first_goes_alone_and_the_rest_as_one(alice, clock):
    grade(alice, "A", "B", cls=Sliding)
    deliver()
    assert sent("sms") == [["Grade A"]]

    clock.forward(minutes=30)
    grade(alice, "C", cls=Sliding)
    clock.forward(minutes=30)

    assert sent("sms") == [["Grade A"], ["Grade B", "Grade C"]]


def test_leading_and_nothing_follows_sends_nothing_more(alice, clock):
    grade(alice, "A", cls=Sliding)

    clock.forward(hours=3)

    assert sent("sms") == [["Grade A"]]


def test_a_full_batch_closes_early(alice, clock):
    grade(alice, "A", "B", "C", "D", cls=Sliding)

    deliver()

    assert sent("sms") == [["Grade A"], ["Grade B", "Grade C", "Grade D"]]


def test_what_was_read_is_left_out_and_the_rest_is_sent(alice, clock):
    grade(alice, "A", "B", "C")
    first = Notification.objects.order_by("pk").first()
    inbox.mark_read(alice, [first.pk])  # which leads the window

    clock.forward(hours=1)

    assert sent() == [["Grade B", "Grade C"]]
    assert rows()[0] == ("skipped", "read before it was due")
    accounted()


def test_a_batch_that_was_all_read_sends_nothing(alice, clock):
    grade(alice, "A", "B")
    inbox.mark_all_read(alice)

    clock.forward(hours=1)

    assert sent() == []
    assert {outcome for outcome, _ in rows()} == {"skipped"}
    accounted()


def test_one_that_is_taken_back_is_left_out(alice, clock):
    first = notify(Batched(grade="A"), to=alice)
    grade(alice, "B")

    retract(first)
    clock.forward(hours=1)

    assert sent() == [["Grade B"]]
    accounted()


def test_a_window_is_flushed_by_hand(alice, clock):
    grade(alice, "A", "B")

    assert outbox.flush(alice) == 1
    deliver()

    assert sent() == [["Grade A", "Grade B"]]
    assert memory.sent[0].kind == "batch"


def test_one_that_comes_while_the_window_is_sent_is_not_lost(alice, clock, monkeypatch):
    grade(alice, "A", "B")
    clock.traveller.shift(timedelta(hours=1))
    real = memory.MemoryChannel.send

    def during(self, envelope):
        monkeypatch.setattr(memory.MemoryChannel, "send", real)
        grade(alice, "C")
        return real(self, envelope)

    monkeypatch.setattr(memory.MemoryChannel, "send", during)
    deliver()
    clock.forward(hours=1)

    assert sent() == [["Grade A", "Grade B"], ["Grade C"]]
    accounted()


def test_a_batch_that_failed_is_tried_again_as_it_was(alice, clock):
    with site(CHANNELS={"email": {"BACKEND": "tests.outward.Fragile"}}):
        outward.tried.clear()
        outward.failing["email"] = outward.BUSY
        grade(alice, "A", "B")
        clock.forward(hours=1)
        grade(alice, "C")  # opens another
        outward.failing.clear()
        clock.forward(minutes=1)

        assert sent() == [["Grade A", "Grade B"]]
        assert outward.tried[0].id == outward.tried[1].id


def test_deleting_what_leads_loses_no_other(alice, clock):
    first = notify(Batched(grade="A"), to=alice)
    grade(alice, "B", "C")

    first.delete()
    clock.forward(hours=1)

    assert sent() == [["Grade B", "Grade C"]]
    accounted()


# --- digests


def test_a_digest_goes_out_at_the_hour_of_the_site(alice, clock):
    grade(alice, "A", "B", cls=Digested)

    clock.to(at("2026-11-21 07:59"))
    assert sent() == []
    clock.to(at("2026-11-21 08:00"))

    [envelope] = memory.sent
    assert (envelope.kind, envelope.count) == ("digest", 2)


def test_an_empty_digest_sends_nothing(alice, clock):
    grade(alice, "A", cls=Digested)
    inbox.mark_all_read(alice)

    clock.to(at("2026-11-22 08:00"))

    assert sent() == []


def test_a_digest_keeps_to_the_persons_hour_zone_and_cadence(alice, clock):
    preferences.set_schedule(
        alice, zone="Asia/Kolkata", digest="weekly", digest_at=time(18, 30), digest_day=0
    )
    grade(alice, "A", cls=Digested)

    clock.to(at("2026-11-23 12:59"))
    assert sent() == []
    clock.to(at("2026-11-23 13:00"))  # Monday, 18:30 in Kolkata

    assert sent() == [["Grade A"]]


def test_several_types_share_a_digest(alice, clock):
    preferences.choose(alice, "type:out.graded", "digest", "email")
    grade(alice, "A", cls=Digested)
    grade(alice, "B", cls=Graded)

    clock.to(at("2026-11-21 08:00"))

    assert sent() == [["Grade A", "Grade B"]]


def test_from_digest_to_instant_sends_what_waits(alice, clock):
    grade(alice, "A", "B", cls=Digested)

    preferences.choose(alice, "category:grades", "instant", "email")
    deliver()

    assert sent() == [["Grade A", "Grade B"]]


def test_from_digest_to_off_skips_what_waits(alice, clock):
    grade(alice, "A", cls=Digested)

    preferences.choose(alice, "category:grades", "off", "email")
    deliver()

    assert rows() == [("skipped", "category:grades is off")]


def test_from_daily_to_weekly_moves_what_waits(alice, clock):
    grade(alice, "A", "B", cls=Digested)

    preferences.set_schedule(alice, digest="weekly", digest_day=2)
    clock.to(at("2026-11-21 08:00"))
    assert sent() == []
    grade(alice, "C", cls=Digested)
    clock.to(at("2026-11-25 08:00"))

    assert sent() == [["Grade A", "Grade B", "Grade C"]]
    accounted()


def test_another_hour_moves_what_waits(alice, clock):
    grade(alice, "A", cls=Digested)

    preferences.set_schedule(alice, digest_at=time(18))
    clock.to(at("2026-11-20 17:59"))
    assert sent() == []
    clock.to(at("2026-11-20 18:00"))

    assert sent() == [["Grade A"]]


def test_a_choice_for_part_of_a_digest_parts_it(alice, clock):
    preferences.choose(alice, "type:out.graded", "digest", "email")
    grade(alice, "A", cls=Graded)
    grade(alice, "B", cls=Digested)
    grade(alice, "C", cls=Digested)

    preferences.choose(alice, "type:out.graded", "instant", "email")
    deliver()
    assert sent() == [["Grade A"]]
    clock.to(at("2026-11-21 08:00"))

    assert sent() == [["Grade A"], ["Grade B", "Grade C"]]
    accounted()


def test_defaults_of_role_and_site_hold_until_somebody_chooses(alice, bob, clock):
    defaults = {
        "*": {"category:grades": {"email": "digest"}},
        "Bob": {"*": {"email": "off"}},
    }
    with site(DEFAULTS=defaults, RECIPIENT_ROLE="first_name"):
        notify(Graded(), to=[alice, bob])
        deliver()
        assert sent() == []
        assert rows(recipient=bob) == [("skipped", "default for Bob: * is off")]
        preferences.choose(bob, "type:out.graded", "instant", "email")
        notify(Graded(grade="B"), to=[alice, bob])
        deliver()
        assert sent() == [["Grade B"]]
        clock.to(at("2026-11-21 08:00"))

    assert sent()[1:] == [["Grade A", "Grade B"]]


def test_the_zone_of_the_user_model_holds_where_nobody_chose(make_user, clock):
    somebody = make_user("kolkata", last_name="Asia/Kolkata")
    with site(RECIPIENT_TIME_ZONE="last_name"):
        notify(Digested(), to=somebody)
        clock.to(at("2026-11-21 02:29"))
        assert sent() == []
        clock.to(at("2026-11-21 02:30"))

    assert len(sent()) == 1


# --- quiet hours, pause, send windows


def test_quiet_hours_defer_and_send_one_summary(alice, clock):
    preferences.set_schedule(alice, quiet=NIGHT)
    clock.to(at("2026-11-20 23:00"))
    grade(alice, "A", "B", cls=Graded)
    clock.to(at("2026-11-21 06:59"))
    assert sent() == []

    clock.to(at("2026-11-21 07:00"))

    [envelope] = memory.sent
    assert (envelope.kind, envelope.count) == ("quiet", 2)
    accounted()


def test_the_inbox_keeps_no_quiet_hours(alice, clock):
    preferences.set_schedule(alice, quiet=NIGHT)
    clock.to(at("2026-11-20 23:00"))

    grade(alice, "A", cls=Graded)

    assert inbox.counts(alice).unread == 1


def test_what_falls_due_in_quiet_hours_waits_too(alice, clock):
    preferences.set_schedule(alice, quiet=NIGHT)
    clock.to(at("2026-11-20 21:30"))
    grade(alice, "A")  # a batch that closes at 22:30

    clock.to(at("2026-11-21 06:59"))
    assert sent() == []
    clock.to(at("2026-11-21 07:00"))

    assert sent() == [["Grade A"]]


def test_required_notifications_keep_no_quiet_hours(alice, clock):
    preferences.set_schedule(alice, quiet=NIGHT, paused_until=at("2027-01-01 00:00"))
    clock.to(at("2026-11-20 23:00"))

    grade(alice, "A", cls=Alarm)
    deliver()

    assert sent() == [["Grade A"]]


def test_quiet_hours_that_are_set_late_hold_for_what_waits(alice, clock):
    clock.to(at("2026-11-20 21:55"))
    notify(outward.Escalated(), to=alice)
    preferences.set_schedule(alice, quiet=NIGHT)

    clock.to(at("2026-11-21 06:59"))
    assert sent() == []
    clock.to(at("2026-11-21 07:00"))

    assert sent() == [["Grade A"]]


def test_a_pause_holds_everything_until_it_ends(alice, clock):
    preferences.pause(alice, at("2026-11-22 12:00"))
    grade(alice, "A", "B", cls=Graded)
    clock.to(at("2026-11-22 11:59"))
    assert sent() == []

    clock.to(at("2026-11-22 12:00"))

    assert sent() == [["Grade A", "Grade B"]]


def test_ending_a_pause_sends_what_waits(alice, clock):
    preferences.pause(alice, at("2026-11-30 12:00"))
    grade(alice, "A", cls=Graded)

    preferences.pause(alice, None)
    deliver()

    assert sent() == [["Grade A"]]


def test_a_channel_sends_only_in_its_windows(alice, clock):
    preferences.set_schedule(
        alice, allowed={"email": [{"start": "09:00", "end": "11:00", "days": [0]}]}
    )
    grade(alice, "A", cls=Graded)

    clock.to(at("2026-11-23 08:59"))
    assert sent() == []
    clock.to(at("2026-11-23 09:00"))

    assert sent() == [["Grade A"]]


def test_a_move_to_another_zone_is_followed(alice, clock):
    preferences.set_schedule(alice, quiet=NIGHT)
    clock.to(at("2026-11-20 23:00"))
    grade(alice, "A", cls=Graded)

    preferences.set_schedule(alice, zone="America/New_York")  # where it is 18:00
    deliver()

    assert sent() == [["Grade A"]]


def test_a_clock_that_jumps_back_loses_nothing(alice, clock):
    grade(alice, "A")
    clock.to(at("2026-11-20 09:00"))
    grade(alice, "B")
    assert sent() == []

    clock.to(at("2026-11-20 13:00"))

    assert sent() == [["Grade A", "Grade B"]]
    accounted()


# --- changes on record


def test_each_change_is_on_record_with_when_and_where(alice, clock):
    preferences.choose(alice, "category:grades", "off", "email", source="preferences page")
    preferences.choose(alice, "category:grades", "off", "email", source="preferences page")
    preferences.choose(alice, "category:grades", None, "email")

    changes = PreferenceChange.objects.order_by("pk")
    assert list(changes.values_list("subject", "old", "new", "source")) == [
        ("category:grades by email", "", "off", "preferences page"),
        ("category:grades by email", "off", "", "code"),
    ]
    assert changes[0].at == timezone.now()


def test_a_window_survives_a_type_that_is_gone(alice, clock):
    from clarion import types

    grade(alice, "A", "B")
    gone = types._registry.pop(Batched.type)
    try:
        clock.forward(hours=1)
    finally:
        types._registry[Batched.type] = gone

    assert sent() == [["Grade A", "Grade B"]]
    assert not Delivery.objects.filter(outcome="pending").exists()


def test_what_is_one_row_on_screen_is_one_entry_in_a_batch(alice, clock):
    for text in "ABC":
        notify(Batched(grade=text), to=alice, collapse="grades")
    grade(alice, "D")

    clock.forward(hours=1)

    [envelope] = memory.sent
    assert sent() == [["Grade C", "Grade D"]]
    assert [entry.count for entry in envelope.entries] == [3, 1]
    assert set(rows()) == {("delivered", "delivered")}


def test_a_batch_of_one_row_on_screen_is_a_single(alice, clock):
    for text in "AB":
        notify(Batched(grade=text), to=alice, collapse="grades")

    clock.forward(hours=1)

    assert [(envelope.kind, envelope.count) for envelope in memory.sent] == [("single", 1)]
