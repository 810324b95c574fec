"""A channel whose receiver keeps a list: a file to which every process appends."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from clarion.channels.base import Channel, Envelope, Receipt


@dataclass(frozen=True, kw_only=True)
class LogChannel(Channel):
    """Writes the id of each envelope into a file.

    Args:
        path: the file.
        seconds: that one send takes.
        deadly: a file; whoever finds it removes it and dies after its next send, as by kill -9.
    """

    path: str
    seconds: float = 0
    deadly: str = ""
    needs_endpoint: ClassVar[bool] = False

    def address_of(self, recipient: Any) -> str:
        return f"log:{recipient.pk}"

    def send(self, envelope: Envelope) -> Receipt:
        time.sleep(self.seconds)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{envelope.id}\n".encode())
        os.close(file)
        if self.deadly and _removed(Path(self.deadly)):
            os.kill(os.getpid(), signal.SIGKILL)
        return Receipt(reference=envelope.id)


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
