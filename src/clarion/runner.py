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
    "worker": "clarion.runners.worker.WorkerRunner",
    "celery": "clarion.runners.celery.CeleryRunner",
    "django_tasks": "clarion.runners.django_tasks.DjangoTasksRunner",
    "inline": "clarion.runners.inline.InlineRunner",
}
_PATIENCE = 5.0  # seconds that a test waits for the threads of another test's settings
_PACKAGES = {"celery": "celery", "django_tasks": "tasks"}  # alias: the extra that installs them


class Runner(ABC):
    """Sees to it that `runners.work` is done until nothing is due, when woken and now and then."""

    @abstractmethod
    def wake(self) -> None:
        """Something is due. Called after commit, from any thread; returns at once."""

    def ensure(self) -> None:
        """A serving process has started; begin whatever has to run in it."""
        return

    def stop(self, timeout: float | None = None) -> None:
        """End what runs in this process, and wait for it, for `timeout` seconds at most."""
        return


def wake() -> None:
    """Tell the runner that something is due."""
    _runner().wake()


def ensure() -> None:
    """Tell the runner that this process serves requests."""
    _runner().ensure()


def install(runner: Runner) -> None:
    """This process does the work itself, whatever CLARION['RUNNER'] says for the others."""
    _installed[:] = [runner]


def _runner() -> Runner:
    return _installed[0] if _installed else _configured()


_installed: list[Runner] = []


@functools.cache
def _configured() -> Runner:
    path = ALIASES.get(settings.RUNNER, settings.RUNNER)
    try:
        runner = import_string(path)()
    except ImportError as error:
        raise ImproperlyConfigured(_what_is_missing(error)) from error
    if not isinstance(runner, Runner):
        raise ImproperlyConfigured(f"CLARION['RUNNER']: {path} is not a clarion.runner.Runner.")
    return runner


def _what_is_missing(error: ImportError) -> str:
    name = settings.RUNNER
    if name in _PACKAGES:
        extra = f'pip install "django-clarion[{_PACKAGES[name]}]"'
        return f"CLARION['RUNNER']: {name!r} needs a package that is not installed ({extra})."
    return (
        f"CLARION['RUNNER']: {name!r} is neither one of {', '.join(ALIASES)} "
        f"nor the dotted path of a Runner ({error})."
    )


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting == "CLARION":
        if _configured.cache_info().currsize:
            _configured().stop(_PATIENCE)
        _configured.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="clarion.runner")
