"""kill -9 whatever you like: every committed notification is shown, once, to its recipient alone.

Each scenario starts a whole site, lets a publisher write while two hundred clients listen, breaks
things, waits until all is quiet, and then asks the checker. The tables are shown with `pytest -s`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hard.checker import Verdict, check, read
from tests.hard.rig import SEED, Rig
from tests.hard.site.crash import KILLED, POINTS

if TYPE_CHECKING:
    from tools.services import Valkey

pytestmark = [pytest.mark.hard, pytest.mark.slow]

PUBLISHING = 9.0  # seconds of faults in each scenario


def test_any_process_may_be_killed_at_any_time(
    new_database: Callable[[str], str], valkey: Valkey
) -> None:
    with Rig(database=new_database("any_process"), broker=valkey.url) as rig:
        next_kill, late = 0.5, False
        for passed in rig.during(PUBLISHING):
            if passed > PUBLISHING / 2 and not late:
                rig.latecomers()
                late = True
            if passed > next_kill:
                next_kill = passed + rig.dice.uniform(0.5, 1.2)
                _strike(rig, valkey)
        _must_hold(rig, "servers, runner, publisher and Valkey killed at random")


def _strike(rig: Rig, valkey: Valkey) -> None:
    victim = rig.dice.choice(["server 1", "server 2", "runner", "publisher", "valkey"])
    if victim == "valkey":
        valkey.kill()
        valkey.start()  # and it remembers nothing
    else:
        rig.kill(victim)


def test_a_process_may_die_at_every_step_of_the_way(
    new_database: Callable[[str], str], valkey: Valkey
) -> None:
    with Rig(database=new_database("every_step"), broker=valkey.url) as rig:
        struck = {point: _crashes(rig, point) for point in POINTS}
        rig.disarm()
        rig.latecomers()
        verdict = _must_hold(rig, "died at each step of the way", **struck)
        assert verdict.numbers["deaths"]


def _crashes(rig: Rig, point: str) -> int:
    """How often somebody died at `point`."""
    before = _deaths_by_crash(rig)
    rig.arm(point, chance=0.15)
    rig.wait_until(lambda: _deaths_by_crash(rig) == before, f"no crash {point}", 15)
    return _deaths_by_crash(rig) - before


def _deaths_by_crash(rig: Rig) -> int:
    return sum(member.deaths.count(KILLED) for member in rig.members.values())


def test_a_dead_broker_is_a_delay_of_seconds(
    new_database: Callable[[str], str], valkey: Valkey
) -> None:
    with Rig(database=new_database("dead_broker"), broker=valkey.url) as rig:
        valkey.kill()
        for _ in rig.during(PUBLISHING):
            continue
        verdict = _must_hold(rig, "Valkey dead")

    assert verdict.longest < 10


def test_one_server_on_sqlite_may_be_killed_too(tmp_path: Path) -> None:
    with Rig(database=f"sqlite://{tmp_path / 'site.sqlite3'}", servers=1) as rig:
        next_kill = 1.0
        for passed in rig.during(PUBLISHING):
            if passed > next_kill:
                next_kill = passed + rig.dice.uniform(1.5, 3)
                rig.kill(rig.dice.choice(["server 1", "server 1", "publisher"]))
        rig.latecomers()
        _must_hold(rig, "SQLite, one server with its runner, killed at random")


def test_the_stock_consumer_loses_notifications_under_the_same_faults(
    new_database: Callable[[str], str], valkey: Valkey
) -> None:
    """The negative control: a rig that finds nothing wrong here would find nothing anywhere."""
    with Rig(database=new_database("stock"), broker=valkey.url, stock=True) as rig:
        for number, _ in enumerate(rig.during(PUBLISHING)):
            if number % 30 == 10:
                rig.kill(rig.dice.choice(["server 1", "server 2"]))
            if number % 30 == 25:
                valkey.kill()
                valkey.start()
        rig.stop_publishing()
        lost, sent = rig.settle_stock()

    print(f"\nthe stock consumer, seed {SEED}\n  lost  {lost} of {sent}")
    assert lost > 0


def _must_hold(rig: Rig, title: str, **numbers: object) -> Verdict:
    rest = rig.come_to_rest()
    truth, journal = rig.witness("truth"), read(rig.journal)
    verdict = rig.crowd.look(lambda clients: check(journal, truth, clients))
    deaths = Counter({name: len(member.deaths) for name, member in rig.members.items()})
    verdict.numbers |= {"deaths": ", ".join(f"{n} {name}" for name, n in deaths.items() if n)}
    verdict.numbers |= {"quiet after": f"{rest:.1f} s", **numbers}
    print(verdict.table(title, SEED))
    assert not verdict.violations, f"seed {SEED}\n{verdict.details()}\n{rig.logs()}"
    return verdict
