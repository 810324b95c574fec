"""Which runner does the work that outlives a request, and how to wake it.

The rows are the truth: a runner that isn't told finds them itself, a little later.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from clarion.conf import settings

ALIASES = {
    "embedded": "clarion.runners.embedded.EmbeddedRunner",
    "inline": "clarion.runners.inline.InlineRunner",
}


class Runner(ABC):
    """Calls `fanout.sweep()` until nothing is due, whenever it is woken and now and then."""

    @abstractmethod
    def wake(self) -> None:
        """Something is due. Called after commit, from any thread; returns at once."""

    def ensure(self) -> None:
        """A serving process has started; begin whatever has to run in it."""
        return


def wake() -> None:
    """Tell the configured runner that something is due."""
    _runner().wake()


def ensure() -> None:
    """Tell the configured runner that this process serves requests."""
    _runner().ensure()


@functools.cache
def _runner() -> Runner:
    path = ALIASES.get(settings.RUNNER, settings.RUNNER)
    try:
        runner = import_string(path)()
    except ImportError as error:
        raise ImproperlyConfigured(
            f"CLARION['RUNNER']: {settings.RUNNER!r} is neither one of {', '.join(ALIASES)} "
            f"nor the dotted path of a Runner ({error})."
        ) from error
    if not isinstance(runner, Runner):
        raise ImproperlyConfigured(f"CLARION['RUNNER']: {path} is not a clarion.runner.Runner.")
    return runner


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting == "CLARION":
        _runner.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="clarion.runner")
