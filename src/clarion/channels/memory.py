"""Keeps what it is sent in a list: for tests, and to try things out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from clarion.channels.base import Channel, Envelope, Receipt

sent: list[Envelope] = []
"""All that was sent in this process. `clarion.testing.capture()` empties it."""


@dataclass(frozen=True, kw_only=True)
class MemoryChannel(Channel):
    """Everybody can be reached; what was sent dies with the process."""

    keep: int = 1000
    """Envelopes that are kept."""

    needs_endpoint: ClassVar[bool] = False
    at_risk: ClassVar[int] = 100

    def address_of(self, recipient: Any) -> str:
        return f"memory:{recipient.pk}"

    def send(self, envelope: Envelope) -> Receipt:
        sent.append(envelope)
        del sent[: -self.keep]
        return Receipt(reference=envelope.id)
