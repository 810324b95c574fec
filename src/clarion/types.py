"""What a site's developer writes: notification types, and the content they make.

A type is a frozen dataclass in `<app>/notifications.py`, found like `admin.py`:

    @register
    @dataclass(frozen=True, kw_only=True)
    class AssignmentDue(NotificationType):
        type = "assignment.due"
        category = "assignments"
        example = {"title": "Fractions, page 12"}

        title: str

        def content(self, event: Event) -> Content:
            return Content(title=f"{self.title} is due soon", url="/assignments/")
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from clarion import schema
from clarion.conf import settings
from clarion.exceptions import InvalidNotification, InvalidPayload, UnknownType
from clarion.routes import Route

if TYPE_CHECKING:
    from clarion.models import Event


class Level(StrEnum):
    """How much attention a notification asks for."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Action:
    """A button. `GET` opens `url`; `POST` sends to it (same site, with the CSRF token)."""

    label: str
    url: str
    method: str = "GET"

    def __post_init__(self) -> None:
        if self.method not in ("GET", "POST"):
            raise InvalidNotification(f"Action.method must be GET or POST, not {self.method!r}.")
        _check_url(self.url, "Action.url")


@dataclass(frozen=True)
class Content:
    """What a notification says, whatever channel carries it. All plain text, never HTML."""

    title: str
    body: str = ""
    url: str = ""
    image: str = ""
    actions: Sequence[Action] = ()

    def __post_init__(self) -> None:
        _check_url(self.url, "Content.url")
        _check_url(self.image, "Content.image")


class NotificationType(ABC):
    """Base of all types: frozen, keyword-only dataclasses whose fields are the payload."""

    type: ClassVar[str]
    """Dotted name, stored with every event: never change it once it was used."""
    category: ClassVar[str] = ""
    """What people see in their preferences; types of a category are switched together."""
    level: ClassVar[Level] = Level.INFO
    required: ClassVar[bool] = False
    """People can't switch it off, and it keeps no quiet hours (security, law)."""
    channels: ClassVar[Sequence[Route] | None] = None
    """How it reaches people, see `clarion.routes`; None: CLARION['DEFAULT_CHANNELS']."""
    example: ClassVar[Mapping[str, Any]]
    """A payload that shows what it looks like; feeds previews, checks and tests."""

    @abstractmethod
    def content(self, event: Event) -> Content:
        """Say it. `event` has actor, target, level and count (of collapsed repeats)."""

    @classmethod
    def routes(cls) -> Sequence[Route]:
        """The declared routes, or those of the site."""
        if cls.channels is not None:
            return cls.channels
        return [Route(channel=name) for name in settings.DEFAULT_CHANNELS]

    def payload(self) -> dict[str, Any]:
        """The fields as JSON values. Raise `InvalidPayload`."""
        try:
            return schema.encode(self)
        except InvalidPayload as error:
            raise InvalidPayload(f"{type(self).__name__}.{error}.") from None

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> NotificationType:
        """The instance that `payload()` came from. Raise `InvalidPayload`."""
        try:
            instance = schema.decode(cls, payload)
        except InvalidPayload as error:
            raise InvalidPayload(f"{cls.type}: {error}.") from None
        assert isinstance(instance, NotificationType)  # noqa: S101 - for the type checker
        return instance


TypeT = TypeVar("TypeT", bound=type[NotificationType])
_registry: dict[str, type[NotificationType]] = {}
_NAME = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")


def register(cls: TypeT) -> TypeT:
    """Make a type known. Usable as a decorator, above `@dataclass`.

    Raises:
        ImproperlyConfigured: bad or taken name, not a frozen dataclass, a field whose annotation
            can't be stored, or an example that doesn't fit the fields.
    """
    _check_class(cls)
    known = _registry.get(cls.type)
    if known is not None and (known.__module__, known.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise ImproperlyConfigured(f"{cls.__qualname__}.type {cls.type!r} is taken by {known!r}.")
    _registry[cls.type] = cls
    return cls


def get_type(name: str) -> type[NotificationType]:
    """Return the registered type called `name`. Raise `UnknownType`, with a suggestion."""
    try:
        return _registry[name]
    except KeyError:
        close = difflib.get_close_matches(name, _registry, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownType(f"No notification type is called {name!r}.{hint}") from None


def is_required(name: str) -> bool:
    """Whether the type can't be switched off; one whose app is gone can."""
    known = _registry.get(name)
    return known is not None and known.required


def all_types() -> list[type[NotificationType]]:
    """Every registered type, by name."""
    return [_registry[name] for name in sorted(_registry)]


def _check_class(cls: type[NotificationType]) -> None:
    where = cls.__qualname__
    if not (isinstance(cls, type) and issubclass(cls, NotificationType)):
        raise ImproperlyConfigured(f"{where} must be a subclass of NotificationType.")
    name = getattr(cls, "type", None)
    if not isinstance(name, str) or not _NAME.match(name) or len(name) > 100:
        raise ImproperlyConfigured(
            f"{where}.type must be a dotted lower-case name such as 'assignment.due', not {name!r}."
        )
    parameters = cls.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise ImproperlyConfigured(
            f"{where} must be a dataclass: put @dataclass(frozen=True, kw_only=True) under it."
        )
    _check_routes(cls, where)
    for name, hint in schema.hints_of(cls).items():
        if not schema.supported(hint):
            raise ImproperlyConfigured(f"{where}.{name}: {hint!r} can't be stored as JSON.")
    _check_example(cls, where)


def _check_routes(cls: type[NotificationType], where: str) -> None:
    routes = cls.channels or ()
    names = [route.channel for route in routes if isinstance(route, Route)]
    if len(names) < len(routes):
        raise ImproperlyConfigured(f"{where}.channels: use inbox(), email(), via() and their like.")
    if len(set(names)) < len(names):
        raise ImproperlyConfigured(f"{where}.channels: names a channel twice.")


def _check_example(cls: type[NotificationType], where: str) -> None:
    if not hasattr(cls, "example"):
        raise ImproperlyConfigured(f"{where}.example is missing; {{}} will do without fields.")
    try:
        cls.from_payload(cls.example)
    except InvalidPayload as error:
        raise ImproperlyConfigured(f"{where}.example doesn't fit the fields: {error}") from None


def _check_url(url: str, where: str) -> None:
    """Links lead to this site or to http(s): `javascript:` and friends never get in."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        leads_to_a_page = isinstance(url, str) and (is_web or not parts.scheme)
    except (ValueError, AttributeError):
        leads_to_a_page = False
    if not leads_to_a_page:
        raise InvalidNotification(f"{where}: {url!r:.60} is neither a path nor an http(s) URL.")


@register
@dataclass(frozen=True, kw_only=True)
class Message(NotificationType):
    """What `notify("some text", ...)` sends."""

    type = "message"
    category = "messages"
    example = {"title": "Your export is ready", "url": "/exports/7"}

    title: str
    body: str = ""
    url: str = ""

    def content(self, event: Event) -> Content:
        return Content(title=self.title, body=self.body, url=self.url)
