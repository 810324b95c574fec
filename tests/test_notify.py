"""Writing: what `notify()` accepts, what it refuses, and what it costs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import (
    EVERYONE,
    Audience,
    announce,
    anotify,
    cancel,
    inbox,
    notify,
    retract,
    toast,
)
from clarion.exceptions import (
    InvalidNotification,
    InvalidPayload,
    InvalidRecipient,
    KeyConflict,
    UnknownAudience,
    UnknownType,
)
from clarion.models import Delivery, Event, Inbox, Notification
from clarion.runners.work import sweep
from clarion.types import Content, NotificationType
from tests.testapp.models import Article
from tests.testapp.notifications import Commented, DueSoon, Published, SignInAlert

pytestmark = pytest.mark.django_db(transaction=True)


def wait_until(condition) -> None:
    while not condition():
        time.sleep(0.01)


def titles(user: User, filter: str = "all") -> list[str]:
    return [item["title"] for item in inbox.page(user, filter=filter).items]


def test_a_line_of_text_reaches_its_recipient_and_nobody_else(alice, bob):
    notify("Your export is ready", to=alice, body="A file", url="/exports/7", level="success")

    [item] = inbox.page(alice).items
    assert item["message"] == item["title"] == "Your export is ready"
    assert (item["body"], item["url"], item["level"]) == ("A file", "/exports/7", "success")
    assert inbox.page(bob).items == []


def test_notify_costs_one_insert_before_the_commit(alice, bob):
    ContentType.objects.get_for_model(User)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        notify(Commented(excerpt="hi"), to=alice, actor=bob)

    assert [entry["sql"].split()[0] for entry in queries] == ["INSERT"]


def test_a_keyed_notify_costs_two_statements_before_the_commit(alice):
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        notify("Once", to=alice, key="once")

    assert len(queries) == 2


def test_rolled_back_it_never_happened(alice):
    with pytest.raises(RuntimeError), transaction.atomic():
        notify("Never", to=alice)
        raise RuntimeError

    assert not Event.objects.exists()
    assert titles(alice) == []


def test_a_type_says_its_content_with_actor_and_target(alice, bob):
    article = Article.objects.create(title="Tea", author=alice)

    notify(Published(), to=alice, actor=bob, target=article)

    [item] = inbox.page(alice).items
    assert item["title"] == "Tea was published"
    assert item["url"] == article.get_absolute_url()
    assert item["actor"] == {"name": "Bob"}
    assert (item["type"], item["category"], item["level"]) == (
        "article.published",
        "articles",
        "success",
    )


def test_actions_and_times_survive_the_way_through_the_database(alice):
    due = datetime(2026, 1, 5, 16, tzinfo=UTC)

    notify(DueSoon(due=due, words=1200, note="Go!"), to=alice)

    [item] = inbox.page(alice).items
    assert item["title"] == "1200 words are due on 2026-01-05"
    assert item["actions"] == [
        {"label": "Open", "url": "/articles/", "method": "GET"},
        {"label": "More time", "url": "/articles/more-time/", "method": "POST"},
    ]


@pytest.mark.parametrize("kind", ["user", "list", "set", "generator", "queryset", "group", "name"])
def test_every_kind_of_recipients_reaches_the_same_people(kind, alice, bob, carol):
    group = Group.objects.create(name="writers")
    group.user_set.add(alice, bob)
    Article.objects.create(title="A", author=alice)
    Article.objects.create(title="B", author=bob)
    Article.objects.create(title="C", author=bob)
    wanted = User.objects.filter(pk__in=[alice.pk, bob.pk])

    to = {
        "user": alice,
        "list": [alice, bob, bob],
        "set": {alice, bob},
        "generator": (user for user in wanted),
        "queryset": wanted.order_by("-username"),
        "group": group,
        "name": "authors",
    }[kind]
    event = notify("Hello", to=to)

    event.refresh_from_db()
    expected = [alice] if kind == "user" else [alice, bob]
    assert [titles(user) for user in (alice, bob, carol)].count(["Hello"]) == len(expected)
    assert (event.notified, event.skipped, event.due_at) == (len(expected), 0, None)


def test_an_audience_takes_arguments(alice, bob):
    for author in (alice, bob):
        Article.objects.create(title="x", author=author)

    notify("Hello", to=Audience("authors", prefix="al"))

    assert (titles(alice), titles(bob)) == (["Hello"], [])


def test_everyone_means_all_active_users(alice, bob, make_user):
    gone = make_user("gone", is_active=False)

    notify("Hello", to=EVERYONE)

    assert [titles(user) for user in (alice, bob, gone)] == [["Hello"], ["Hello"], []]


def test_the_actor_is_left_out_unless_asked(alice, bob):
    event = notify("Both", to=[alice, bob], actor=bob)
    notify("Really both", to=[alice, bob], actor=bob, include_actor=True)

    assert titles(bob) == ["Really both"]
    assert Delivery.objects.get(event=event, recipient=bob).reason == "did it themselves"


def test_inactive_users_are_skipped_with_a_reason(alice, make_user):
    gone = make_user("gone", is_active=False)

    event = notify("Hello", to=[alice, gone])

    event.refresh_from_db()
    assert (event.notified, event.skipped) == (1, 1)
    assert Delivery.objects.get().reason == "the account is not active"


def test_nobody_is_a_valid_audience(alice):
    event = notify("Hello", to=[])

    event.refresh_from_db()
    assert (event.due_at, event.notified) == (None, 0)


def test_the_same_key_and_payload_return_the_first_receipt(alice):
    first = notify("Once", to=alice, key="export:7")
    second = notify("Once", to=alice, key="export:7")

    assert first.pk == second.pk
    assert titles(alice) == ["Once"]


def test_a_key_used_for_something_else_is_an_error(alice, bob):
    notify("Once", to=alice, key="export:7")

    with pytest.raises(KeyConflict, match="export:7"):
        notify("Another", to=alice, key="export:7")
    with pytest.raises(KeyConflict):
        notify("Once", to=bob, key="export:7")


def test_a_key_belongs_to_its_type(alice):
    notify("Once", to=alice, key="7")
    notify(Commented(excerpt="x"), to=alice, key="7")

    assert len(titles(alice)) == 2


def test_a_key_conflict_leaves_the_callers_transaction_usable(alice):
    notify("Once", to=alice, key="7")

    with transaction.atomic():
        with pytest.raises(KeyConflict):
            notify("Another", to=alice, key="7")
        notify("After", to=alice)

    assert titles(alice) == ["After", "Once"]


def test_sent_later_it_waits(alice):
    event = notify("Later", to=alice, at=timezone.now() + timedelta(hours=1))
    sweep()
    assert titles(alice) == []

    Event.objects.filter(pk=event.pk).update(due_at=timezone.now())
    sweep()
    assert titles(alice) == ["Later"]


def test_called_off_in_time_it_is_never_sent(alice):
    event = notify("Later", to=alice, at=timezone.now() + timedelta(seconds=0.05))

    assert cancel(event) is True
    assert cancel(event) is False
    wait_until(lambda: timezone.now() > event.due_at)
    sweep()
    assert titles(alice) == []


def test_what_was_sent_cannot_be_called_off(alice):
    event = notify("Now", to=alice)

    assert cancel(event) is False
    assert titles(alice) == ["Now"]


def test_what_expired_before_it_was_due_is_not_sent(alice):
    event = notify("Stale", to=alice, expires=timezone.now() - timedelta(seconds=1))

    event.refresh_from_db()
    assert titles(alice) == []
    assert event.due_at is None


def test_an_expired_notification_is_archived(alice):
    notify("Short", to=alice, expires=timezone.now() + timedelta(hours=1))
    Notification.objects.update(expires_at=timezone.now())

    sweep()

    assert (titles(alice), titles(alice, "archived")) == ([], ["Short"])
    assert inbox.counts(alice) == inbox.Counts(0, 0)


def test_repeats_with_a_collapse_key_share_one_live_row(alice, bob, carol):
    notify(Commented(excerpt="one"), to=alice, actor=bob, collapse="article:1")
    notify("Something else", to=alice)
    inbox.mark_read(alice, [item["id"] for item in inbox.page(alice).items])
    notify(Commented(excerpt="two"), to=alice, actor=carol, collapse="article:1")

    first, second = inbox.page(alice).items
    assert first["title"] == "carol and 1 other commented (2)"
    assert (first["count"], first["body"]) == (2, "two")
    assert (first["read"], first["seen"]) == (False, False)
    assert second["title"] == "Something else"
    assert inbox.counts(alice) == inbox.Counts(1, 1)


def test_an_archived_row_is_not_collapsed_into(alice):
    notify("Again", to=alice, collapse="x")
    inbox.archive(alice, [inbox.page(alice).items[0]["id"]])
    notify("Again", to=alice, collapse="x")

    [item] = inbox.page(alice).items
    assert item["count"] == 1
    [archived] = inbox.page(alice, filter="archived").items
    inbox.unarchive(alice, [archived["id"]])
    notify("Again", to=alice, collapse="x")
    assert sorted(item["count"] for item in inbox.page(alice).items) == [1, 2]


def test_a_collapse_key_means_the_same_within_one_type_only(alice):
    notify("A", to=alice, collapse="x")
    notify(Commented(excerpt="b"), to=alice, collapse="x")

    assert len(titles(alice)) == 2


def test_retracted_it_is_gone_from_every_inbox(alice, bob):
    event = notify("Oops", to=[alice, bob])
    notify("Stays", to=alice)

    assert retract(event) == 2
    assert retract(event) == 0
    assert (titles(alice), titles(bob)) == (["Stays"], [])
    assert inbox.counts(alice) == inbox.Counts(1, 1)


def test_a_retracted_repeat_is_taken_out_of_its_row(alice):
    notify(Commented(excerpt="one"), to=alice, collapse="x")
    second = notify(Commented(excerpt="two"), to=alice, collapse="x")

    retract(second)

    [item] = inbox.page(alice).items
    assert (item["body"], item["count"]) == ("one", 1)


def test_a_repeat_is_taken_out_of_a_row_that_was_archived_meanwhile(alice):
    events = [notify("Again", to=alice, collapse="x") for _ in range(2)]
    [item] = inbox.page(alice).items
    for _ in range(2):
        inbox.archive(alice, [item["id"]])
        inbox.unarchive(alice, [item["id"]])

    assert [retract(event) for event in events] == [1, 1]
    assert titles(alice) == []


def test_an_announcement_taken_back_while_its_row_was_made_is_gone(alice):
    event = announce("Oops")
    inbox.counts(alice)
    retract(event)
    Notification.objects.update(removed_at=None)  # what a late row looks like
    Inbox.objects.update(unread=1, unseen=1)

    assert titles(alice) == []
    assert inbox.counts(alice) == inbox.Counts(0, 0)


def test_retracted_before_it_is_due_it_is_never_sent(alice):
    event = notify("Later", to=alice, at=timezone.now() + timedelta(seconds=0.05))
    retract(event)

    wait_until(lambda: timezone.now() > event.due_at)
    sweep()
    assert titles(alice) == []


def test_a_vanished_target_leaves_the_notification_readable(alice):
    article = Article.objects.create(title="Tea", author=alice)
    notify(Published(), to=alice, target=article)
    article.delete()

    assert titles(alice) == ["An article was published"]


def test_content_that_fails_later_shows_what_it_said_first(alice, monkeypatch):
    notify(Commented(excerpt="hi"), to=alice)
    monkeypatch.setattr(Commented, "content", lambda self, event: 1 / 0)

    assert titles(alice) == ["Somebody commented"]


def test_a_type_that_is_gone_shows_what_it_said(alice):
    notify(Commented(excerpt="hi"), to=alice)
    Event.objects.update(type="gone.type")

    assert titles(alice) == ["Somebody commented"]


def test_an_announcement_reaches_everyone_on_one_row(alice, bob):
    event = announce("School is closed", level="warning")

    assert Notification.objects.count() == 0
    assert inbox.counts(alice) == inbox.Counts(1, 1)
    assert titles(bob) == ["School is closed"]
    inbox.mark_read(alice, [f"a{event.pk}"])
    assert (inbox.counts(alice).unread, inbox.counts(bob).unread) == (0, 1)


def test_an_announcement_can_be_marked_before_the_inbox_was_read(alice):
    event = announce("School is closed")

    assert inbox.mark_read(alice, [f"a{event.pk}"]).changed == 1


def test_an_announcement_from_before_somebody_joined_is_not_news(make_user):
    announce("Old news")
    late = make_user("late", date_joined=timezone.now() + timedelta(seconds=1))

    assert titles(late) == []


def test_an_announcement_has_its_place_among_the_others(alice, bob):
    announce("First", actor=bob)
    notify("Second", to=[alice, bob])

    assert titles(alice) == ["Second", "First"]
    assert titles(bob) == ["Second"]  # whoever announces knows it


def test_the_public_audience_by_name_is_an_announcement(alice):
    notify("Closed", to="public")

    assert Notification.objects.count() == 0
    assert titles(alice) == ["Closed"]


def test_a_retracted_announcement_is_gone(alice, bob):
    event = announce("Oops")
    assert titles(alice) == ["Oops"]

    retract(event)

    assert (titles(alice), titles(bob)) == ([], [])


def test_a_long_body_in_any_script_fits(alice):
    notify("長い", to=alice, body="あ" * 4000)

    assert titles(alice) == ["長い"]


def test_a_toast_is_never_stored(alice):
    toast(alice, "Saved", level="success")

    assert titles(alice) == []
    assert not Event.objects.exists()


def test_anotify_does_the_same(alice):
    event = async_to_sync(anotify)("From async code", to=alice)

    event.refresh_from_db()
    assert (event.notified, event.due_at) == (1, None)


class Unregistered(NotificationType):
    type = "nobody.registered"

    def payload(self):
        return {}

    def content(self, event):
        return Content(title="x")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda a: notify(7, to=a), InvalidNotification, "not a int"),
        (lambda a: notify(Unregistered(), to=a), UnknownType, "nobody.registered"),
        (lambda a: notify(Commented(excerpt=3), to=a), InvalidPayload, "excerpt: expected str"),
        (lambda a: notify(Commented(excerpt=a), to=a), InvalidPayload, "pass it as actor="),
        (
            lambda a: notify(DueSoon(due=datetime(2026, 1, 1), words=1), to=a),
            InvalidPayload,
            "naive",
        ),
        (lambda a: notify("x", to=7), InvalidRecipient, "int can't be notified"),
        (lambda a: notify("x", to=None), InvalidRecipient, "NoneType"),
        (lambda a: notify("x", to=[a, "bob"]), InvalidRecipient, "'bob' is not a user"),
        (lambda a: notify("x", to=AnonymousUser()), InvalidRecipient, "AnonymousUser"),
        (lambda a: notify("x", to=User(username="new")), InvalidRecipient, "not saved"),
        (lambda a: notify("x", to=Article.objects.all()), InvalidRecipient, "holds no users"),
        (lambda a: notify("x", to="authrs"), UnknownAudience, "Did you mean 'authors'"),
        (lambda a: notify("x", to=Audience("authors", wrong=1)), UnknownAudience, "wrong"),
        (lambda a: notify("x", to=a, target=Article(title="new")), InvalidNotification, "target"),
        (lambda a: notify("x", to=a, actor="bob"), InvalidNotification, "actor"),
        (lambda a: notify("x", to=a, at=datetime(2026, 1, 1)), InvalidNotification, "time zone"),
        (lambda a: notify("x", to=a, expires="soon"), InvalidNotification, "expires"),
        (lambda a: notify("x", to=a, level="loud"), InvalidNotification, "loud"),
        (lambda a: notify("x", to=a, key="k" * 201), InvalidNotification, "200"),
        (lambda a: notify("x", to=a, collapse="k" * 201), InvalidNotification, "200"),
        (lambda a: notify("x" * 201, to=a), InvalidNotification, "201 characters"),
        (lambda a: notify("x", to=a, body="x" * 4001), InvalidNotification, "body has 4,001"),
        (lambda a: notify(" ", to=a), InvalidNotification, "title is empty"),
        (lambda a: notify("x", to=a, url="javascript:alert(1)"), InvalidNotification, "http"),
        (lambda a: notify(Commented(excerpt="x" * 20_000), to=a), InvalidPayload, "16,384"),
        (lambda a: notify(Commented(excerpt="x"), to=a, url="/x"), InvalidNotification, "content"),
        (lambda a: notify("x", to="public", collapse="k"), InvalidNotification, "announcement"),
        (lambda a: toast("authors", "x"), InvalidRecipient, "everyone"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_nothing_is_written(alice, call, error, says):
    with pytest.raises(error, match=says):
        call(alice)

    assert not Event.objects.exists()
    assert not Notification.objects.exists()


def test_a_required_type_reaches_those_who_switched_it_off(alice):
    from clarion import preferences

    preferences.choose(alice, "*", "off")
    notify(Commented(excerpt="hi"), to=alice)
    notify(SignInAlert(device="Firefox"), to=alice)

    assert titles(alice) == ["New sign-in"]
    assert Delivery.objects.get().reason == "inbox is switched off"


def test_the_most_specific_choice_decides(alice):
    from clarion import preferences

    preferences.choose(alice, "category:comments", "off")
    preferences.choose(alice, "type:article.commented", "instant")

    notify(Commented(excerpt="hi"), to=alice)

    assert len(titles(alice)) == 1


def test_a_collapsed_row_names_one_and_counts_the_others(alice, bob, carol):
    for actor in (bob, carol, bob, carol):
        notify(Commented(excerpt="hi"), to=alice, actor=actor, collapse="article:1")

    assert titles(alice) == ["carol and 1 other commented (4)"]


def test_taking_one_back_counts_the_others_anew(alice, bob, carol):
    first = notify(Commented(excerpt="hi"), to=alice, actor=bob, collapse="article:1")
    notify(Commented(excerpt="ho"), to=alice, actor=carol, collapse="article:1")

    retract(first)

    assert titles(alice) == ["carol commented"]
