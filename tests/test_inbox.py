"""Reading and marking: pages, states, counters, and what changed since."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import announce, inbox, notify, retract, upkeep
from clarion.exceptions import BadCursor, InvalidMark
from clarion.models import Event, Inbox, Notification
from clarion.realtime import catchup
from clarion.realtime.frames import ZERO, Position
from clarion.runners.work import sweep
from tests.testapp.models import Article
from tests.testapp.notifications import Published

pytestmark = pytest.mark.django_db(transaction=True)


def tell(user, *texts):
    """Notify the user of each text, and return the ids, in that order."""
    for text in texts:
        notify(text, to=user)
    ids = list(Notification.objects.filter(recipient=user).values_list("pk", flat=True))
    return sorted(ids)[-len(texts) :]


def titles(user, **options):
    return [item["title"] for item in inbox.page(user, **options).items]


def caught_up(user, position):
    """The frames from a position, decoded."""
    return [json.loads(frame) for frame in catchup.catch_up({user.pk: position})[user.pk].frames]


def test_pages_follow_each_other_without_gap_or_repeat(alice):
    tell(alice, *"abcdefg")
    seen, cursor = [], None
    while True:
        page = inbox.page(alice, limit=3, before=cursor)
        seen += [item["title"] for item in page.items]
        cursor = page.next
        if cursor is None:
            break

    assert seen == list("gfedcba")


def test_pinned_ones_come_first_on_every_page(alice):
    a, *_ = tell(alice, *"abcd")
    inbox.pin(alice, [a])

    first = inbox.page(alice, limit=2)
    second = inbox.page(alice, limit=2, before=first.next)

    assert [item["title"] for item in first.items + second.items] == list("adcb")


def test_something_new_does_not_shift_the_next_page(alice):
    tell(alice, *"abcd")
    first = inbox.page(alice, limit=2)
    tell(alice, "e")

    assert titles(alice, limit=2, before=first.next) == ["b", "a"]


def test_filters_show_what_they_say(alice):
    a, b, c, d = tell(alice, *"abcd")
    inbox.mark_read(alice, [a])
    inbox.archive(alice, [b])
    inbox.snooze(alice, [c], timezone.now() + timedelta(hours=1))

    assert titles(alice) == ["d", "a"]
    assert titles(alice, filter="unread") == ["d"]
    assert titles(alice, filter="archived") == ["b"]
    assert titles(alice, filter="snoozed") == ["c"]
    assert inbox.counts(alice) == inbox.Counts(1, 1)


@pytest.mark.parametrize("number", [1, 20])
def test_a_page_costs_the_same_whatever_is_on_it(alice, bob, number):
    for count in range(number):
        article = Article.objects.create(title=f"A{count}", author=bob)
        notify(Published(), to=alice, actor=bob, target=article)
    connection.queries_log.clear()

    with CaptureQueriesContext(connection) as queries:
        inbox.page(alice)

    assert len(queries) <= 6  # position, rows, users, articles and their content types at first use


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "al"},
        {"limit": 0},
        {"limit": 101},
        {"before": "nonsense"},
        {"before": "WzEsMl0"},
        {"before": "é"},
    ],
)
def test_a_page_nobody_can_show_is_refused(alice, options):
    with pytest.raises(BadCursor):
        inbox.page(alice, **options)


def test_read_implies_seen_and_unread_leaves_it(alice):
    [a] = tell(alice, "a")

    change = inbox.mark_read(alice, [a])
    assert (change.changed, change.counts) == (1, inbox.Counts(0, 0))
    change = inbox.mark_unread(alice, [a])
    assert (change.changed, change.counts) == (1, inbox.Counts(1, 0))


def test_archiving_does_not_imply_reading(alice):
    [a] = tell(alice, "a")

    inbox.archive(alice, [a])
    assert inbox.counts(alice) == inbox.Counts(0, 0)
    inbox.unarchive(alice, [a])

    assert inbox.counts(alice) == inbox.Counts(1, 1)


def test_a_repeated_mark_changes_nothing(alice):
    [a] = tell(alice, "a")
    inbox.mark_read(alice, [a])
    before = inbox.position(alice)

    assert inbox.mark_read(alice, [a]).changed == 0
    assert inbox.position(alice) == before


def test_nobody_marks_anothers(alice, bob):
    [a] = tell(alice, "a")

    assert inbox.mark_read(bob, [a]).changed == 0
    assert inbox.counts(alice) == inbox.Counts(1, 1)


def test_all_are_marked_as_one_change(alice):
    tell(alice, *"abcde")
    before = inbox.position(alice).version

    change = inbox.mark_all_read(alice)

    assert (change.version, change.changed) == (before + 1, 5)
    assert change.counts == inbox.Counts(0, 0)


def test_what_arrives_meanwhile_is_not_swallowed(alice):
    tell(alice, "a")
    upto = inbox.position(alice).version
    tell(alice, "b")

    inbox.mark(alice, "read", upto=upto)

    assert titles(alice, filter="unread") == ["b"]


def test_snoozed_it_comes_back_as_new_on_top(alice):
    a, _ = tell(alice, "a", "b")
    inbox.mark_read(alice, [a])
    inbox.snooze(alice, [a], timezone.now() + timedelta(hours=1))
    assert sweep() == 0
    Notification.objects.filter(pk=a).update(snoozed_until=timezone.now())

    sweep()

    assert titles(alice) == ["a", "b"]
    assert inbox.counts(alice) == inbox.Counts(2, 2)


def test_woken_by_hand_it_is_as_it_was(alice):
    a, _ = tell(alice, "a", "b")
    inbox.mark_read(alice, [a])
    inbox.snooze(alice, [a], timezone.now() + timedelta(hours=1))

    inbox.unsnooze(alice, [a])

    assert titles(alice) == ["b", "a"]
    assert inbox.counts(alice) == inbox.Counts(1, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"state": "red", "ids": [1]}, "red"),
        ({"state": "read"}, "either"),
        ({"state": "read", "ids": [1], "upto": 2}, "either"),
        ({"state": "pinned", "upto": 2}, "upto"),
        ({"state": "read", "upto": "2"}, "upto"),
        ({"state": "read", "upto": -1}, "upto"),
        ({"state": "read", "upto": 2**63}, "upto"),
        ({"state": "read", "ids": "12"}, "list"),
        ({"state": "read", "ids": ["x"]}, "'x'"),
        ({"state": "read", "ids": [True]}, "True"),
        ({"state": "read", "ids": [2**63]}, "not the id"),
        ({"state": "read", "ids": ["a" + "9" * 40]}, "not the id"),
        ({"state": "read", "ids": list(range(1001))}, "1000"),
        ({"state": "snoozed", "ids": [1]}, "until"),
        ({"state": "read", "ids": [1], "until": timezone.now()}, "until"),
        ({"state": "snoozed", "ids": [1], "until": timezone.now()}, "future"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(alice, arguments, says):
    with pytest.raises(InvalidMark, match=says):
        inbox.mark(alice, **arguments)


def test_counters_are_exact_under_concurrency(alice, is_postgres):
    """Eight threads notify and mark at once; afterwards counters and rows agree."""
    ids = tell(alice, *"abcdefgh")

    def work(number: int) -> None:
        try:
            notify(f"n{number}", to=alice)
            inbox.mark_read(alice, [ids[number]])
            inbox.archive(alice, [ids[(number + 1) % 8]])
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(upkeep.verify()) == []
    assert inbox.counts(alice) == inbox.Counts(8, 8)


def test_changes_since_a_version_are_new_and_changed_rows_alike(alice):
    a, _ = tell(alice, "a", "b")
    position = inbox.position(alice)
    inbox.mark_read(alice, [a])
    tell(alice, "c")

    [frame] = caught_up(alice, position)

    assert (frame["type"], frame["after"], frame["version"]) == ("change", 2, 4)
    assert [(item["title"], item["read"]) for item in frame["items"]] == [("a", True), ("c", False)]
    assert frame["counts"] == {"unread": 2, "unseen": 2}


def test_nothing_missed_gives_no_frames(alice):
    tell(alice, "a")

    assert caught_up(alice, inbox.position(alice)) == []


def test_retracted_rows_are_tombstones_for_who_was_away(alice):
    event = notify("a", to=alice)
    position = inbox.position(alice)
    retract(event)

    [frame] = caught_up(alice, position)

    [item] = frame["items"]
    assert item["removed"] is True


def test_without_an_inbox_any_cursor_zero_catches_up(alice):
    assert caught_up(alice, ZERO) == []
    tell(alice, "a")
    assert [frame["type"] for frame in caught_up(alice, ZERO)] == ["change"]


@pytest.mark.parametrize("reason", ["epoch", "future", "floor", "behind"])
def test_a_cursor_that_cannot_be_followed_gives_a_fresh_start(alice, reason):
    tell(alice, "a", "b")
    epoch, version = inbox.position(alice).epoch, inbox.position(alice).version
    if reason == "floor":
        Inbox.objects.update(floor=2)
    if reason == "behind":
        Inbox.objects.update(version=5000)
    cursor = {
        "epoch": Position("other", 1),
        "future": Position(epoch, version + 9),
        "floor": Position(epoch, 1),
        "behind": Position(epoch, 1),
    }[reason]

    [frame] = caught_up(alice, cursor)

    assert (frame["type"], frame["reason"]) == ("reset", reason)
    assert [item["title"] for item in frame["items"]] == ["b", "a"]


def test_many_changes_come_in_frames_of_which_the_last_moves_the_cursor(alice):
    notify("x", to=alice)
    events = Event.objects.bulk_create(Event(due_at=None) for _ in range(250))
    Notification.objects.bulk_create(Notification(event=event, recipient=alice) for event in events)
    sweep()
    position = Position(inbox.position(alice).epoch, 1)

    frames = caught_up(alice, position)

    assert [len(frame["items"]) for frame in frames] == [100, 100, 50]
    assert [frame.get("more", False) for frame in frames] == [True, True, False]


def test_what_is_marked_while_a_client_catches_up_is_not_lost(alice):
    """The mark gives the row a new version, and its own frame names no row."""
    tell(alice, "a", "b")
    position = Position(inbox.position(alice).epoch, 1)
    marks = [lambda: inbox.mark_all_read(alice)]

    def before_the_rows_are_read(execute, sql, *rest):
        if marks and Notification._meta.db_table in sql:
            marks.pop()()
        return execute(sql, *rest)

    with connection.execute_wrapper(before_the_rows_are_read):
        [frame] = caught_up(alice, position)

    assert not marks
    assert frame["version"] == 2
    assert [(item["title"], item["read"]) for item in frame["items"]] == [("a", True), ("b", True)]


@pytest.mark.parametrize("people", [2, 30])
def test_catching_up_many_costs_as_many_queries_as_for_one(make_user, people):
    users = [make_user(f"user{number}") for number in range(people)]
    for text in "ab":
        notify(text, to=users)
    cursors = {user.pk: ZERO for user in users}

    with CaptureQueriesContext(connection) as queries:
        caught = catchup.catch_up(cursors)

    assert len(caught) == people
    assert len(queries) <= 3


def test_the_public_stream_catches_up_the_same_way(alice):
    announce("one")
    position = catchup.public_position()
    event = announce("two")
    retract(event)

    [frame] = map(json.loads, catchup.public_catch_up(position).frames)

    assert (frame["stream"], frame["after"], frame["version"]) == ("public", 1, 3)
    assert [item.get("removed", False) for item in frame["items"]] == [True]
    [frame] = map(json.loads, catchup.public_catch_up(Position("other", 1)).frames)
    assert (frame["type"], len(frame["items"])) == ("reset", 1)


def test_delivered_is_what_a_client_confirmed(alice):
    tell(alice, "a", "b")

    catchup.acknowledge({alice.pk: 1})
    assert Notification.objects.filter(delivered_at__isnull=False).count() == 1
    catchup.acknowledge({alice.pk: 99})
    assert Notification.objects.filter(delivered_at__isnull=False).count() == 2
    assert Inbox.objects.get().delivered == 2


def test_pruned_rows_leave_exact_counters_and_a_fresh_start(alice):
    a, b, c = tell(alice, "a", "b", "c")
    inbox.pin(alice, [c])
    position = Position(inbox.position(alice).epoch, 1)
    Notification.objects.filter(pk__in=[a, b, c]).update(
        arrived_at=timezone.now() - timedelta(days=9)
    )

    assert upkeep.prune(timezone.now() - timedelta(days=1)) == 2
    assert upkeep.prune(timezone.now() - timedelta(days=1)) == 0

    assert titles(alice) == ["c"]
    assert inbox.counts(alice) == inbox.Counts(1, 1)
    assert caught_up(alice, position)[0]["reason"] == "floor"


def test_pruned_events_concern_nobody_any_more(alice):
    tell(alice, "a")
    notify("kept for its key", to=[], key="x")

    assert upkeep.prune_events(timezone.now()) == 0
    Notification.objects.all().delete()
    assert upkeep.prune_events(timezone.now()) == 1
    assert Event.objects.get().key == "x"


def test_verify_finds_drift_and_repair_sets_it_right(alice, bob):
    tell(alice, "a")
    tell(bob, "b")
    Inbox.objects.filter(pk=alice.pk).update(unread=7)

    [drift] = upkeep.verify()
    assert (drift.recipient, drift.stored["unread"], drift.actual["unread"]) == (alice.pk, 7, 1)

    assert upkeep.repair() == 1
    assert list(upkeep.verify()) == []
    assert inbox.counts(alice) == inbox.Counts(1, 1)


def test_after_a_restored_backup_every_client_starts_afresh(alice):
    tell(alice, "a")
    position = inbox.position(alice)

    upkeep.renew_epoch()

    assert caught_up(alice, position)[0]["reason"] == "epoch"
