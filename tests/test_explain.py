"""Why somebody did or didn't get it: what is on record, and what would be decided now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import (
    Audience,
    announce,
    cancel,
    explain,
    fanout,
    inbox,
    notify,
    outbox,
    preferences,
    reach,
    retract,
    types,
)  # fmt: skip
from clarion.models import Attempt, Delivery, Event, Notification, Preference
from clarion.routes import via
from clarion.testing import Clock
from tests import outward
from tests.outward import (
    BUSY,
    Batched,
    Digested,
    Escalated,
    Graded,
    Held,
    MailOnly,
    Throttled,
    site,
)  # fmt: skip
from tests.testapp.notifications import Commented

pytestmark = pytest.mark.django_db(transaction=True)
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def channels():
    outward.failing.clear()
    with outward.registered(), site():
        yield
    outward.failing.clear()


@pytest.fixture
def clock():
    with Clock(START) as clock:
        yield clock


def told(user: User, what: Event | Notification, channel: str = "email") -> list[tuple[str, str]]:
    """What is said of a channel: verdicts and reasons, without where it goes."""
    steps = explain.why(user, what).of(channel)
    return [(step.verdict, step.reason) for step in steps if step.source != "endpoint"]


def now(user: User, what: Event | Notification, channel: str = "email") -> tuple[str, str]:
    """What would be decided at this moment."""
    [step] = [step for step in explain.why(user, what).of(channel) if step.source == "now"]
    return step.verdict, step.reason


# --- the event


def test_what_was_sent_is_told_from_beginning_to_end(alice, clock):
    event = notify(Graded(), to=alice)
    clock.tick("1m")
    inbox.mark_all_read(alice)

    assert told(alice, event, "") == [
        ("accepted", "for one person, by name"),
        ("fanned out", "1 notified, 0 skipped"),
        ("in the audience", ""),
    ]
    assert told(alice, event, "inbox") == [
        ("put into the inbox", ""), ("seen", ""), ("read", ""), ("yes", "default"),
    ]  # fmt: skip
    assert told(alice, event) == [
        ("wanted", "default"), ("attempt 1", "delivered"), ("delivered", ""), ("yes", "default"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "whom"),
    [
        (lambda users: users, "3 people, by name"),
        (lambda users: Group.objects.get(), "the group 1"),
        (lambda users: Audience("authors"), "the audience 'authors'"),
    ],
)
def test_somebody_it_was_not_for_is_told_so(make_user, bob, to, whom):
    Group.objects.create(pk=1, name="teachers")
    event = notify(Graded(), to=to([make_user(name) for name in "xyz"]))

    assert told(bob, event, "")[-1] == ("not in the audience", f"it was for {whom}")
    assert told(bob, event) == [("yes", "default")]


def test_a_large_list_of_names_is_searched(make_user, bob):
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(1100))
    event = notify("Hello", to=people)

    assert told(bob, event, "")[-1] == ("not in the audience", "it was for 1100 people, by name")
    assert told(people[-1], event, "")[-1] == ("in the audience", "")


def test_who_came_to_the_group_later_is_told_so(alice, bob):
    teachers = Group.objects.create(name="teachers")
    teachers.user_set.add(alice)
    event = notify(Graded(), to=teachers)
    teachers.user_set.set([bob])

    assert told(alice, event, "")[-1][1] == "but in it when it was fanned out"
    assert told(bob, event, "")[-1][1].startswith("but not when it was fanned out")


def test_an_audience_whose_app_is_gone_does_no_harm(alice):
    event = Event.objects.create(type="out.graded", audience={"name": "nobody.knows"}, due_at=None)

    verdict, reason = told(alice, event, "")[-1]

    assert (verdict, reason) == ("not in the audience", "it was for the audience 'nobody.knows'")


def test_it_says_how_far_an_event_came(alice, bob, clock):
    later = notify(Graded(), to=alice, at=START + timedelta(hours=1))
    called_off = notify(Graded(), to=alice, at=START + timedelta(hours=1))
    cancel(called_off)
    taken_back = notify(Graded(), to=alice)
    retract(taken_back)
    half = notify(Graded(), to=[alice, bob], at=START + timedelta(hours=1))
    fanout.run(half, limit=1)
    public = announce("No school on Friday")

    assert told(alice, later, "")[1:] == [("to be fanned out", ""), ("in the audience", "")]
    assert told(alice, called_off, "")[1] == ("cancelled", "before it was fanned out")
    assert told(alice, taken_back, "")[1] == ("taken back", "from every inbox and screen")
    assert now(alice, taken_back) == ("no", "was taken back")
    assert told(bob, half, "")[1] == ("to be fanned out", "it has come to 1")
    assert told(alice, public, "")[1] == ("announced", "a row is made when an inbox is read")


def test_it_says_what_has_expired(alice, clock):
    shown = notify(Graded(), to=alice, expires=START + timedelta(minutes=1))
    never = notify(
        Graded(), to=alice, at=START + timedelta(hours=1), expires=START + timedelta(minutes=1)
    )
    assert ("expires", "") in told(alice, shown, "")

    clock.tick("2h")

    assert ("expired", "") in told(alice, shown, "")
    assert now(alice, shown, "inbox") == ("no", "has expired")
    assert told(alice, never, "")[1] == ("cancelled", "it expired before it was fanned out")


# --- the inbox


def test_a_skip_in_the_inbox_has_its_reason_and_what_was_changed_since(alice, clock):
    preferences.choose(alice, "type:out.graded", "off", source="preferences page")
    event = notify(Graded(), to=alice)
    preferences.choose(alice, "type:out.graded", None)

    assert told(alice, event, "inbox") == [
        ("preference changed", "type:out.graded by inbox: default to off (preferences page)"),
        ("preference changed", "type:out.graded by inbox: off to default (code)"),
        ("skipped", "type:out.graded is off"),
        ("yes", "default"),
    ]


def test_the_actor_is_told_that_it_was_their_own_doing(alice, bob):
    event = notify(Graded(), to=[alice, bob], actor=alice)

    assert told(alice, event, "inbox")[0] == ("skipped", "did it themselves")


def test_a_collapsed_repeat_is_found_in_its_row(alice):
    events = [notify(Commented(excerpt=f"{n}"), to=alice, collapse="one") for n in range(3)]

    first = told(alice, events[0], "inbox")

    assert first[0] == ("put into the inbox", "one of 3 repeats in one row")


def test_a_notification_is_explained_to_its_owner_alone(alice, bob):
    notify(Graded(), to=alice)
    row = Notification.objects.get()

    assert explain.why(alice, row).event == row.event
    with pytest.raises(ValueError, match="another person's"):
        explain.why(bob, row)


def test_a_type_without_an_inbox_says_so(alice):
    event = notify(MailOnly(), to=alice)

    assert told(alice, event, "inbox") == [("no", "its type has no inbox")]


# --- what leads out


def test_what_waits_says_until_when_and_whether_it_is_wanted(alice, clock):
    event = notify(Escalated(), to=alice)

    steps = {step.verdict: step for step in explain.why(alice, event).of("email")}

    assert steps["due"].at == START + timedelta(minutes=15)
    assert now(alice, event) == ("yes", "it is still wanted")


def test_a_mute_after_the_fact_shows_in_what_would_be_decided_now(alice, bob, clock):
    event = notify(Escalated(), to=alice, target=bob)

    preferences.mute(alice, bob, source="thread menu")

    assert now(alice, event) == ("no", "has muted what it is about")
    assert (
        "preference changed", f"auth.user:{bob.pk}: default to mute (thread menu)",
    ) in told(alice, event, "")  # fmt: skip


def test_a_window_says_with_how_many_others(alice, clock):
    events = [notify(Batched(grade=grade), to=alice) for grade in "ABCD"]

    for event in events:
        assert ("due", "batch, with 3 others in 'batch:out.batched'") in told(alice, event)
    assert now(alice, events[-1]) == ("yes", "it is still wanted")

    clock.tick("1h")

    assert told(alice, events[-1])[:3] == [
        ("wanted", "default"), ("attempt 1", "delivered"), ("delivered", ""),
    ]  # fmt: skip


def test_a_digest_says_when_it_comes(alice, clock):
    event = notify(Digested(), to=alice)

    verdict, reason = now(alice, event)

    assert (verdict, reason) == ("later", "daily digest")


def test_quiet_hours_are_part_of_what_would_be_decided_now(alice, bob, clock):
    event = notify(Graded(), to=bob)
    preferences.set_schedule(alice, quiet=[{"start": "11:00", "end": "14:00"}])

    [step] = [step for step in explain.why(alice, event).of("email") if step.source == "now"]

    assert (step.verdict, step.reason) == ("later", "default, quiet hours")
    assert step.at == START + timedelta(hours=2)
    assert any("schedule" in reason for _, reason in told(alice, event, ""))


def test_somebody_who_is_busy_on_the_site_is_waited_for(alice, clock):
    event = notify(Held(), to=alice)
    inbox.present(inbox.states([alice.pk])[alice.pk])

    assert now(alice, event) == ("later", "busy on the site just now")


def test_a_limit_that_is_reached_is_told(alice, clock):
    event = None
    for _ in range(3):
        event = notify(Throttled(), to=alice)
        outbox.deliver_due()

    assert now(alice, event, "email")[0] == "later"
    assert told(alice, event, "sms")[-2] == ("skipped", "over its limit of 1/h")


def test_what_was_read_in_time_says_so(alice, clock):
    event = notify(Escalated(), to=alice)
    inbox.mark_all_read(alice)

    assert ("skipped", "read before it was due") in told(alice, event)


def test_every_attempt_is_told_with_its_outcome(alice, clock):
    fragile = {"BACKEND": "tests.outward.Fragile", "failover": "sms"}
    with site(CHANNELS={"email": fragile}):
        outward.failing["email"] = BUSY
        outward.failing[f"memory:{alice.pk}"] = BUSY
        event = notify(Graded(), to=alice)
        outbox.deliver_due()

        assert told(alice, event)[1:4] == [
            ("attempt 1", "transient, the server is busy"),
            ("attempt 1", "by sms: delivered"),
            ("delivered", ""),
        ]


def test_a_failure_that_is_tried_again_says_when(alice, clock):
    with site(CHANNELS={"email": {"BACKEND": "tests.outward.Fragile"}}):
        outward.failing["email"] = BUSY
        event = notify(Graded(), to=alice)
        outbox.deliver_due()

        assert told(alice, event)[1:3] == [
            ("attempt 1", "transient, the server is busy"),
            ("due", "to be tried again: the server is busy"),
        ]


def test_what_is_being_sent_says_so(alice, clock):
    event = notify(Graded(), to=alice)
    Delivery.objects.update(claim="w1", due_at=START + timedelta(minutes=2), attempts=1)

    assert ("being sent until", "") in told(alice, event)


# --- where it goes


def where(user: User, event: Event, channel: str = "webhook") -> list[tuple[str, str]]:
    steps = explain.why(user, event).of(channel)
    return [(step.verdict, step.reason) for step in steps if step.source == "endpoint"]


@pytest.fixture
def hooked():
    """Its route leads to a channel that needs endpoints."""

    @dataclass(frozen=True, kw_only=True)
    class Hooked(Graded):
        type = "out.hooked"
        channels = [via("webhook")]

    types.register(Hooked)
    with site(CHANNELS={"webhook": {"allow_private": True}}):
        yield Hooked
    del types._registry["out.hooked"]


def test_endpoints_are_told_by_their_names_alone(alice, hooked):
    event = notify(hooked(), to=alice)
    assert where(alice, event) == [("goes nowhere", "no address is known")]

    reach.add(alice, "webhook", "https://127.0.0.1/secret-path", label="My CRM")
    reach.add(alice, "webhook", "https://127.0.0.2/secret-path")
    assert [verdict for verdict, _ in where(alice, event)] == ["goes to", "goes to"]
    assert ("goes to", "My CRM") in where(alice, event)

    reach.retire("webhook", "https://127.0.0.1/secret-path", "answered 410: the endpoint is gone")
    assert where(alice, event)[0] == (
        "address retired", "My CRM: answered 410: the endpoint is gone",
    )  # fmt: skip
    assert "secret-path" not in str(explain.why(alice, event))


def test_the_address_of_the_account_counts_until_it_is_retired(alice, bob):
    event = notify(Graded(), to=alice)
    assert where(alice, event, "email") == [("goes to", "the address of the account")]

    reach.retire("email", f"memory:{alice.pk}", "bounced", recipient=bob)

    assert [verdict for verdict, _ in where(alice, event, "email")] == [
        "address retired", "goes nowhere",
    ]  # fmt: skip


def test_a_channel_that_was_taken_out_of_the_settings_is_named(alice):
    event = notify(Graded(), to=alice)

    with override_settings(CLARION={"RUNNER": "tests.outward.Asleep", "BROKER": "memory"}):
        assert where(alice, event, "email")[0][0] == "not configured"


def test_a_type_that_is_gone_is_explained_all_the_same(alice):
    event = notify(Graded(), to=alice)
    Event.objects.update(type="gone.long.ago")

    said = told(alice, Event.objects.get(pk=event.pk))

    assert said[-1] == ("yes", "it is still wanted")


# --- the whole


def test_queries_are_constant(alice, bob):
    def queries(number: int) -> int:
        preferences.choose(alice, "type:out.escalated", "instant", "email", source=f"{number}")
        for n in range(number):
            reach.add(alice, "email", f"memory:{n}")
            event = notify(Escalated(), to=alice, target=bob)
            other = notify(Batched(), to=alice, target=bob)
        Attempt.objects.bulk_create(
            Attempt(delivery=row, number=n, channel="email", address="", outcome="transient")
            for row in Delivery.objects.all()
            for n in range(number)
        )
        total = 0
        for each in (event, other):
            fresh = Event.objects.get(pk=each.pk)
            with CaptureQueriesContext(connection) as captured:
                assert "email" in str(explain.why(alice, fresh))
            total += len(captured)
        return total

    queries(1)  # content types and the like
    assert queries(2) == queries(20) < 40


def test_nothing_is_changed_by_asking(alice, clock):
    event = notify(Escalated(), to=alice)
    before = [list(model.objects.values()) for model in (Event, Delivery, Notification, Preference)]

    with CaptureQueriesContext(connection) as captured:
        str(explain.why(alice, event))

    after = [list(model.objects.values()) for model in (Event, Delivery, Notification, Preference)]
    assert after == before
    assert all(query["sql"].startswith("SELECT") for query in captured)


def test_the_text_is_for_people(alice, clock):
    event = notify(Escalated(grade="B"), to=alice)
    clock.tick("20m")

    with timezone.override("Europe/Berlin"):
        text = str(explain.why(alice, event))

    assert text == EXPECTED.format(pk=event.pk)


EXPECTED = """\
alice, and event {pk} of out.escalated: "Grade B"

