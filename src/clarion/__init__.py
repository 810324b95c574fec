"""Notifications for Django that arrive.

    from clarion import notify
    notify("Your export is ready", to=user, url="/exports/7")

Everything a site needs is here; `clarion.inbox` reads and marks, `clarion.testing` helps in tests.
Names are loaded when they are first used, so that importing this before Django is set up is fine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clarion.audiences import EVERYONE as EVERYONE
    from clarion.audiences import Audience as Audience
    from clarion.audiences import audience as audience
    from clarion.events import announce as announce
    from clarion.events import anotify as anotify
    from clarion.events import cancel as cancel
    from clarion.events import notify as notify
    from clarion.events import retract as retract
    from clarion.events import toast as toast
    from clarion.types import Action as Action
    from clarion.types import Content as Content
    from clarion.types import Level as Level
    from clarion.types import NotificationType as NotificationType
    from clarion.types import register as register

__version__ = "0.1.0"

_HOMES = {
    "clarion.audiences": ("EVERYONE", "Audience", "audience"),
    "clarion.events": ("announce", "anotify", "cancel", "notify", "retract", "toast"),
    "clarion.types": ("Action", "Content", "Level", "NotificationType", "register"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [*_HOME_OF]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'clarion' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
