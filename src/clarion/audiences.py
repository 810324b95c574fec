"""Named audiences: who is meant by "teachers" is answered when it matters, in chunks.

@audience("guardians")
def guardians(class_id: int) -> QuerySet[User]:
    return User.objects.filter(role="guardian", children__classes=class_id)

notify("No school on Friday", to=Audience("guardians", class_id=7))
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth import get_user_model

from clarion.exceptions import UnknownAudience

if TYPE_CHECKING:
    from django.db.models import QuerySet

Expand = Callable[..., "QuerySet[Any]"]
ExpandT = TypeVar("ExpandT", bound=Expand)

_registry: dict[str, Expand] = {}


class Audience:
    """A registered audience, by name, with the arguments its function takes (JSON values).

    Raises:
        UnknownAudience: no such name, or the function doesn't take these arguments.
    """

    def __init__(self, name: str, /, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments
        self._check()

    def _check(self) -> None:
        expand = _find(self.name)
        try:
            inspect.signature(expand).bind(**self.arguments)
            json.dumps(self.arguments)
        except (TypeError, ValueError) as error:
            raise UnknownAudience(f"Audience {self.name!r}: {error}.") from error

    def members(self) -> QuerySet[Any]:
        """The users it means now, as a queryset."""
        return _find(self.name)(**self.arguments)

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"Audience({self.name!r}{arguments})"


def audience(name: str) -> Callable[[ExpandT], ExpandT]:
    """Register a function that returns the queryset of users called `name`."""

    def register(expand: ExpandT) -> ExpandT:
        if _registry.get(name, expand).__qualname__ != expand.__qualname__:
            raise ValueError(f"Audience {name!r} is registered already: {_registry[name]!r}.")
        _registry[name] = expand
        return expand

    return register


def _find(name: str) -> Expand:
    try:
        return _registry[name]
    except KeyError:
        close = difflib.get_close_matches(name, _registry, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(_registry))}."
        raise UnknownAudience(f"No audience is called {name!r}. {hint}") from None


@audience("everyone")
def everyone() -> QuerySet[Any]:
    """All active users: one row each, made in chunks. For open pages alone see `announce()`."""
    from django.contrib.auth import get_user_model

    return get_user_model()._default_manager.filter(is_active=True)


EVERYONE = Audience("everyone")


@audience("public")
def public() -> QuerySet[Any]:
    """Whoever looks: the audience of `announce()`, which makes rows only when they are wanted."""
    return everyone()


PUBLIC = Audience("public")


def users_have(name: str) -> bool:
    """Whether the site's user model has this column; `is_active` and `date_joined` are optional."""
    return any(entry.name == name for entry in get_user_model()._meta.concrete_fields)
