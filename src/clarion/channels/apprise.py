"""Chat, push and SMS services through Apprise (`pip install "django-clarion[apprise]"`).

"apprise" sends to the URLs that people and teams enter, "service" to an account of the site, such
as one for SMS. Their URLs are secrets: nothing here tells them, and Apprise is kept from it.
"""

from __future__ import annotations

import logging
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from clarion import reach
from clarion.channels import guard
from clarion.channels.base import Channel, Envelope, Preview, Receipt, get_channel
from clarion.conf import settings
from clarion.exceptions import InvalidAddress, PermanentFailure, TransientFailure
from clarion.models import Endpoint
from clarion.types import Level

if TYPE_CHECKING:
    from apprise import NotifyBase

SCHEMES = (
    "slack", "discord", "workflow", "workflows", "gchat", "webex", "wxteams", "zoom", "tgram",
    "line", "threema", "whatsapp", "ntfy", "ntfys", "pover", "pbul", "prowl", "spush", "simplepush",
    "twilio", "vonage", "nexmo", "msgbird", "plivo", "sinch", "clickatell", "bulksms", "seven",
    "telnyx", "mailgun", "sendgrid", "pagerduty", "opsgenie",
)  # fmt: skip
"""Services that send to hosts of their own."""

# What may stand after "?" in a URL that a person enters. Others make Apprise read files of this
# machine (template, keyfile), repeat and wait (retry, wait) or leave certificates unchecked.
_PARAMETERS = frozenset(
    {
        "api-version", "avatar", "batch", "bcc", "cc", "channel", "footer", "format", "from",
        "image", "key", "mode", "name", "pa", "powerautomate", "preview", "priority", "region",
        "secret", "sid", "sig", "signature", "silent", "sound", "sp", "sv", "thread", "threadkey",
        "to", "token", "topic", "ver",
    }
)  # fmt: skip
_TARGETS = 5  # that one URL may name: each is a request of its own
_MICROSOFT = (".logic.azure.com", ".api.powerplatform.com")
_HOSTED = {"workflow": _MICROSOFT, "workflows": _MICROSOFT}  # the host is in the URL, and theirs
_SENDER_DOMAIN = {"mailgun"}  # what looks like a host is whom mail comes from

_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b|[!&]?\d+>)")
_PHONE = re.compile(r"\+?[\d ()./-]{5,30}")
_HANDLE = re.compile(r"(?!\.+$)[^\s,;?&%/\\]{1,100}")  # no part of a path, no list
_STATUS = re.compile(r"\berror=(\d{3})\b")
_LEVELS = {
    Level.INFO: "info",
    Level.SUCCESS: "success",
    Level.WARNING: "warning",
    Level.ERROR: "failure",
    Level.CRITICAL: "failure",
}


@dataclass(frozen=True, kw_only=True)
class _ThroughApprise(Channel):
    """What both have in common: an address becomes a service, and the service is told."""

    timeout: float = 20
    parallel: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if find_spec("apprise") is None:
            raise ImproperlyConfigured(
                f"CLARION['CHANNELS'][{self.alias!r}] needs a package: "
                'pip install "django-clarion[apprise]"'
            )

    @abstractmethod
    def service(self, address: str) -> NotifyBase:
        """What Apprise makes of an address. Raise `InvalidAddress`."""

    def send(self, envelope: Envelope) -> Receipt:
        """Raise what `Channel.send` says. What Apprise can't send is tried again."""
        with _discretion() as overheard:
            try:
                service = self.service(envelope.address.value)
            except InvalidAddress as error:
                raise PermanentFailure(str(error)) from None
            name = str(service.service_name)
            if not self._notify(service, envelope):
                raise TransientFailure(f"{name} {_trouble(overheard)}")
        return Receipt(detail=f"{name} has taken it")

    def preview(self, envelope: Envelope) -> Preview:
        """For a service with room for it; others show less of it."""
        title, body = texts(envelope, 250, 4000)
        return Preview(subject=self._presentable(title), body=self._presentable(body or title))

    def _notify(self, service: NotifyBase, envelope: Envelope) -> bool:
        from apprise import Apprise

        title, body = texts(envelope, service.title_maxlen, service.body_maxlen)
        sender = Apprise(asset=service.asset)
        sender.add(service)
        worst = max((entry.level for entry in envelope.entries), key=list(Level).index)
        return bool(
            sender.notify(
                body=self._presentable(body),
                title=self._presentable(title),
                notify_type=_LEVELS[worst],
                body_format="text",
                interpret_escapes=False,
                timeout=self.timeout,
            )
        )

    def _presentable(self, text: str) -> str:
        return text

    def _instance(self, parsed: dict[str, Any]) -> NotifyBase | None:
        from apprise import Apprise, AppriseAsset

        asset = AppriseAsset(app_id="Clarion", app_desc="", app_url=settings.SITE_URL)
        asset.image_url_mask = ""  # no logos of others in our messages
        limits = {"cto": self.timeout, "rto": self.timeout, "overflow": "truncate"}
        return Apprise.instantiate(parsed | limits | {"redirect": False}, asset=asset)


