"""What a mail says: a subject, a text and its HTML, rendered from templates.

Each of `subject.txt`, `body.txt` and `body.html` is looked for in `clarion/email/<type>/`, else in
`clarion/email/default/`. What goes as one is rendered from `clarion/email/<type>/digest/`, if all
are of that type, else from `clarion/email/digest/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.loader import select_template
from django.urls import NoReverseMatch, reverse
from django.utils import translation
from django.utils.translation import gettext, ngettext

from clarion.channels.base import Entry, Envelope
from clarion.conf import settings
from clarion.types import Action
from clarion.unsubscribing import label_of

SUBJECT_LIMIT = 150  # characters
_PREHEADER_LIMIT = 140
_EXCERPT_LIMIT = 180
_WHOLE_LINK = re.compile(r"https?://[^\s\\]+", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
_TONES = {
    "info": "#3350d6",
    "success": "#0f7548",
    "warning": "#8a5600",
    "error": "#bf2934",
    "critical": "#bf2934",
}


@dataclass(frozen=True)
class Letter:
    """A rendered mail; `html` is "" where only text was asked for."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """A notification as templates see it: plain text, and links that lead there from a mail."""

    type: str
    category: str
    level: str
    tone: str
    title: str
    body: str
    excerpt: str
    url: str
    image: str
    buttons: Sequence[Action]
    actor: str
    created_at: datetime
    count: int
    entry: Entry


@dataclass(frozen=True)
class Group:
    """The items of one category."""

    category: str
    items: Sequence[Item]


def write(
    envelope: Envelope, *, site_name: str, unsubscribe_url: str = "", text_only: bool = False
) -> Letter:
    """Render an envelope in the active language and time zone. Raise what its templates raise."""
    folders = _folders(envelope)
    context = _context(envelope, site_name, unsubscribe_url)
    subject = _one_line(_render(folders, "subject.txt", context), SUBJECT_LIMIT)
    context["subject"] = subject
    return Letter(
        subject=subject,
        text=_tidy(_render(folders, "body.txt", context)),
        html="" if text_only else _render(folders, "body.html", context),
    )


def _folders(envelope: Envelope) -> list[str]:
    types = {entry.type for entry in envelope.entries}
    own = types.pop() if len(types) == 1 else ""
    if envelope.count == 1:
        return [f"clarion/email/{own}", "clarion/email/default"]
    shared = "clarion/email/digest"
    return [f"clarion/email/{own}/digest", shared] if own else [shared]


def _render(folders: Sequence[str], name: str, context: dict[str, Any]) -> str:
    return str(select_template([f"{folder}/{name}" for folder in folders]).render(context))


def _context(envelope: Envelope, site_name: str, unsubscribe_url: str) -> dict[str, Any]:
    """What templates are given; docs/howto/email.md has the list."""
    items = [_item(entry) for entry in envelope.entries]
    bidi = translation.get_language_bidi()
    return {
        "item": items[-1],
        "items": items,
        "groups": _groups(items),
        "count": envelope.count,
        "more": envelope.count - len(items),
        "kind": envelope.kind,
        "heading": _heading(envelope.count),
        "preheader": _preheader(items),
        "why": _why(envelope, items),
        "recipient": envelope.recipient,
        "envelope": envelope,
        "site_name": site_name,
        "home_url": settings.SITE_URL,
        "inbox_url": _inbox_url(),
        "unsubscribe_url": unsubscribe_url,
        "language": translation.get_language() or "en",
        "dir": "rtl" if bidi else "ltr",
        "start": "right" if bidi else "left",
    }


def _item(entry: Entry) -> Item:
    content = entry.content
    url = _followable(content.url)
    return Item(
        type=entry.type,
        category=label_of(f"category:{entry.category}"),
        level=entry.level.value,
        tone=_TONES[entry.level.value],
        title=content.title,
        body=content.body,
        excerpt=_one_line(content.body, _EXCERPT_LIMIT),
        url=url,
        image=_followable(content.image),
        buttons=_buttons(url, content.actions),
        actor=entry.actor,
        created_at=entry.created_at,
        count=entry.count,
        entry=entry,
    )


def _followable(url: str) -> str:
    """A mail has no address of its own that a relative link could start from."""
    return url if _WHOLE_LINK.fullmatch(url) else ""


def _buttons(url: str, actions: Sequence[Action]) -> list[Action]:
    """What a click in a mail can do: open. A POST needs the site, and its CSRF token."""
    opening = [each for each in actions if each.method == "GET" and _followable(each.url)]
    if url and all(each.url != url for each in opening):
        return [Action(gettext("Open"), url), *opening]
    return opening


def _groups(items: Sequence[Item]) -> list[Group]:
    """By category, in the order in which each came first."""
    by_category: dict[str, list[Item]] = {}
    for item in items:
        by_category.setdefault(item.category, []).append(item)
    return [Group(category, found) for category, found in by_category.items()]


def _heading(count: int) -> str:
    return ngettext("%(count)d new notification", "%(count)d new notifications", count) % {
        "count": count
    }


def _preheader(items: Sequence[Item]) -> str:
    """What a list of mails shows behind the subject."""
    if len(items) == 1:
        return _one_line(items[0].body or items[0].actor, _PREHEADER_LIMIT)
    return _one_line(" · ".join(item.title for item in items), _PREHEADER_LIMIT)


def _why(envelope: Envelope, items: Sequence[Item]) -> str:
    if envelope.recipient is None:
        return gettext("This address was registered for these notifications.")
    if all(entry.required for entry in envelope.entries):
        return gettext("This goes to everybody it concerns and can't be switched off.")
    about = {item.category for item in items if item.category}
    if len(about) == 1:
        return gettext("You get mail about “%(category)s”.") % {"category": about.pop()}
    return gettext("You get mail about what is new for you.")


def _inbox_url() -> str:
    try:
        path = reverse("clarion:inbox")
    except NoReverseMatch:
        return ""
    return settings.SITE_URL.rstrip("/") + path if settings.SITE_URL else ""


def _one_line(text: str, limit: int) -> str:
    """Without line breaks and control characters, which end a header, and no longer than that."""
    plain = _CONTROL.sub(" ", text).strip()
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def _tidy(text: str) -> str:
    """At most one empty line between paragraphs: what template tags leave behind is taken away."""
    return re.sub(r"\n\s*\n\s*", "\n\n", text).strip() + "\n"
