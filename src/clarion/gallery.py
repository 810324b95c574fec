"""Every type on every channel, as it looks: a page for those who write notifications."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clarion import pages, samples
from clarion.channels.base import Preview, aliases
from clarion.routes import INBOX, Batch, Route, Throttle
from clarion.types import NotificationType, all_types
from clarion.unsubscribing import label_of

PERMISSION = "clarion.view_event"
_COUNTS = (1, 3, 10)
_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1)))
# A mail has its styles inside, and what is in a frame falls under the policy of its page, too.
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'{static}; font-src 'self'{static}; "
    "img-src * data:; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the filters above the page."""

    name: str
    label: str
    value: str
    options: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A type on one channel. Where it can't be rendered, `error` says why."""

    channel: str
    conditions: Sequence[str]
    """How it travels there: "after 15 min", "unless read"."""
    is_used: bool
    """Whether it is one of the type's channels."""
    row: str = ""
    preview: Preview | None = None
    error: str = ""

    @property
    def is_a_page(self) -> bool:
        return self.preview is not None and bool(self.preview.html)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A type, and how it looks."""

    type: str
    category: str
    level: str
    required: bool
    about: str
    used: Sequence[Card]
    unused: Sequence[Card]


@require_safe
@login_required
@never_cache
def page(request: HttpRequest) -> HttpResponseBase:
    """All types, or one: ?type=, ?channel=, ?language=, ?count=.

    For staff, where DEBUG is on; elsewhere for staff who may see events in the admin.
    """
    if not _may_look(request.user):
        raise PermissionDenied
    choices = {choice.name: choice for choice in _choices(request)}
    chosen = [cls for cls in all_types() if choices["type"].value in ("", cls.type)]
    context = {
        "choices": choices.values(),
        "language": choices["language"].value,
        "direction": _direction(choices["language"].value),
        "is_one": len(chosen) == 1,
        "sections": [_section(request, cls, choices) for cls in chosen],
    }
    answer = render(request, "clarion/gallery.html", context)
    _restrict(answer)
    return answer


def _may_look(user: Any) -> bool:
    is_staff = user.is_active and getattr(user, "is_staff", False)
    return is_staff and (django_settings.DEBUG or user.has_perm(PERMISSION))


def _restrict(answer: HttpResponse) -> None:
    """Policies of the site's own would leave the mails without their styles."""
    files = urlsplit(static("clarion/gallery.css"))
    origin = f" {files.scheme or 'https'}://{files.netloc}" if files.netloc else ""
    answer["Content-Security-Policy"] = _POLICY.format(static=origin)


# --- what is chosen


def _choices(request: HttpRequest) -> Iterator[Choice]:
    names = [(cls.type, cls.type) for cls in all_types()]
    channels = [(name, name) for name in (INBOX, *aliases())]
    languages = samples.languages()
    spoken = dict(django_settings.LANGUAGES)
    counts = [(str(number), _as_one(number)) for number in _COUNTS]
    own = translation.get_language() or ""
    yield _choice(request, "type", _("Type"), [("", _("All types")), *names])
    yield _choice(request, "channel", _("Channel"), [("", _("All channels")), *channels])
    yield _choice(
        request,
        "language",
        _("Language"),
        [(code, str(spoken.get(code, code))) for code in languages],
        own if own in languages else languages[0],
    )
    yield _choice(request, "count", _("How many"), counts, "1")


def _as_one(number: int) -> str:
    return _("%(n)d as one") % {"n": number} if number > 1 else _("One")


def _direction(language: str) -> str:
    with translation.override(language):
        return "rtl" if translation.get_language_bidi() else "ltr"


def _choice(
    request: HttpRequest,
    name: str,
    label: str,
    options: Sequence[tuple[str, str]],
    default: str = "",
) -> Choice:
    value = request.GET.get(name, default)
    if value not in dict(options):
        raise BadRequest(f"{name}: {value[:60]!r} is not one of the choices.")
    return Choice(name=name, label=label, value=value, options=options)


# --- what is shown


def _section(
    request: HttpRequest, cls: type[NotificationType], choices: dict[str, Choice]
) -> Section:
    channel = choices["channel"].value
    language, count = choices["language"].value, int(choices["count"].value)
    routes = {route.channel: route for route in cls.routes()}
    channels = [channel] if channel else [INBOX, *aliases()]
    cards = [_card(request, cls, name, routes.get(name), language, count) for name in channels]
    cards.sort(key=lambda card: card.is_a_page)  # which takes all the width: small ones before it
    return Section(
        type=cls.type,
        category=label_of(f"category:{cls.category}"),
        level=_(cls.level.title()),
        required=cls.required,
        about=_about(cls),
        used=[card for card in cards if card.is_used or channel],
        unused=[card for card in cards if not card.is_used and not channel],
    )


def _about(cls: type[NotificationType]) -> str:
    """The first paragraph of its docstring, unless that was made by `dataclass`."""
    written = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    return "" if written.startswith(f"{cls.__name__}(") else written


def _card(
    request: HttpRequest,
    cls: type[NotificationType],
    channel: str,
    route: Route | None,
    language: str,
    count: int,
) -> Card:
    """Whatever a site's `content()` or templates raise is shown in its place."""
    shown: dict[str, Any] = {}
    try:
        if channel == INBOX:
            shown["row"] = _row(request, cls, language)
        else:
            shown["preview"] = _preview(request, cls, channel, language, count)
    except Exception as error:  # noqa: BLE001 - the page is there to show it
        shown["error"] = f"{type(error).__name__}: {error}"
    conditions = list(_conditions(route)) if route is not None else []
    return Card(channel=channel, conditions=conditions, is_used=route is not None, **shown)


def _row(request: HttpRequest, cls: type[NotificationType], language: str) -> str:
    """As on the page of the inbox, in the language that was chosen."""
    item = samples.item(cls, language=language, actor=_person(request))
    with translation.override(language):
        row = pages._row(request, item)
        return render_to_string("clarion/row.html", {"row": row, "here": ""}, request)


def _preview(
    request: HttpRequest, cls: type[NotificationType], channel: str, language: str, count: int
) -> Preview:
    person = _person(request)
    return samples.preview(
        samples.envelope(
            cls, recipient=person, actor=person, channel=channel, language=language, count=count
        )
    )


def _person(request: HttpRequest) -> Any:
    """Whoever looks plays both parts: did it, and is told of it."""
    user: Any = request.user
    return user._wrapped if hasattr(user, "_wrapped") else user


def _conditions(route: Route) -> Iterator[str]:
    """How a route differs from "at once"."""
    if route.default == "off":
        yield _("only for those who choose it")
    if route.default == "digest":
        yield _("in a digest: %(cadence)s") % {"cadence": _(route.digest)}
    if route.after:
        yield _("after %(time)s") % {"time": _length(route.after)}
    if route.unless is not None:
        yield _("unless %(state)s") % {"state": _(route.unless.value)}
    if isinstance(route.batch, Batch):
        yield _("what comes within %(time)s as one") % {"time": _length(route.batch.window)}
    if isinstance(route.throttle, Throttle):
        yield _("at most %(rate)s") % {"rate": route.throttle.rate}


def _length(given: Any) -> str:
    for unit, length in _UNITS:
        if not given % length:
            return f"{given // length} {unit}"
    return f"{given.total_seconds():g} s"
