"""What travels: frames of protocol clarion.v1, positions in a stream, nudges between processes.

A frame is the UTF-8 JSON text that a client sees, whatever carries it (docs/reference/asyncapi.yaml
describes every one). It is encoded once and then only copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from clarion.exceptions import BadCursor

PROTOCOL = "clarion.v1"
EPHEMERAL = "-"  # the epoch of a nudge that is no change: a toast, or a word between processes
RETRY_WINDOW = (0, 1000)  # milliseconds; a client comes back at a random moment of it

_CURSOR = re.compile(r"([A-Za-z0-9_-]{0,32})\.([0-9]{1,18})", re.ASCII)
_encode = DjangoJSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream has come: the version counts changes, the epoch names their history."""

    epoch: str
    version: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read "epoch.version" as a client sends it. Raise `BadCursor` for anything else."""
        found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise BadCursor("a cursor is written epoch.version, for instance 3kq9zt.41")
        return cls(found[1], int(found[2]))


ZERO = Position("", 0)  # no inbox row yet: any epoch follows it


@dataclass(frozen=True, slots=True)
class Nudge:
    """A hint that `topic` moved from `after` to `version`; with the frame, when it is at hand.

    Topics: "inbox.<pk>", "public", "batch" and "control". An empty frame says only "something
    changed, ask the database". Nudges may be lost, repeated or reordered.
    """

    topic: str
    epoch: str
    after: int
    version: int
    frame: bytes


def pack(nudge: Nudge) -> bytes:
    """The nudge as bytes for a broker."""
    head = f"{nudge.topic} {nudge.epoch} {nudge.after} {nudge.version}\n"
    return head.encode() + nudge.frame


def unpack(data: bytes) -> Nudge:
    """Reverse of `pack`. Raise ValueError for bytes that are no nudge."""
    head, _, frame = data.partition(b"\n")
    topic, epoch, after, version = head.decode().split(" ")
    return Nudge(topic, epoch, int(after), int(version), frame)


def aside(topic: str, frame: bytes) -> Nudge:
    """A nudge that is no change of a stream: a toast, or a word between processes."""
    return Nudge(topic, EPHEMERAL, 0, 0, frame)


def change(
    stream: str,
    *,
    epoch: str,
    after: int,
    version: int,
    items: Iterable[Mapping[str, Any]] = (),
    marks: Iterable[Mapping[str, Any]] = (),
    counts: Mapping[str, int] | None = None,
    more: bool = False,
    message: str | None = None,
) -> bytes:
    """What changed in `stream` ("inbox" or "public") in the range (after, version].

    With `more` the client applies the items but keeps its cursor: the range is not complete yet.
    `message` is the plain text of the newest new item, for the simplest of clients.
    """
    frame: dict[str, Any] = {"type": "change", "stream": stream, "epoch": epoch, "after": after}
    frame |= {"version": version, "items": list(items), "marks": list(marks), "more": more}
    if counts is not None:
        frame["counts"] = counts
    if message is not None:
        frame["message"] = message
    return encode(frame)


def reset(
    stream: str,
    *,
    epoch: str,
    version: int,
    reason: str,
    items: Iterable[Mapping[str, Any]],
    counts: Mapping[str, int] | None,
    next: str | None = None,
) -> bytes:
    """A fresh start of `stream`; `reason` is "epoch", "floor", "future" or "behind"."""
    frame: dict[str, Any] = {"type": "reset", "stream": stream, "epoch": epoch, "version": version}
    frame |= {"reason": reason, "items": list(items), "next": next}
    if counts is not None:
        frame["counts"] = counts
    return encode(frame)


def toast(
    message: str, *, title: str = "", body: str = "", level: str = "info", url: str = ""
) -> bytes:
    """A message for open screens only, never stored."""
    frame = {"message": message, "title": title, "body": body, "level": level, "url": url}
    return encode({"type": "toast"} | frame)


def hello(
    *,
    client: str,
    heartbeat: int,
    streams: Mapping[str, Position],
    counts: Mapping[str, int] | None = None,
    retry: Sequence[int] = RETRY_WINDOW,
    time: datetime | None = None,
) -> bytes:
    """The first frame: where each stream stands, and the seconds between heartbeats."""
    now = (time or datetime.now(UTC)).isoformat(timespec="milliseconds")
    frame: dict[str, Any] = {"type": "hello", "protocol": PROTOCOL, "client": client}
    frame |= {"heartbeat": heartbeat, "time": now, "streams": _positions(streams)}
    if counts is not None:
        frame["counts"] = counts
    return encode(frame | {"retry": list(retry)})


def heartbeat(streams: Mapping[str, Position]) -> bytes:
    """A sign of life with the positions that were last read in the database."""
    return encode({"type": "heartbeat", "streams": _positions(streams)})


def reply(
    id: str,
    *,
    version: int | None = None,
    counts: Mapping[str, int] | None = None,
    changed: int = 0,
) -> bytes:
    """The answer to a command that was done."""
    answer: dict[str, Any] = {"type": "reply", "id": id, "ok": True, "changed": changed}
    if version is not None:
        answer |= {"version": version, "counts": counts}
    return encode(answer)


def refusal(id: str | None, *, title: str, detail: str = "", status: int = 400) -> bytes:
    """The answer to a command that was not done, with an RFC 9457 problem."""
    error = {"type": "about:blank", "title": title, "detail": detail, "status": status}
    return encode({"type": "reply", "id": id, "ok": False, "error": error})


def bye(code: int, retry: Sequence[int] | None = None) -> bytes:
    """The last frame before the server closes with `code`; `retry` is a window in milliseconds."""
    frame: dict[str, Any] = {"type": "bye", "code": code}
    if retry is not None:
        frame["retry"] = list(retry)
    return encode(frame)


def encode(frame: Mapping[str, Any]) -> bytes:
    """One line of UTF-8 JSON (so that it fits a `data:` field of server-sent events as it is)."""
    # A lone surrogate can't be sent; a question mark in its place can.
    return _encode(frame).encode("utf-8", "replace")


def _positions(streams: Mapping[str, Position]) -> dict[str, dict[str, Any]]:
    return {name: {"epoch": at.epoch, "version": at.version} for name, at in streams.items()}
