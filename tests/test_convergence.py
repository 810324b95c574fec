"""Whatever is lost, repeated, reordered or cut: a screen ends with what a fresh look would show.

Hypothesis drives the real engine and the nudges that it publishes. Between them and the screens is
a network that does everything a network may do; in the end one resume must be enough.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clarion import announce, inbox, notify, retract, upkeep
from clarion.models import AudienceChunk, Delivery, Event, Inbox, Notification, PublicStream
from clarion.realtime import catchup, frames
from clarion.realtime.brokers import Broker, Line, get_broker
from tests.hard.client import FILTERS, Screen

SCREENS = 3  # two of alice, one of bob
TABLES = (Delivery, Notification, AudienceChunk, Event, Inbox, PublicStream)

numbers = st.integers(0, 60)  # taken modulo what there is
states = st.sampled_from(
    ["seen", "read", "unread", "archived", "unarchived", "pinned", "unpinned", "unsnoozed"]
)


class RecordingBroker(Broker):
    """Keeps what is published, for somebody else to deliver or not."""

    def __init__(self) -> None:
        self.published: deque[frames.Nudge] = deque()

    def publish(self, topic: str, data: bytes) -> None:
        self.published.append(frames.unpack(data))

    def attach(self, receive: Any, resync: Any) -> Line:
        raise NotImplementedError("nobody listens here")


class Tab:
    """A screen of one person, the nudges on the way to it, and the connection that answers it."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.screen = Screen()
        self.nudges: list[frames.Nudge] = []
        self.line: deque[bytes] = deque()  # in order, and cut at any point
        self.pages: list[tuple[dict[str, Any], int]] = []
        self.asleep: Screen | None = None
        self.shown: set[int | str] = set()

    def hear_of(self, nudge: frames.Nudge) -> None:
        if nudge.topic in ("public", f"inbox.{self.owner.pk}") or self._is_in(nudge):
            self.nudges.append(nudge)

    def _is_in(self, nudge: frames.Nudge) -> bool:
        if nudge.topic != "batch":
            return False
        word = json.loads(nudge.frame)
        if "ids" in word:
            return self.owner.pk in word["ids"]
        return bool(word["first"] <= self.owner.pk <= word["last"])

    def take(self, nudge: frames.Nudge) -> None:
        """As the hub does: a frame is forwarded, a hint is looked up."""
        if nudge.frame and nudge.topic != "batch":
            self.apply(nudge.frame)
        else:
            self.ask()

    def apply(self, frame: bytes) -> None:
        if self.screen.apply(json.loads(frame)) is None:
            self.ask()
        self.shown.update(self.screen.items)

    def ask(self) -> None:
        """Resume: the answer is on its way."""
        self.line.extend(self._missing())

    def _missing(self) -> list[bytes]:
        at = {name: frames.Position(*cursor) for name, cursor in self.screen.cursors.items()}
        own = catchup.catch_up({self.owner.pk: at.get("inbox")})[self.owner.pk]
        public = catchup.public_catch_up(at.get("public"))
        positions = {"inbox": own.position, "public": public.position}
        self.screen.behind({name: asdict(at) for name, at in positions.items()})
        return [*public.frames, *own.frames]

    def request(self, filter: str) -> list[tuple[dict[str, Any], int]]:
        """All pages of a filter, as they are now."""
        pages, before = [], None
        while True:
            found = inbox.page(self.owner, filter=filter, before=before, limit=4)
            page = {"items": found.items, "position": str(found.position)}
            pages.append((json.loads(json.dumps(page)), self.screen.generation))
            before = found.next
            if before is None:
                return pages

    def load(self) -> None:
        """As a page does that is opened: the position first, then what is there."""
        self.ask()
        for filter in ("all", "archived", "snoozed"):
            for page, generation in self.request(filter):
                self.screen.add_page(page, generation)
        self.screen.loaded = True
        self.shown.update(self.screen.items)

    def come_to_rest(self) -> None:
        """Reconnect once, and hear everything."""
        self.nudges.clear()
        self.line.clear()
        self.pages.clear()
        for frame in self._missing():
            assert self.screen.apply(json.loads(frame)) is not None, "the answer left a gap"
        if not self.screen.loaded:
            self.load()
        assert not self._missing(), "one resume was not enough"

    def kept(self, filter: str) -> list[dict[str, Any]]:
        """What it shows. A row that was pruned may stay until the next fresh start."""
        there = set(Notification.objects.values_list("pk", flat=True))
        rows = (row for row in self.screen.list(filter) if row["id"] in there or _is_public(row))
        return [_without_version(row) for row in rows]


