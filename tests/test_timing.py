"""Quiet hours, digests and retries: over midnight, over changes of the clocks, never lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.timing import Window, local, next_attempt, next_digest, open_at, quiet_until

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # half an hour of daylight saving
APIA = ZoneInfo("Pacific/Apia")  # left out 30 December 2011
ZONES = [ZoneInfo("UTC"), BERLIN, KOLKATA, LORD_HOWE, APIA, ZoneInfo("America/St_Johns")]
NIGHT = Window(time(22), time(7))

moments = st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
windows = st.builds(
    Window,
    st.times(),
    st.times(),
    st.frozensets(st.integers(0, 6), min_size=1, max_size=7),
)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("2026-11-20 21:59", None),
        ("2026-11-20 22:00", "2026-11-21 07:00"),
        ("2026-11-21 03:00", "2026-11-21 07:00"),
        ("2026-11-21 07:00", None),
    ],
)
def test_quiet_hours_go_over_midnight(now, over):
    assert quiet_until(at(now), [NIGHT], BERLIN) == (over and at(over))


def test_windows_that_touch_are_one():
    evening, night = Window(time(20), time(23)), Window(time(23), time(6))

    assert quiet_until(at("2026-11-20 21:00"), [evening, night], BERLIN) == at("2026-11-21 06:00")


def test_a_window_begins_only_on_its_days():
    friday = Window(time(22), time(7), frozenset({4}))

    assert quiet_until(at("2026-11-20 23:00"), [friday], BERLIN) == at("2026-11-21 07:00")
    assert quiet_until(at("2026-11-21 23:00"), [friday], BERLIN) is None


def test_an_end_that_the_clocks_skip_is_the_first_moment_after_the_gap():
    window = Window(time(22), time(2, 30))  # 02:00 to 03:00 isn't there on 29 March 2026

    over = quiet_until(at("2026-03-28 23:00"), [window], BERLIN)

    assert over == datetime(2026, 3, 29, 1, tzinfo=UTC)  # 03:00 summer time


def test_an_end_that_happens_twice_is_the_first():
    window = Window(time(22), time(2, 30))  # 02:30 comes twice on 25 October 2026

    assert quiet_until(at("2026-10-24 23:00"), [window], BERLIN) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )


def test_a_day_that_was_left_out_is_passed_over():
    assert local(date(2011, 12, 30), time(8), APIA) == local(date(2011, 12, 31), time(0), APIA)


def test_quiet_all_week_ends_all_the_same():
    always = Window(time(0), time(0))
    now = at("2026-11-20 12:00")

    over = quiet_until(now, [always], BERLIN)

    assert over is not None
    assert now < over < now + timedelta(days=20)


def test_send_windows_open_when_they_say():
    office = Window(time(9), time(17), frozenset({0, 1, 2, 3, 4}))

    assert open_at(at("2026-11-20 12:00"), [office], BERLIN) is None
    assert open_at(at("2026-11-20 18:00"), [office], BERLIN) == at("2026-11-23 09:00")
    assert open_at(at("2026-11-20 18:00"), [], BERLIN) is None


@pytest.mark.parametrize(
    ("cadence", "after", "expected"),
    [
        ("daily", "2026-11-20 07:59", "2026-11-20 08:00"),
        ("daily", "2026-11-20 08:00", "2026-11-21 08:00"),
        ("weekly", "2026-11-20 08:00", "2026-11-23 08:00"),
        ("weekly", "2026-11-23 07:00", "2026-11-23 08:00"),
        ("hourly", "2026-11-20 07:59", "2026-11-20 08:00"),
        ("hourly", "2026-11-20 08:00", "2026-11-20 09:00"),
    ],
)
def test_digests_go_out_at_their_hour(cadence, after, expected):
    assert next_digest(at(after), cadence, time(8), 0, BERLIN) == at(expected)


def test_an_hourly_digest_keeps_to_the_hours_of_the_zone():
    after = at("2026-11-20 10:10", KOLKATA)

    assert next_digest(after, "hourly", time(8), 0, KOLKATA) == at("2026-11-20 11:00", KOLKATA)


@given(moments, st.lists(windows, max_size=3), st.sampled_from(ZONES))
def test_the_end_of_quiet_lies_ahead_and_is_not_quiet_itself(moment, quiet, zone):
    over = quiet_until(moment, quiet, zone)

    if over is not None:
        assert over > moment
        later = quiet_until(over, quiet, zone)
        assert later is None or over - moment >= timedelta(days=9)


@given(
    moments, st.sampled_from(["hourly", "daily", "weekly"]), st.times(), st.integers(0, 6),
    st.sampled_from(ZONES),
)  # fmt: skip
def test_a_digest_is_never_further_away_than_its_period(moment, cadence, hour, day, zone):
    longest = {"hourly": timedelta(hours=1), "daily": timedelta(hours=49), "weekly": timedelta(15)}

    following = next_digest(moment, cadence, hour, day, zone)

    assert moment < following <= moment + longest[cadence]


WAITS = [timedelta(seconds=30), timedelta(minutes=2)]


def test_waits_between_attempts_grow_and_end():
    now = at("2026-11-20 12:00")

    assert next_attempt(1, WAITS, now=now, jitter=0) == now + timedelta(seconds=30)
    assert next_attempt(2, WAITS, now=now, jitter=1) == now + timedelta(minutes=2, seconds=24)
    assert next_attempt(3, WAITS, now=now, jitter=0) is None


def test_what_the_other_side_asks_for_is_kept_up_to_a_day():
    now = at("2026-11-20 12:00")

    assert next_attempt(1, WAITS, now=now, jitter=0, retry_after=90) == now + timedelta(seconds=90)
    assert next_attempt(1, WAITS, now=now, jitter=0, retry_after=1) == now + timedelta(seconds=30)
    assert next_attempt(1, WAITS, now=now, jitter=0, retry_after=1e9) == now + timedelta(days=1)
