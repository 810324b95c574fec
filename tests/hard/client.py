"""The client rules of clarion.v1 once more, in Python and with nothing of clarion's own.

A `Screen` is what one client knows. It does no I/O: the convergence test hands it frames that were
lost, repeated and reordered, the fault tests those of a real socket. What it must end in is always
the same: what a freshly fetched inbox says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

Item = dict[str, Any]
Frame = Mapping[str, Any]

STREAMS = ("inbox", "public")
FILTERS = {
    "all": lambda item: not item["archived"] and not item["snoozed_until"],
    "unread": lambda item: FILTERS["all"](item) and not item["read"],
    "archived": lambda item: item["archived"],
    "snoozed": lambda item: not item["archived"] and bool(item["snoozed_until"]),
}
MARKS: dict[str, Item] = {  # those that are given to everything up to a version
    "seen": {"seen": True},
    "read": {"seen": True, "read": True},
    "archived": {"archived": True, "pinned": False},
}


class Cursor(NamedTuple):
    """How far a client has come in a stream."""

    epoch: str
    version: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        found = re.fullmatch(r"(.*)\.(\d+)", text)
        assert found, text
        return cls(found[1], int(found[2]))

    @classmethod
    def of(cls, position: Mapping[str, Any]) -> Cursor:
        return cls(position["epoch"], position["version"])


class Screen:
    """What one client knows, and what it makes of each frame."""

    def __init__(self) -> None:
        self.items: dict[int | str, Item] = {}
        self.cursors: dict[str, Cursor] = {}
        self.loaded = False  # whether pages were fetched since the last fresh start
        self.generation = 0  # fresh starts
        self.resets: list[str] = []  # and why
        self._counts = {"unread": 0, "unseen": 0}
        self._counted_at = Cursor("", -1)
        self._marks: list[Item] = []

    def copy(self) -> Screen:
        """A tab as it was put to sleep."""
        return deepcopy(self)

    # What comes in

    def apply(self, frame: Frame) -> list[Item] | None:
        """Take a change or a reset. Returns what is new here, or None where a part is missing."""
        if frame["type"] == "reset":
            return self._start_afresh(frame)
        stream, after, version = frame["stream"], frame["after"], frame["version"]
        cursor = self.cursors.setdefault(stream, Cursor(frame["epoch"], after))
        if cursor.epoch not in ("", frame["epoch"]) or after > cursor.version:
            return None
        self._count(frame)
        if version <= cursor.version:
            return []
        arrived = [item for item in frame["items"] if self._put(item, live=True)]
        for mark in frame["marks"]:
            self._marks.append({**mark, "version": version})
            self.items = {id: _marked(item, mark) for id, item in self.items.items()}
        if not frame["more"]:
            self.cursors[stream] = Cursor(frame["epoch"], version)
        return arrived

    def behind(self, streams: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether this screen misses something that a hello or heartbeat tells of."""
        missing = False
        for stream, position in streams.items():
            told = Cursor.of(position)
            cursor = self.cursors.setdefault(stream, told)  # without a cursor: live from now on
            known = cursor.epoch in ("", told.epoch)
            missing |= told.version > cursor.version if known else True
        return missing

    def greet(self, frame: Frame) -> bool:
        """Take what a hello, a heartbeat or a poll says of the streams. See `behind`."""
        if frame.get("counts") and "inbox" in frame["streams"]:
            self._count({**frame["streams"]["inbox"], "counts": frame["counts"]})
        return self.behind(frame["streams"])

    def add_page(self, page: Mapping[str, Any], generation: int) -> None:
        """Take a page, whose position was read before it. Dropped after a fresh start."""
        if generation != self.generation:
            return
        at = Cursor.parse(page["position"])
        for item in page["items"]:
            for mark in self._marks:
                if mark["version"] > at.version:
                    item = _marked(item, mark)
            self._put(item, live=False)

    def _start_afresh(self, frame: Frame) -> list[Item]:
        stream = frame["stream"]
        self.items, self._marks, self.loaded = {}, [], False
        self.generation += 1
        self.resets.append(f"{stream}: {frame['reason']}")
        self.cursors[stream] = Cursor(frame["epoch"], frame["version"])
        if stream == "inbox":
            self._counted_at = Cursor("", -1)
            self._count(frame)
        for item in frame["items"]:
            self._put(item, live=False)
        return []

    def _count(self, frame: Frame) -> None:
        at = Cursor(frame["epoch"], frame["version"])
        is_older = at.epoch == self._counted_at.epoch and at.version < self._counted_at.version
        if "counts" in frame and not is_older:
            self._counts, self._counted_at = dict(frame["counts"]), at

    def _put(self, item: Item, *, live: bool) -> bool:
        """Returns whether it is new here. What is removed stays: an older page would revive it."""
        previous = self.items.get(item["id"])
        if previous and previous["version"] >= item["version"] + live:
            return False
        self.items[item["id"]] = {**(previous or {}), **item}
        if item.get("removed") or item["seen"] or not FILTERS["unread"](item):
            return False
        known = previous or self.items.get(f"a{item['event']}")
        if _is_twin(item):
            known = known or self._own(item)
        return not known or known.get("arrived_at", "") < item["arrived_at"]

    # What it shows

    def list(self, filter: str = "all") -> list[Item]:
        shown = [item for item in self._shown() if FILTERS[filter](item)]
        return sorted(shown, key=newest_first, reverse=True)

    @property
    def counts(self) -> dict[str, int]:
        """The server's, and on top announcements that have no row of this person yet."""
        twins = [item for item in self._shown() if _is_twin(item)]
        return {name: number + len(twins) for name, number in self._counts.items()}

    def query(self) -> dict[str, str]:
        return {stream: str(cursor) for stream, cursor in self.cursors.items()}

    def _shown(self) -> Iterable[Item]:
        for item in self.items.values():
            if not item.get("removed") and not (_is_twin(item) and self._own(item)):
                yield item

    def _own(self, twin: Item) -> Item | None:
        """An announcement gives way to the person's own row of the same event."""
        rows = (item for item in self.items.values() if not _is_twin(item))
        return next((row for row in rows if row.get("event") == twin["event"]), None)


def _marked(item: Item, mark: Mapping[str, Any]) -> Item:
    concerned = not _is_twin(item) and item["version"] <= mark["upto"] and not item.get("removed")
    return {**item, **MARKS[mark["as"]]} if concerned and FILTERS["all"](item) else item


def newest_first(item: Item) -> tuple[bool, str, int]:
    return item["pinned"], item["arrived_at"], int(str(item["id"]).lstrip("a"))


def _is_twin(item: Item) -> bool:
    return isinstance(item["id"], str)
