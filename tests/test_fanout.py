"""From one event to everyone's rows: in chunks, once, whatever dies on the way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clarion import fanout, inbox, ledger, notify, upkeep
from clarion.models import AudienceChunk, Delivery, Event, Inbox, Notification
from clarion.runner import Runner
from clarion.runners.work import sweep

pytestmark = pytest.mark.django_db(transaction=True)

SMALL_CHUNKS = override_settings(CLARION={"RUNNER": "inline", "INLINE_LIMIT": 5, "CHUNK_SIZE": 10})


class Asleep(Runner):
    """A runner that never comes."""

    def wake(self) -> None:
        return


@pytest.fixture
def crowd(db):
    User.objects.bulk_create(User(username=f"u{number:03}") for number in range(45))
    return User.objects.filter(username__startswith="u")


def accepted(user_count: int) -> None:
    assert Notification.objects.count() == user_count
    assert Inbox.objects.filter(unread=1, unseen=1, version=1).count() == user_count
    assert list(upkeep.verify()) == []


@pytest.mark.parametrize("kind", ["users", "everyone", "group"])
@SMALL_CHUNKS
def test_a_large_audience_is_served_in_chunks(crowd, kind):
    group = Group.objects.create(name="all")
    group.user_set.add(*crowd)

    event = notify("Hello", to={"users": crowd, "everyone": "everyone", "group": group}[kind])

    event.refresh_from_db()
    assert (event.notified, event.skipped, event.due_at) == (45, 0, None)
    accepted(45)


@SMALL_CHUNKS
def test_very_many_named_recipients_are_kept_beside_the_event(crowd, monkeypatch):
    monkeypatch.setattr("clarion.events._IDS_IN_A_ROW", 20)

    event = notify("Hello", to=crowd)

    event.refresh_from_db()
    assert AudienceChunk.objects.count() == 5
    assert (event.audience, event.notified, event.checkpoint) == ({"chunks": 45}, 45, "45")
    accepted(45)


@SMALL_CHUNKS
def test_a_keyed_call_with_very_many_recipients_is_idempotent_too(crowd, monkeypatch):
    monkeypatch.setattr("clarion.events._IDS_IN_A_ROW", 20)

    notify("Hello", to=crowd, key="x")
    notify("Hello", to=crowd, key="x")

    accepted(45)


@override_settings(CLARION={"RUNNER": "tests.test_fanout.Asleep", "INLINE_LIMIT": 10})
def test_killed_between_chunks_it_goes_on_from_its_checkpoint(crowd):
    event = notify("Hello", to=crowd)
    accepted(10)

    fanout.run(event, limit=10)
    accepted(20)
    fanout.run(event)
    accepted(45)


@override_settings(CLARION={"RUNNER": "tests.test_fanout.Asleep", "INLINE_LIMIT": 0})
def test_killed_inside_a_chunk_nothing_of_it_remains(crowd, monkeypatch):
    event = notify("Hello", to=crowd)
    monkeypatch.setattr(fanout, "_move", lambda *arguments: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        fanout.run(event)

    accepted(0)
    monkeypatch.undo()
    fanout.run(event)
    accepted(45)


@override_settings(CLARION={"RUNNER": "tests.test_fanout.Asleep", "INLINE_LIMIT": 0})
def test_the_sweep_finds_what_nobody_fanned_out(crowd):
    notify("Hello", to=crowd)
    accepted(0)

    assert sweep() == 1
    assert sweep() == 0
    accepted(45)


@override_settings(CLARION={"RUNNER": "tests.test_fanout.Asleep", "INLINE_LIMIT": 0})
def test_a_claimed_event_is_left_to_its_claimant_until_the_lease_runs_out(alice):
    event = notify("Hello", to=alice)
    Event.objects.filter(pk=event.pk).update(due_at=timezone.now() + timedelta(seconds=30))

    assert sweep() == 0
    Event.objects.filter(pk=event.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    assert sweep() == 1


def test_one_event_that_cannot_be_served_does_not_hold_up_the_others(alice):
    Event.objects.create(audience={"name": "no such audience"}, data={"title": "bad"})
    Event.objects.create(audience={"users": [alice.pk]}, data={"title": "good"})

    sweep()

    assert [item["title"] for item in inbox.page(alice).items] == ["good"]


def test_a_repeat_of_a_chunk_adds_nothing(alice, bob):
    event = notify("Hello", to=[alice, bob])

    with transaction.atomic():
        assert ledger.add(event, [alice.pk, bob.pk]).count == 0
    accepted(2)


def test_recipients_that_are_gone_are_accounted_for(alice, bob):
    with override_settings(CLARION={"RUNNER": "tests.test_fanout.Asleep", "INLINE_LIMIT": 0}):
        event = notify("Hello", to=[alice, bob])
    bob.delete()

    sweep()

    event.refresh_from_db()
    assert (event.notified, event.skipped) == (1, 1)


@pytest.mark.parametrize("size", [10, 40])
def test_a_chunk_costs_the_same_number_of_statements_whatever_its_size(crowd, size):
    some = User.objects.filter(pk__in=list(crowd.values_list("pk", flat=True)[:size]))
    Inbox.objects.all().delete()

    with CaptureQueriesContext(connection) as queries:
        notify("Hello", to=some)

    counted = [entry for entry in queries if "SAVEPOINT" not in entry["sql"]]
    assert len(counted) <= 14, "\n".join(entry["sql"][:100] for entry in counted)


def test_skips_are_rows_with_a_reason(make_user, alice):
    people = [make_user(f"gone{number}", is_active=False) for number in range(3)]

    event = notify("Hello", to=[alice, *people])

    event.refresh_from_db()
    assert (event.notified, event.skipped) == (1, 3)
    assert Delivery.objects.filter(event=event, outcome="skipped").count() == 3


def test_an_event_inserted_with_plain_sql_is_fanned_out(alice):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO clarion_event (data, audience) VALUES (%s, %s)",
            ['{"title": "From afar"}', f'{{"users": [{alice.pk}]}}'],
        )
    Event.objects.update(due_at=timezone.now())  # the database's clock has milliseconds only

    sweep()

    assert [item["title"] for item in inbox.page(alice).items] == ["From afar"]


def test_a_notification_inserted_with_plain_sql_is_stamped(alice, bob):
    event = notify("Hello", to=alice)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO clarion_notification (event_id, recipient_id) VALUES (%s, %s)",
            [event.pk, bob.pk],
        )
    assert inbox.position(bob).version == 0

    sweep()

    assert inbox.position(bob).version == 1
    assert inbox.counts(bob) == inbox.Counts(1, 1)


def test_rows_of_bulk_create_are_stamped(alice, bob, carol):
    event = notify("Hello", to=alice)
    Notification.objects.bulk_create(
        Notification(event=event, recipient=user) for user in (bob, carol)
    )

    sweep()

    assert [inbox.counts(user).unread for user in (bob, carol)] == [1, 1]
    accepted(3)


def test_a_row_made_by_create_is_stamped_at_once(alice, bob):
    event = notify("Hello", to=alice)

    Notification.objects.create(event=event, recipient=bob)

    assert inbox.counts(bob) == inbox.Counts(1, 1)


def test_a_row_changed_by_save_counts_right(alice):
    notify("Hello", to=alice)
    before = inbox.position(alice).version
    row = Notification.objects.get()

    row.read_at = row.seen_at = timezone.now()
    row.save()

    assert inbox.counts(alice) == inbox.Counts(0, 0)
    assert inbox.position(alice).version > before


def test_a_row_deleted_behind_our_back_gives_clients_a_fresh_start(alice):
    notify("Hello", to=alice)
    position = inbox.position(alice)

    Notification.objects.get().delete()

    assert inbox.counts(alice) == inbox.Counts(0, 0)
    assert Inbox.objects.get().floor > position.version


def test_an_event_made_by_create_is_fanned_out(alice):
    Event.objects.create(data={"title": "By hand"}, audience={"users": [alice.pk]})

    assert [item["title"] for item in inbox.page(alice).items] == ["By hand"]