the event
  2026-11-20 13:00:00  accepted              for one person, by name
                       fanned out            1 notified, 0 skipped
                       in the audience

inbox
  2026-11-20 13:00:00  put into the inbox
                       not seen yet
                       if sent now: yes      default

email
  2026-11-20 13:00:00  wanted                default
  2026-11-20 13:15:00  attempt 1             delivered
  2026-11-20 13:15:00  delivered
                       goes to               the address of the account
  2026-11-20 13:35:00  if sent now: yes      default

sms
  2026-11-20 13:00:00  wanted                default
  2026-11-20 14:00:00  due
                       goes to               the address of the account
                       if sent now: yes      it is still wanted

Times are in Europe/Berlin."""


# --- the command


def run(*arguments: str) -> str:
    printed = StringIO()
    call_command("clarion_explain", *arguments, stdout=printed)
    return printed.getvalue()


def test_the_command_takes_a_person_by_name_address_or_key(alice):
    User.objects.filter(pk=alice.pk).update(email="alice@school.example")
    event = notify(Graded(), to=alice)
    row = Notification.objects.get()

    for person in ("alice", "alice@school.example", str(alice.pk)):
        assert f"alice, and event {event.pk}" in run(person, str(row.pk))


def test_the_command_explains_an_event_to_somebody_it_was_not_for(alice, bob):
    event = notify(Graded(), to=alice)

    assert "not in the audience" in run("bob", str(event.pk), "--event")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nobody", "1"], "No user has the name, mail address or primary key 'nobody'"),
        (["alice", "999999"], "There is no notification 999999. Is it an event?"),
        (["alice", "999999", "--event"], "There is no event 999999"),
        (["shared@school.example", "1"], "Several users have the email"),
    ],
)
def test_the_command_says_what_it_does_not_find(alice, make_user, arguments, text):
    make_user("x", email="shared@school.example")
    make_user("y", email="shared@school.example")

    with pytest.raises(CommandError, match=text):
        run(*arguments)


def test_the_command_leads_from_another_persons_notification_to_its_event(alice, bob):
    event = notify(Graded(), to=alice)
    row = Notification.objects.get()

    with pytest.raises(CommandError, match=f"--event {event.pk}"):
        run("bob", str(row.pk))


# --- what clarion_verify says of the outbox


def verify(*options: str) -> str:
    printed = StringIO()
    call_command("clarion_verify", *options, stdout=printed, stderr=printed)
    return printed.getvalue()


def test_verify_prints_the_accounts_of_each_channel(alice, bob):
    notify(Escalated(), to=[alice, bob], actor=bob)

    text = verify()

    assert "email: 1 pending, 0 delivered, 1 skipped, 0 failed.\n" in text
    assert "every delivery is accounted for" in text


def test_verify_finds_and_repairs_a_delivery_that_nobody_would_settle(alice, clock):
    for grade in "AB":
        notify(Batched(grade=grade), to=alice)
    leader, follower = Delivery.objects.filter(channel="email").order_by("pk")
    Delivery.objects.filter(pk=leader.pk).update(outcome="delivered", due_at=None)

    with pytest.raises(SystemExit):
        verify()
    assert "0 inboxes and 1 deliveries" in verify("--repair")

    outbox.deliver_due()
    follower.refresh_from_db()
    assert follower.outcome == "delivered"
    assert "accounted for" in verify()
