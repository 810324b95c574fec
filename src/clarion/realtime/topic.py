"""One stream as this process knows it: how far it has come, and who is in step with it."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from clarion.realtime.frames import ZERO, Nudge, Position

if TYPE_CHECKING:
    from clarion.realtime.connection import Connection

_HEARD_AT_MOST = 64  # nudges kept for those who are joining; beyond that they read again


class Verdict(Enum):
    REPEAT = "what it tells is known"
    NEXT = "it follows what is known"
    GAP = "something in between is missing"


def judge(at: Position, nudge: Nudge) -> Verdict:
    """What `nudge` is to somebody at `at`. Ranges decide, so coalescing never looks like loss."""
    same = nudge.epoch == at.epoch or at == ZERO
    if not nudge.frame and not nudge.version:
        return Verdict.GAP  # it only says that something changed
    if same and nudge.version <= at.version:
        return Verdict.REPEAT
    if same and nudge.frame and nudge.after <= at.version:
        return Verdict.NEXT
    return Verdict.GAP


def behind(at: Position, other: Position) -> bool:
    """Whether somebody at `at` misses something that `other` includes."""
    if at == ZERO or other == ZERO or at.epoch == other.epoch:
        return at.version < other.version
    return True


class Topic:
    """The position is the topic's, not each connection's: all who are `live` are in step."""

    __slots__ = (
        "connections",
        "heard",
        "joining",
        "live",
        "name",
        "pk",
        "position",
        "queue",
        "settled",
        "shard",
        "stale",
        "stream",
        "verified",
    )

    def __init__(self, name: str, pk: Any) -> None:
        self.name = name
        self.pk = pk  # the recipient's primary key; None for the public stream
        self.stream = "public" if pk is None else "inbox"
        self.shard = ""  # of the broker, where its nudges come in
        self.position: Position | None = None  # None until somebody has read it in the database
        self.settled: Position = ZERO  # everybody in `live` surely got this far
        self.verified: Position = ZERO  # as last read in the database
        self.live: set[Connection] = set()
        self.connections = 0  # live or not
        self.joining = 0  # connections on the way into `live`
        self.heard: list[Nudge] | None = None  # what came while somebody is on the way
        self.queue: deque[tuple[bytes, Position | None]] | None = None  # for large audiences
        self.stale = False  # something is known to be missing: ask the database as soon as possible

    def adopt(self, position: Position) -> None:
        """Nobody else is in step with anything, so what was just read is the truth."""
        self.position = self.settled = self.verified = position

    def begin_joining(self) -> None:
        self.joining += 1
        if self.heard is None:
            self.heard = []

    def end_joining(self) -> None:
        self.joining -= 1
        if not self.joining:
            self.heard = None

    def remember(self, nudge: Nudge) -> None:
        if self.heard is not None:
            if len(self.heard) >= _HEARD_AT_MOST:
                self.heard.clear()
            self.heard.append(nudge)

    def missing(self, at: Position) -> list[Nudge] | None:
        """What somebody at `at` needs to be in step; None when only the database knows."""
        if self.position is None:
            self.adopt(at)
            for nudge in self.heard or ():
                self.pass_by(nudge)
        if not self.live and not self.queue and behind(self.known, at):
            self.adopt(at)
        return self._run(at) if behind(at, self.known) else []

    @property
    def known(self) -> Position:
        return self.position or ZERO

    def pass_by(self, nudge: Nudge) -> None:
        """Nobody is in step, so nothing can be missed: only note how far the stream has come."""
        if nudge.version and judge(self.known, nudge) is not Verdict.REPEAT:
            self.position = self.settled = Position(nudge.epoch, nudge.version)

    def _run(self, at: Position) -> list[Nudge] | None:
        run: list[Nudge] = []
        for nudge in self.heard or ():
            verdict = judge(at, nudge)
            if verdict is Verdict.GAP:
                return None
            if verdict is Verdict.NEXT:
                run.append(nudge)
                at = Position(nudge.epoch, nudge.version)
        return run if self.position == at else None
