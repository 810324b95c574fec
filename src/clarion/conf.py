"""One `CLARION` dict in the site's settings; everything has a default, unknown keys are refused.

from clarion.conf import settings
settings.HEARTBEAT
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of `CLARION`. Times are in seconds, sizes in bytes, unless a name says otherwise."""

    # how it runs
    BROKER: str | None = None
    """Between processes: "memory", "layer[:alias]", "redis://...", a dotted path. None chooses."""
    RUNNER: str = "embedded"
    """What does the work: "embedded", "worker", "celery", "django_tasks", "inline", or a path."""
    SHARDS: int = 64
    """Broker topics that recipients are spread over; more means less idle traffic per process."""

    # fan-out
    INLINE_LIMIT: int = 100
    """Audiences up to this size are served by the process that committed; larger by the runner."""
    CHUNK_SIZE: int = 5000
    """Recipients in one fan-out transaction."""
    LEASE: int = 30
    """How long a claim on an event holds before another process may take over."""
    SWEEP_INTERVAL: float = 1.0
    """How often the runner looks for what is due."""
    RETENTION_DAYS: int | None = None
    """`clarion_prune` removes rows older than this; None keeps them for ever."""

    # limits of what is accepted
    TITLE_LIMIT: int = 200
    """Characters in a title."""
    BODY_LIMIT: int = 4000
    """Characters in a body."""
    PAYLOAD_LIMIT: int = 16_384
    """Bytes of a payload as JSON."""
    PAGE_SIZE: int = 20
    """Notifications on a page when nobody asks for another number."""
    MAX_PAGE_SIZE: int = 100
    """The most that may be asked for."""

    # realtime
    WEBSOCKET_PATH: str = "/ws/notifications/"
    """Where `clarion.asgi.mount` and the bell expect the socket."""
    HEARTBEAT: float = 25
    """Between two heartbeats to a client."""
    RECONCILE_INTERVAL: float = 10
    """Between two comparisons of the connected clients with the database."""
    RECONCILE_INTERVAL_UNHEALTHY: float = 1
    """The same while the broker is not answering."""
    POLL_INTERVAL: float = 10
    """Between two polls of a client that has neither WebSocket nor SSE."""
    SLOW_TIMEOUT: float = 10
    """A client that takes nothing for this long is closed with 4001."""
    MAX_FRAME_SIZE: int = 16_384
    """The largest frame accepted from a client."""
    MAX_CONNECTIONS_PER_USER: int = 20
    """Open connections of one person in one process."""
    TICKET_AGE: int = 600
    """How long a connection ticket may be used."""
    DRAIN_SECONDS: float = 5
    """How long a stopping process takes to send its clients elsewhere."""
    ALLOWED_ORIGINS: list[str] = field(default_factory=list)
    """Origins besides the site's own and CSRF_TRUSTED_ORIGINS that may connect."""
    PUBLIC_ANONYMOUS: bool = False
    """Whether visitors who aren't signed in hear announcements."""

    # beyond the screen
    CHANNELS: dict[str, Any] = field(default_factory=dict)
    """Options by alias: {"email": {}, "slack": {"BACKEND": "apprise"}}."""
    DEFAULT_CHANNELS: list[str] = field(default_factory=lambda: ["inbox"])
    """The channels of types that name none, and of plain texts."""
    DEFAULTS: dict[str, Any] = field(default_factory=dict)
    """What holds where nobody chose: {role or "*": {scope: {channel: "off|instant|digest"}}}."""
    SITE_URL: str = ""
    """Scheme and host that links outside the site begin with: "https://school.example"."""
    DELIVERY_LEASE: int = 120
    """How long a claim on a delivery holds before another worker may take over."""
    STORM_LIMIT: str | None = "60/h"
    """To one person by one channel; what is over it is sent as one. None for no limit."""
    DIGEST_HOUR: int = 8
    """Local hour of daily and weekly digests for people who chose no other."""

    # people
    RECIPIENT_LANGUAGE: str | None = None
    """Dotted path of a function `(user) -> language code`, for texts made outside a request."""
    RECIPIENT_TIME_ZONE: str | None = None
    """Field of the user model with an IANA zone, for people who chose none themselves."""
    RECIPIENT_ROLE: str | None = None
    """Field of the user model that says the role in DEFAULTS: "role" or "profile__role"."""


def load(given: object) -> Settings:
    """Return the settings made of `given`, the site's `CLARION`.

    Raises:
        ImproperlyConfigured: not a dict, an unknown key, or a value of the wrong kind.
    """
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"CLARION must be a dict, not {type(given).__name__}.")
    known = {entry.name: entry for entry in fields(Settings)}
    for key, value in given.items():
        if key not in known:
            raise ImproperlyConfigured(f"CLARION[{key!r}]: unknown key.{_suggestion(key, known)}")
        _check_kind(key, value)
    return Settings(**given)


def _suggestion(key: object, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(str(key).upper(), known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Known keys: {', '.join(sorted(known))}."


_HINTS = get_type_hints(Settings)
_ZERO_ALLOWED = {"INLINE_LIMIT", "DRAIN_SECONDS", "DIGEST_HOUR"}


def _check_kind(key: str, value: object) -> None:
    hint = _HINTS[key]
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(option) or option for option in options)
    fits = type(value) in kinds or (float in kinds and type(value) is int)
    if not fits:
        expected = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise ImproperlyConfigured(
            f"CLARION[{key!r}] must be of type {expected}, not {type(value).__name__}."
        )
    if bool not in kinds and isinstance(value, int | float) and not _in_range(key, value):
        raise ImproperlyConfigured(f"CLARION[{key!r}] must be above zero, not {value!r}.")


def _in_range(key: str, value: float) -> bool:
    return value > 0 or (value == 0 and key in _ZERO_ALLOWED)


class _LazySettings:
    """Reads `CLARION` at first use, and anew when a test overrides it."""

    _loaded: Settings | None = None

    def __getattr__(self, name: str) -> Any:
        if self._loaded is None:
            self._loaded = load(getattr(django_settings, "CLARION", {}))
            self.__dict__.update(vars(self._loaded))  # so that this is not asked again
        return getattr(self._loaded, name)

    def reset(self) -> None:
        self.__dict__.clear()


if TYPE_CHECKING:
    settings: Settings
else:
    settings = _LazySettings()


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting == "CLARION" and isinstance(settings, _LazySettings):
        settings.reset()


setting_changed.connect(_on_setting_changed, dispatch_uid="clarion.conf")
