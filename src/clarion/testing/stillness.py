"""A site on which nothing happens by itself, so that a test says what happens when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings as django_settings
from django.test import override_settings

from clarion.conf import settings
from clarion.runner import Runner
from clarion.runners import work

RUNNER = "clarion.testing.stillness.StillRunner"


class StillRunner(Runner):
    """Does nothing when it is woken: the test does what is due."""

    def wake(self) -> None:
        return


@contextmanager
def still(**changes: Any) -> Iterator[None]:
    """The site as it is, with the still runner and other `changes` of CLARION."""
    if settings.RUNNER == RUNNER and not changes:
        yield
        return
    given = getattr(django_settings, "CLARION", {})
    with override_settings(CLARION={**given, "RUNNER": RUNNER, **changes}):
        yield


def work_off() -> None:
    """Fan out, wake, expire and send until nothing is due."""
    while work.sweep():
        continue
