"""What leaves the screen, kept in a list instead of being sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, overload

from django.core.exceptions import ImproperlyConfigured

from clarion.channels import memory
from clarion.channels.base import Envelope, aliases, get_channel
from clarion.channels.memory import MemoryChannel
from clarion.models import Endpoint
from clarion.testing.stillness import still

_KEPT = 100_000  # envelopes


@contextmanager
def capture() -> Iterator[Mailbox]:
    """Nothing leaves in here: whatever channels are handed ends up in the mailbox.

    Everybody can be reached by every configured channel. The site's runner rests: `Clock`,
    `run_after_commit` or `outbox.deliver_due()` do what is due.

        with capture() as mailbox: ...                          # anywhere
        self.mailbox = self.enterContext(capture())             # in setUp of a TestCase
    """
    before = memory.sent[:]
    memory.sent.clear()
    mailbox = Mailbox(memory.sent)
    try:
        with still(CHANNELS={alias: _in_place_of(alias) for alias in aliases()}):
            yield mailbox
    finally:
        mailbox.close()
        memory.sent[:] = before


def _in_place_of(alias: str) -> dict[str, Any]:
    gathers = "Captured" if _gathers(alias) else "CapturedSingly"
    return {"BACKEND": f"{__name__}.{gathers}", "keep": _KEPT}


def _gathers(alias: str) -> bool:
    try:
        return get_channel(alias).gathers
    except ImproperlyConfigured:  # its package or its keys may be missing where tests run
        return True


@dataclass(frozen=True, kw_only=True)
class Captured(MemoryChannel):
    """In the place of a channel for people."""


@dataclass(frozen=True, kw_only=True)
class CapturedSingly(MemoryChannel):
    """In the place of a channel for machines: many at once stay many."""

    gathers: ClassVar[bool] = False


class Mailbox(Sequence[Envelope]):
    """Envelopes in the order in which they were sent. Equal to a list of the same."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, sent: list[Envelope]) -> None:
        self._sent = sent

    @property
    def sent(self) -> list[Envelope]:
        """What was sent until now, as a list of its own."""
        return list(self._sent)

    @property
    def titles(self) -> list[str]:
        """The titles in all envelopes, in order."""
        return [entry.content.title for envelope in self._sent for entry in envelope.entries]

    def to(self, whom: Any) -> Mailbox:
        """Those for a user, or for an `Endpoint`."""
        if isinstance(whom, Endpoint):
            return Mailbox([each for each in self._sent if each.address.endpoint == whom.pk])
        return Mailbox([each for each in self._sent if each.recipient == whom])

    def by(self, channel: str) -> Mailbox:
        """Those that left by a channel. Raise `ValueError` for one that isn't configured."""
        if channel not in aliases():
            known = ", ".join(aliases()) or "none"
            raise ValueError(f"No channel is called {channel!r}. Configured channels: {known}.")
        return Mailbox([each for each in self._sent if each.channel == channel])

    def clear(self) -> None:
        """Forget what was sent until now."""
        self._sent.clear()

    def close(self) -> None:
        """Keep what there is: what is sent from now on goes elsewhere."""
        self._sent = list(self._sent)

    def __len__(self) -> int:
        return len(self._sent)

    @overload
    def __getitem__(self, index: int) -> Envelope: ...
    @overload
    def __getitem__(self, index: slice) -> list[Envelope]: ...
    def __getitem__(self, index: int | slice) -> Envelope | list[Envelope]:
        return self._sent[index]

    def __eq__(self, other: object) -> bool:
        return self._sent == (other._sent if isinstance(other, Mailbox) else other)

    def __repr__(self) -> str:
        lines = [f"  {_said(envelope)}" for envelope in self._sent]
        return "\n".join([f"<Mailbox: {len(lines)} sent>", *lines])


def _said(envelope: Envelope) -> str:
    titles = "; ".join(entry.content.title for entry in envelope.entries)
    return f"{envelope.channel} to {envelope.recipient or envelope.address.label}: {titles}"