def _is_public(item: dict[str, Any]) -> bool:
    return isinstance(item["id"], str)


def _without_version(item: dict[str, Any]) -> dict[str, Any]:
    """A mark of many rows gives them a version that their screens needn't know."""
    return {name: value for name, value in item.items() if name != "version"}


class Convergence(RuleBasedStateMachine):
    clock: ClassVar[Clock]

    @initialize()
    def a_quiet_site(self) -> None:
        get_broker().published.clear()  # type: ignore[attr-defined]
        self.clock.reset()
        users = get_user_model().objects
        joined = self.clock()
        self.alice, self.bob = (
            users.create(username=name, date_joined=joined) for name in ("alice", "bob")
        )
        self.group = Group.objects.create(name="both")
        self.group.user_set.set([self.alice, self.bob])
        self.tabs = [Tab(self.alice), Tab(self.alice), Tab(self.bob)]
        self.events: list[Event] = []
        self.count = 0
        for tab in self.tabs:
            tab.load()

    def teardown(self) -> None:
        try:
            for tab in getattr(self, "tabs", ()):
                self.agrees(tab)
        finally:
            _clear()

    # What happens on the site

    @rule(whom=st.sampled_from(["alice", "bob", "group", "both"]), collapse=st.booleans())
    def somebody_is_told(self, whom: str, collapse: bool) -> None:
        self.count += 1
        to: Any = [self.alice, self.bob] if whom == "both" else getattr(self, whom)
        text = f"for {whom} {self.count}"
        key = "repeat" if collapse else ""
        expires = self.clock.now + timedelta(days=5) if self.count % 5 == 0 else None
        self.events.append(notify(text, to=to, collapse=key, expires=expires))

    @rule()
    def everybody_is_told(self) -> None:
        self.count += 1
        self.events.append(announce(f"for everyone {self.count}"))

    @precondition(lambda self: self.events)
    @rule(which=numbers)
    def an_event_is_taken_back(self, which: int) -> None:
        retract(self.events.pop(which % len(self.events)))

    @rule(who=st.sampled_from(["alice", "bob"]), how=st.sampled_from(["create", "bulk", "delete"]))
    def another_program_writes(self, who: str, how: str) -> None:
        person = getattr(self, who)
        if how == "delete":
            for row in Notification.objects.filter(recipient=person)[:1]:
                row.delete()
            return
        self.count += 1
        text = f"for {who} {self.count}"
        event = Event.objects.create(data={"title": text}, text=text, due_at=None)
        row = Notification(event=event, recipient=person)
        row.save() if how == "create" else Notification.objects.bulk_create([row])

    @rule(tab=numbers, state=states, which=st.lists(numbers, min_size=1, max_size=3))
    def a_person_marks(self, tab: int, state: str, which: list[int]) -> None:
        ids = self._some(tab, which)
        inbox.mark(self._tab(tab).owner, state, ids)

    @rule(tab=numbers, which=numbers, days=st.integers(1, 3))
    def a_person_snoozes(self, tab: int, which: int, days: int) -> None:
        until = self.clock.now + timedelta(days=days)
        inbox.snooze(self._tab(tab).owner, self._some(tab, [which]), until)

    @rule(tab=numbers, state=st.sampled_from(["seen", "read", "archived"]), ago=st.integers(0, 3))
    def a_person_marks_all(self, tab: int, state: str, ago: int) -> None:
        at = self._tab(tab).screen.cursors["inbox"].version
        inbox.mark(self._tab(tab).owner, state, upto=max(0, at - ago))

    @rule(days=st.integers(1, 4))
    def time_passes(self, days: int) -> None:
        self.clock.now += timedelta(days=days)
        upkeep.wake_snoozed()
        upkeep.expire()

    @rule()
    def the_sweep_stamps(self) -> None:
        upkeep.stamp()

    @rule(days=st.integers(2, 8))
    def old_rows_are_pruned(self, days: int) -> None:
        upkeep.prune(self.clock.now - timedelta(days=days))

    @rule()
    def a_backup_is_restored(self) -> None:
        upkeep.renew_epoch()

    # What the network makes of it

    @rule(tab=numbers, which=numbers, again=st.booleans())
    def a_nudge_arrives(self, tab: int, which: int, again: bool) -> None:
        here = self._tab(tab)
        if here.nudges:
            index = which % len(here.nudges)
            here.take(here.nudges[index] if again else here.nudges.pop(index))

    @rule()
    def all_is_well_for_a_moment(self) -> None:
        for tab in self.tabs:
            waiting, tab.nudges = tab.nudges, []
            for nudge in waiting:
                tab.take(nudge)
                while tab.line:
                    tab.apply(tab.line.popleft())

    @rule(tab=numbers, which=numbers)
    def a_nudge_is_lost(self, tab: int, which: int) -> None:
        here = self._tab(tab)
        if here.nudges:
            del here.nudges[which % len(here.nudges)]

    @rule(tab=numbers)
    def a_tab_asks_what_it_missed(self, tab: int) -> None:
        self._tab(tab).ask()

    @rule(tab=numbers, many=st.integers(1, 4))
    def answers_arrive(self, tab: int, many: int) -> None:
        here = self._tab(tab)
        for _ in range(min(many, len(here.line))):
            here.apply(here.line.popleft())

    @rule(tab=numbers)
    def a_connection_is_cut(self, tab: int) -> None:
        self._tab(tab).line.clear()

    @rule(tab=numbers, filter=st.sampled_from(list(FILTERS)))
    def a_page_is_asked_for(self, tab: int, filter: str) -> None:
        here = self._tab(tab)
        here.pages += here.request(filter)

    @rule(tab=numbers, which=numbers)
    def a_page_arrives(self, tab: int, which: int) -> None:
        here = self._tab(tab)
        if here.pages:
            here.screen.add_page(*here.pages.pop(which % len(here.pages)))

    @rule(tab=numbers)
    def a_tab_falls_asleep(self, tab: int) -> None:
        self._tab(tab).asleep = self._tab(tab).screen.copy()

    @rule(tab=numbers)
    def a_tab_wakes_with_a_stale_cursor(self, tab: int) -> None:
        here = self._tab(tab)
        if here.asleep is not None:
            here.screen, here.asleep = here.asleep, None
            here.line.clear()
            here.pages.clear()

    @rule(tab=numbers)
    def a_screen_comes_to_rest(self, tab: int) -> None:
        self.agrees(self._tab(tab))

    # What must hold

    @invariant()
    def nudges_go_their_way(self) -> None:
        published = get_broker().published  # type: ignore[attr-defined]
        while published:
            nudge = published.popleft()
            for tab in getattr(self, "tabs", ()):
                tab.hear_of(nudge)

    def agrees(self, tab: Tab) -> None:
        """The state of a screen that heard everything is the state that is fetched."""
        upkeep.stamp()
        tab.come_to_rest()
        for filter in FILTERS:
            fresh = [item for page, _ in tab.request(filter) for item in page["items"]]
            assert tab.kept(filter) == [_without_version(item) for item in fresh], filter
        assert tab.screen.counts == asdict(inbox.counts(tab.owner))
        assert not list(upkeep.verify())
        self._is_private(tab)

    def _is_private(self, tab: Tab) -> None:
        theirs = Notification.objects.exclude(recipient=tab.owner).values_list("pk", flat=True)
        assert not tab.shown & set(theirs)

    def _tab(self, number: int) -> Tab:
        return self.tabs[number % SCREENS]

    def _some(self, tab: int, which: list[int]) -> list[int | str]:
        known = list(self._tab(tab).screen.items)
        return [known[number % len(known)] for number in which] if known else [1]


