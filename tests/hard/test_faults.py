"""kill -9 whatever you like: every committed notification is shown, once, to its recipient alone.

Each scenario starts a whole site, lets a publisher write while two hundred clients listen, breaks
things, waits until all is quiet, and then asks the checker. The tables are shown with `pytest -s`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hard.checker import Verdict, check, read
from tests.hard.rig import SEED, Rig, prepare
from tests.hard.site.crash import KILLED, POINTS

if TYPE_CHECKING:
    from tools.services import Valkey

pytestmark = [pytest.mark.hard, pytest.mark.slow]

STEP = 12  # commits between two faults
PROCESSES = ["server 1", "server 2", "runner", "publisher", "valkey"]
LONGEST = 10.0  # seconds from a commit to a screen without a broker; about two on a quiet machine


def test_any_process_may_be_killed_at_any_time(new_site: dict[str, Any], valkey: Valkey) -> None:
    with Rig(**new_site) as rig:
        for victim in _twice(rig, PROCESSES):
            rig.write_more(STEP)
            _strike(rig, victim, valkey)
        rig.latecomers()
        rig.write_more(STEP)
        _must_hold(rig, "servers, runner, publisher and Valkey killed in turn")


def _twice(rig: Rig, victims: list[str]) -> list[str]:
    return [victim for _ in range(2) for victim in rig.dice.sample(victims, len(victims))]


def _strike(rig: Rig, victim: str, valkey: Valkey) -> None:
    if victim == "valkey":
        valkey.kill()
        valkey.start()  # and it remembers nothing
    else:
        rig.kill(victim)


def test_a_process_may_die_at_every_step_of_the_way(new_site: dict[str, Any]) -> None:
    with Rig(**new_site) as rig:
        left = dict(POINTS)
        while left:
            together = {point.victim: name for name, point in reversed(left.items())}
            rig.arm(together)
            rig.wait_until(rig.armed, f"not died {together}", 30)
            left = {name: left[name] for name in left if name not in together.values()}
        rig.latecomers()
        verdict = _must_hold(rig, "died at each step of the way")

    crashes = sum(member.deaths.count(KILLED) for member in rig.members.values())
    assert crashes == len(POINTS), verdict.numbers


def test_a_dead_broker_is_a_delay_of_seconds(new_site: dict[str, Any], valkey: Valkey) -> None:
    with Rig(**new_site) as rig:
        valkey.kill()
        rig.write_more(10 * STEP)
        verdict = _must_hold(rig, "Valkey dead")

    assert verdict.longest < LONGEST


def test_one_server_on_sqlite_may_be_killed_too(tmp_path: Path) -> None:
    database = f"sqlite://{tmp_path / 'site.sqlite3'}"
    with Rig(database=database, people=prepare(database), servers=1) as rig:
        for victim in _twice(rig, ["server 1", "publisher"]):
            rig.write_more(2 * STEP)
            rig.kill(victim)
        rig.latecomers()
        rig.write_more(2 * STEP)
        _must_hold(rig, "SQLite, one server with its runner, killed again and again")


def test_the_stock_consumer_loses_notifications_under_the_same_faults(
    new_site: dict[str, Any], valkey: Valkey
) -> None:
    """The negative control: a rig that finds nothing wrong here would find nothing anywhere."""
    with Rig(**new_site, stock=True) as rig:
        for victim in _twice(rig, ["server 1", "server 2", "valkey"]):
            rig.write_more(2 * STEP)
            _strike(rig, victim, valkey)
        rig.write_more(2 * STEP)
        rig.stop_publishing()
        lost, sent = rig.settle_stock()

    print(f"\nthe stock consumer, seed {SEED}\n  lost  {lost} of {sent}")
    assert 0 < lost < sent


def _must_hold(rig: Rig, title: str) -> Verdict:
    seconds, truth = rig.come_to_rest()
    journal = read(rig.journal)
    verdict = rig.crowd.look(lambda clients: check(journal, truth, clients))
    deaths = {name: member.deaths for name, member in rig.members.items() if member.deaths}
    verdict.numbers |= {f"{name} died": f"{len(how)} times" for name, how in deaths.items()}
    verdict.numbers["at rest after"] = f"{seconds:.1f} s"
    print(verdict.table(title, SEED))
    assert not verdict.violations, f"seed {SEED}\n{verdict.details()}\n{rig.logs()}"
    return verdict
