"""Everything that a site says, as texts to compare with files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models

from clarion import samples
from clarion.channels.base import Preview, aliases
from clarion.routes import INBOX
from clarion.types import NotificationType, all_types

_SHOWN = ("level", "title", "body", "url", "image", "actions", "actor")


def snapshots(
    types: Iterable[type[NotificationType]] | None = None,
    *,
    channels: Iterable[str] | None = None,
    languages: Iterable[str] | None = None,
    count: int = 1,
    actor: models.Model | None = None,
    targets: Mapping[str, models.Model] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield ("<type>/<channel>.<language>.txt", text) of each type, made of its example.

    The text stays the same until somebody changes what is said: there are no times of today, keys
    or addresses in it.

    Args:
        types: default: all that are registered.
        channels: "inbox" and aliases; default: all that are configured.
        languages: codes; default: those of LANGUAGES, if the site sets it.
        count: so many of a type go as one, by channels that lead out.
        actor: who did it, saved.
        targets: what a type is about, saved, by the name of the type.

    Raises:
        Exception: whatever a type's `content()` or a channel's templates raise.
    """
    channels = [INBOX, *aliases()] if channels is None else list(channels)
    languages = samples.languages() if languages is None else list(languages)
    for cls in all_types() if types is None else types:
        about: dict[str, Any] = {"actor": actor, "target": (targets or {}).get(cls.type)}
        for channel in channels:
            for language in languages:
                name = f"{cls.type}/{channel}.{language}.txt"
                if channel == INBOX:
                    yield name, _row(cls, language, about)
                else:
                    yield name, _message(cls, channel, language, count, about)


def _row(cls: type[NotificationType], language: str, about: dict[str, Any]) -> str:
    row = samples.item(cls, language=language, **about)
    return json.dumps({name: row[name] for name in _SHOWN}, indent=2, ensure_ascii=False) + "\n"


def _message(
    cls: type[NotificationType], channel: str, language: str, count: int, about: dict[str, Any]
) -> str:
    envelope = samples.envelope(
        cls, recipient=_somebody(), channel=channel, language=language, count=count, **about
    )
    return _as_text(samples.preview(envelope))


def _somebody() -> models.Model:
    """A recipient who isn't saved."""
    model = get_user_model()
    return model(**{model.USERNAME_FIELD: "ada"})


def _as_text(preview: Preview) -> str:
    parts = [preview.subject, preview.body, preview.html]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