class Clock:
    """No two moments are the same, and days pass when they are told to."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.now = datetime(2026, 1, 5, 16, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


def _clear() -> None:
    for table in (*TABLES, Group.user_set.through, Group, get_user_model()):
        table.objects.all()._raw_delete("default")


@pytest.fixture
def small_limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Frames, chunks and snapshots so small that a few rows fill them."""
    settings.CLARION = {
        **settings.CLARION,
        "BROKER": f"{__name__}.RecordingBroker",
        "RUNNER": "inline",
        "INLINE_LIMIT": 1,
        "CHUNK_SIZE": 1,
    }
    for name, value in {
        "realtime.catchup._IN_A_FRAME": 2,
        "realtime.catchup._BEHIND": 8,
        "realtime.catchup._SNAPSHOT": 3,
        "inbox._SHOWN_IN_A_NUDGE": 2,
        "ledger._NAMED_IN_A_NUDGE": 1,
    }.items():
        monkeypatch.setattr(f"clarion.{name}", value)
    return


@contextmanager
def _clock() -> Iterator[None]:
    Convergence.clock = Clock()
    with mock.patch("django.utils.timezone.now", Convergence.clock):
        yield


def _converges(examples: int, steps: int) -> None:
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[*HealthCheck],
    )
    with _clock():
        run_state_machine_as_test(Convergence, settings=profile)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_limits")
