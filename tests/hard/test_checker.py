"""The checker is not blind: whatever is wrong in the logs, it says so."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hard.checker import check
from tests.hard.client import Screen
from tests.hard.crowd import Shown

ITEM = {
    "id": 70, "event": 7, "version": 1, "message": "hello",
    "arrived_at": "2026-01-05T16:00:00.000Z",
    "seen": False, "read": False, "archived": False, "pinned": False, "snoozed_until": None,
}  # fmt: skip
COUNTS = {"unread": 1, "unseen": 1}
SHOWN = Shown(103.0, 7, 70, "hello", ITEM["arrived_at"])


class Run:
    """One notification to one person on one screen, as it should be."""

    def __init__(self) -> None:
        self.journal: dict[str, Any] = {
            "hello": {"kind": "notify", "to": [1], "intent": 101.0, "commit": 102.0},
            "never": {"kind": "notify", "to": [1], "intent": 101.0, "abort": 102.0},
        }
        event = {"id": 7, "text": "hello", "retracted": False, "public": False, "to": 1}
        self.truth: dict[str, Any] = {
            "events": [event],
            "rows": [[7, 1, 70]],
            "delivered": 1,
            "inboxes": {"1": {"items": [copy.copy(ITEM)], "counts": COUNTS}},
            "drift": [],
        }
        self.screen = Screen()
        frame = {"type": "change", "stream": "inbox", "epoch": "e", "after": 0, "version": 1}
        self.screen.apply(frame | {"items": [ITEM], "marks": [], "more": False, "counts": COUNTS})
        self.client: Any = SimpleNamespace(
            name="0", person={"pk": 1}, since=100.0, connected=1, screen=self.screen,
            first={7: SHOWN}, new=[SHOWN], faults=[],
        )  # fmt: skip

    def show(self, text: str, event: int) -> None:
        self.client.first[event] = Shown(103.0, event, event, text, "")

    def violations(self) -> set[str]:
        return set(check(self.journal, self.truth, [self.client]).violations)


FAULTS: dict[str, Callable[[Run], Any]] = {
    "I1 fan-out": lambda run: run.truth["rows"].append([7, 1, 71]),
    "I1 lost": lambda run: run.client.first.clear(),
    "I2 twice": lambda run: run.client.new.append(SHOWN),
    "I3 and close codes": lambda run: run.client.faults.append("went back"),
    "I4 rolled back": lambda run: run.show("never", 8),
    "I5 of another": lambda run: run.journal["hello"].update(to=[2]),
    "I7 state": lambda run: run.truth["inboxes"]["1"]["items"][0].update(read=True),
    "I9 resets": lambda run: run.screen.resets.append("inbox: floor"),
    "drift": lambda run: run.truth["drift"].append("inbox 1"),
}


def test_a_run_without_faults_is_in_order() -> None:
    assert Run().violations() == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_checker_sees(fault: str) -> None:
    run = Run()

    FAULTS[fault](run)

    assert fault in run.violations()
