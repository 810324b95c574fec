"""Stopping mail with one click (RFC 8058): signed links, and what happens when one is used.

A token holds who, by which channel, and about what. Nothing is stored for it and it never expires;
a key that moved to SECRET_KEY_FALLBACKS still opens it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core import signing
from django.db import transaction
from django.urls import NoReverseMatch, reverse
from django.utils.encoding import iri_to_uri
from django.utils.text import capfirst
from django.utils.translation import gettext

from clarion.channels.base import aliases, get_channel
from clarion.conf import settings
from clarion.decisions import ANY, NEVER
from clarion.models import PreferenceChange
from clarion.preferences import choose

SOURCE = "one-click unsubscribe"
UNDONE = "unsubscribe undone"
_MOST = 5  # scopes in a token; what is about more than that is about everything


@dataclass(frozen=True)
class Link:
    """What somebody can stop: `scopes` as in `preferences.choose`."""

    recipient: Any
    channel: str
    scopes: tuple[str, ...]


def link_for(recipient: Any, channel: str, scopes: Sequence[str]) -> Link:
    """The link of a mail that is about `scopes`, of which there is at least one."""
    about = tuple(sorted(set(scopes)))
    return Link(recipient.pk, channel, about if len(about) <= _MOST else (ANY,))


def token_of(link: Link) -> str:
    """The link as a signed text that fits into a URL; the same every time."""
    pk = link.recipient if isinstance(link.recipient, int) else str(link.recipient)
    return _signer().sign_object([pk, link.channel, *link.scopes], compress=True)


def _signer() -> signing.Signer:
    return signing.Signer(salt="clarion.unsubscribe")


def url_of(link: Link) -> str:
    """Where the link leads; "" for a site that has no SITE_URL or none of our pages."""
    try:
        path = reverse("clarion:one_click", args=[token_of(link)])
    except NoReverseMatch:
        return ""
    return iri_to_uri(settings.SITE_URL.rstrip("/") + path) if settings.SITE_URL else ""


def read(token: str) -> Link | None:
    """The link that `token` was made of; None for a forged one, or one of a person who is gone."""
    try:
        pk, channel, *scopes = _signer().unsign_object(token)
    except (signing.BadSignature, ValueError):
        return None
    known = channel in settings.CHANNELS
    if not known or not get_user_model()._base_manager.filter(pk=pk).exists():
        return None
    return Link(pk, channel, tuple(scopes))


def stop(link: Link) -> None:
    """Nothing more of it by that channel, but what is required. A second time changes nothing."""
    with transaction.atomic():
        for channel in _channels(link):
            for scope in link.scopes:
                choose(link.recipient, scope, NEVER, channel, source=SOURCE)


def stop_all(link: Link) -> None:
    """Nothing more by that channel at all, but what is required."""
    stop(Link(link.recipient, link.channel, (ANY,)))


def undo(link: Link) -> None:
    """Put back what `stop` or `stop_all` changed, where nobody changed it since."""
    with transaction.atomic():
        for channel in _channels(link):
            for scope in (ANY, *link.scopes):
                _put_back(link.recipient, scope, channel)


def _channels(link: Link) -> list[str]:
    """The channel of the mail, and those that it takes over from."""
    return [
        link.channel,
        *(name for name in aliases() if get_channel(name).failover == link.channel),
    ]


def _put_back(recipient: Any, scope: str, channel: str) -> None:
    changes = PreferenceChange.objects.filter(
        recipient=recipient, subject=f"{scope} by {channel}"[:200]
    )
    last = changes.order_by("-pk").first()
    if last is not None and last.source == SOURCE:
        choose(recipient, scope, last.old or None, channel, source=UNDONE)


def label_of(scope: str) -> str:
    """How people are told of a category or a type: its name, translated where the site does that.

    `label_of("category:parents_evening")` is "Parents evening"; that of "*" is "".
    """
    name = scope.partition(":")[2]
    if not name:
        return ""
    translated = gettext(name)
    plain = name.replace(".", " ").replace("_", " ").replace("-", " ")
    return translated if translated != name else str(capfirst(plain))