def test_any_loss_repeat_reorder_and_reconnect_ends_in_the_freshly_fetched_state() -> None:
    _converges(examples=15, steps=35)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_limits")
def test_many_more_of_them_do() -> None:
    _converges(examples=100, steps=40)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_limits")
def test_a_bulk_mark_by_a_tab_that_was_behind_changes_the_same_rows_everywhere(alice: Any) -> None:
    tab = Tab(alice)
    tab.load()
    notify("first", to=alice)
    notify("second", to=alice)
    _hear_all(tab)
    inbox.mark_seen(alice, [_newest(alice)])

    inbox.mark(alice, "seen", upto=3)  # the first: its version is now 4
    _hear_all(tab)
    inbox.mark(alice, "archived", upto=3)  # of a tab that has not heard of that: only the second
    _hear_all(tab)

    assert [item["title"] for item in inbox.page(alice).items] == ["first"]
    assert [item["title"] for item in tab.screen.list("all")] == ["first"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_limits")
def test_a_row_that_was_not_stamped_yet_can_be_marked(alice: Any) -> None:
    event = Event.objects.create(data={"title": "by SQL"}, due_at=None)
    [row] = Notification.objects.bulk_create([Notification(event=event, recipient=alice)])

    change = inbox.mark_read(alice, [row.pk])

    assert change.counts == inbox.Counts(unread=0, unseen=0)
    upkeep.stamp()
    assert not list(upkeep.verify())


def _hear_all(tab: Tab) -> None:
    published = get_broker().published  # type: ignore[attr-defined]
    while published:
        tab.hear_of(published.popleft())
    while tab.nudges:
        tab.take(tab.nudges.pop(0))
        while tab.line:
            tab.apply(tab.line.popleft())


def _newest(person: Any) -> int:
    return Notification.objects.filter(recipient=person).latest("pk").pk
