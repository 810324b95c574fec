"""For the tests of sites and of channels: with unittest, with pytest, and nothing but Django.

with capture() as mailbox, Clock() as clock:
    notify(AssignmentDue(title="Fractions"), to=alice)
    clock.tick("15m")

assert mailbox.by("email").to(alice).titles == ["Fractions is due soon"]
"""

from clarion.samples import envelope as envelope
from clarion.testing.asserting import assert_not_notified as assert_not_notified
from clarion.testing.asserting import assert_notified as assert_notified
from clarion.testing.clock import Clock as Clock
from clarion.testing.clock import travel as travel
from clarion.testing.commits import run_after_commit as run_after_commit
from clarion.testing.contract import ChannelContract as ChannelContract
from clarion.testing.mailbox import Mailbox as Mailbox
from clarion.testing.mailbox import capture as capture
from clarion.testing.pictures import snapshots as snapshots

__all__ = [
    "ChannelContract",
    "Clock",
    "Mailbox",
    "assert_not_notified",
    "assert_notified",
    "capture",
    "envelope",
    "run_after_commit",
    "snapshots",
    "travel",
]