@dataclass(frozen=True, kw_only=True)
class AppriseChannel(_ThroughApprise):
    """The channel "apprise": each person or team enters a URL of the service that they use."""

    schemes: list[str] = field(default_factory=lambda: list(SCHEMES))
    """Services that may be entered, by the beginning of their URLs."""
    own_hosts: bool = False
    """Also services that people run themselves, at public hosts with TLS. Their answers are read
    whole, whatever their size: for people whom you trust."""
    allow_private: bool = False
    """Such services in private networks and without TLS, too: for local development."""

    def check_address(self, address: str) -> str:
        """The URL of a service that may be entered. Raise `InvalidAddress`, without the URL."""
        with _discretion():
            self.service(address)
        return address.strip()

    def service(self, address: str) -> NotifyBase:
        url = address.strip()
        scheme = url.partition("://")[0].lower() if "://" in url else ""
        if scheme not in ("http", "https"):  # what a service itself shows people to copy
            self._check_scheme(scheme)
        parsed = _parse(url)
        if parsed is None:
            raise InvalidAddress(_not_understood(scheme))
        self._check_scheme(parsed["schema"])
        self._check_parameters(parsed)
        service = self._instance(parsed | {"verify": True})
        if service is None:
            raise InvalidAddress(_not_understood(parsed["schema"]))
        self._check_reach(service)
        return service

    def _check_scheme(self, scheme: str) -> None:
        if scheme not in self.schemes:
            raise InvalidAddress(
                "Enter the URL of one of these services, as Apprise writes it: "
                f"{', '.join(f'{each}://' for each in self.schemes)}."
            )

    def _check_parameters(self, parsed: dict[str, Any]) -> None:
        if not _PARAMETERS.issuperset(parsed["qsd"]):
            raise InvalidAddress(
                "The URL has an option after '?' that is not taken here. "
                f"Possible: {', '.join(sorted(_PARAMETERS))}."
            )

    def _check_reach(self, service: NotifyBase) -> None:
        if len(service) > _TARGETS:
            raise InvalidAddress(f"The URL names more than {_TARGETS} receivers.")
        host = _host_in_url(service)
        if not host or self.allow_private:
            return
        if not self.own_hosts:
            raise InvalidAddress(f"{service.service_name}: only its own service, no other host.")
        if not service.secure:
            raise InvalidAddress(f"Use {service.schema}s://, so that nobody reads along.")
        guard.check_host(host)

    def _presentable(self, text: str) -> str:
        """Whoever writes "@everyone" in a comment doesn't wake everyone in a channel by it."""
        return _MENTION.sub("@\u200b", text)


@dataclass(frozen=True, kw_only=True)
class ServiceChannel(_ThroughApprise):
    """The channel "service": one account of the site, with people's numbers or names as targets."""

    url: str = field(repr=False)
    """An Apprise URL with "{address}" for the number: "twilio://SID:TOKEN@+15551234/{address}"."""
    address_field: str = ""
    """Field of the user model with the number: "phone" or "profile__phone". Numbers that people
    register as endpoints come first."""

    needs_endpoint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{address}" not in self.url:
            raise ImproperlyConfigured(
                f"CLARION['CHANNELS'][{self.alias!r}]['url'] must have {{address}} where the "
                "number or name of the person belongs."
            )

    def address_of(self, recipient: Any) -> str:
        """The number in the user model, in one form; "" for none, or for nonsense."""
        found = recipient
        for name in self.address_field.split("__") if self.address_field else ():
            found = getattr(found, name, None)
        try:
            return self.check_address(str(found or "")) if self.address_field else ""
        except InvalidAddress:
            return ""

    def check_address(self, address: str) -> str:
        """A phone number without its blanks, or a name as it is. Raise `InvalidAddress`."""
        text = address.strip()
        if _PHONE.fullmatch(text):
            return re.sub(r"[^\d+]", "", text)
        if not _HANDLE.fullmatch(text):
            raise InvalidAddress("This is not a phone number, nor a name without blanks.")
        return text

    def service(self, address: str) -> NotifyBase:
        target = quote(self.check_address(address), safe="")
        parsed = _parse(self.url.replace("{address}", target))
        service = self._instance(parsed) if parsed else None
        if service is None or not len(service):
            raise InvalidAddress(
                f"Apprise can't use the address with CLARION['CHANNELS'][{self.alias!r}]['url']"
            )
        return service


def register(
    recipient: Any,
    url: str,
    *,
    channel: str = "apprise",
    label: str = "",
    group: Group | None = None,
    types: Iterable[str] = (),
) -> Endpoint:
    """Store the URL of a person or team; without a `label` it is called by its service.

    Raises:
        InvalidAddress: it can't be sent to; the text says why.
    """
    sender = get_channel(channel)
    if not label and isinstance(sender, AppriseChannel):
        with _discretion():
            label = str(sender.service(url).service_name)
    return reach.add(recipient, channel, url, label=label, group=group, types=types)


def _parse(url: str) -> dict[str, Any] | None:
    from apprise import plugins

    return plugins.url_to_dict(url) or None  # type: ignore[no-untyped-call]


def _not_understood(scheme: str) -> str:
    if scheme in ("http", "https"):
        return "No service is known that has such URLs; copy it from the service once more."
    return f"This is not a complete {scheme}:// URL; see the service's page at appriseit.com."


def _host_in_url(service: NotifyBase) -> str:
    """The host that whoever wrote the URL chose; "" where the service sends to its own."""
    if "host" not in service.template_tokens or service.schema in _SENDER_DOMAIN:
        return ""
    if getattr(service, "mode", "") == "cloud":  # ntfy://topic
        return ""
    host = str(service.host or "").lower()
    return "" if host.endswith(_HOSTED.get(service.schema, ())) else host


# --- what it says


def texts(envelope: Envelope, title_limit: int, body_limit: int) -> tuple[str, str]:
    """Title and body for a service with these limits; one without titles has it in the body."""
    heading = str(envelope.entries[0].content.title)
    if envelope.count > 1:
        form = ngettext("%(n)d new notification", "%(n)d new notifications", envelope.count)
        heading = form % {"n": envelope.count}
    if title_limit > 0:
        title, body = _short(heading, title_limit), _told(envelope, body_limit)
        return (title, body) if body else ("", title)  # there is no message without a body
    heading = _short(heading, body_limit)
    return "", f"{heading}\n{_told(envelope, body_limit - len(heading) - 1)}".rstrip()


def _told(envelope: Envelope, room: int) -> str:
    if envelope.count > 1:
        return _list(envelope, room)
    content = envelope.entries[0].content
    if not content.url or len(content.url) > room:  # half a link leads nowhere
        return _short(str(content.body), room)
    return f"{_short(str(content.body), room - len(content.url) - 1)}\n{content.url}".strip()


def _list(envelope: Envelope, room: int) -> str:
    """As many lines as there is room for, and how many more there are."""
    contents = [entry.content for entry in envelope.entries]
    lines = [f"- {content.title} {content.url}".rstrip() for content in contents]
    for shown in range(len(lines), 0, -1):
        more = envelope.count - shown
        rest = [_("and %(n)d more") % {"n": more}] if more else []
        text = "\n".join([*lines[:shown], *rest])
        if len(text) <= room:
            return text
    return ""


def _short(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: limit - 1].rstrip() + "…" if limit > 1 else ""


# --- what Apprise says of it

_overheard: ContextVar[list[str] | None] = ContextVar("clarion_overheard", default=None)
_TALKATIVE = (
    "apprise", "urllib3.connection", "urllib3.connectionpool", "urllib3.poolmanager",
    "urllib3.response", "urllib3.util.retry",
)  # fmt: skip


class _Discreet(logging.Filter):
    """Takes aside what is logged on our behalf, as it may hold a URL; leaves all else alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        overheard = _overheard.get()
        if overheard is None:
            return True
        overheard.append(record.getMessage())
        return False


_DISCREET = _Discreet()


@contextmanager
def _discretion() -> Iterator[list[str]]:
    """Nothing that Apprise says in here is logged; it is in the list that is handed out."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_DISCREET)
    overheard: list[str] = []
    token = _overheard.set(overheard)
    try:
        yield overheard
    finally:
        _overheard.reset(token)


def _trouble(overheard: Sequence[str]) -> str:
    """Why it did not work, of which Apprise tells its log alone; in words without the URL."""
    for message in overheard:
        found = _STATUS.search(message)
        if found:
            return f"answered {found[1]}"
    unreachable = any("onnection error" in message for message in overheard)
    return "could not be reached" if unreachable else "did not take it"
