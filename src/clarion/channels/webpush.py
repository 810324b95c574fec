"""Notifications by the browser, also while no page of the site is open (RFC 8030).

One envelope goes to one browser: its endpoint is the address, its keys are in the address's data.
The message is a declarative one, which some browsers show by themselves; in all others
clarion-worker.js shows it.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.text import Truncator
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from clarion.channels import guard
from clarion.channels.base import Channel, Entry, Envelope, Preview, Receipt
from clarion.channels.encryption import PLAINTEXT_LIMIT, Keys, Vapid, encode, encrypt
from clarion.conf import settings
from clarion.exceptions import EndpointGone, InvalidAddress, PermanentFailure, TransientFailure
from clarion.types import Level

SERVICES = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
_TITLE, _BODY, _LISTED = 200, 300, 3  # characters, characters, titles when several go as one
_URGENT = (Level.ERROR, Level.CRITICAL)
_REFUSALS = {
    400: "it does not understand the request",
    401: "it does not accept our VAPID token; compare the channel's options and the clock",
    403: "the browser subscribed with another VAPID key than vapid_private_key",
}


@dataclass(frozen=True, kw_only=True)
class WebPushChannel(Channel):
    """The channel "webpush". `manage.py clarion_vapid` prints the options it needs."""

    vapid_private_key: str = field(repr=False)
    """32 bytes in base64url. A new one ends all subscriptions."""
    vapid_subject: str
    """Whom the operators of push services may write to: "mailto:..." or "https://..."."""
    ttl: int = 4 * 7 * 86_400
    """Seconds that a push service keeps what it can't deliver; what expires sooner is kept less."""
    private: bool = False
    """Show "New notification" and nothing of the content: lock screens are public places."""
    icon: str = ""
    """Path or URL of the picture beside the text."""
    services: list[str] = field(default_factory=lambda: list(SERVICES))
    """Hosts that may be sent to; "*.example.org" stands for all below it."""
    allow_private: bool = False
    """Also plain HTTP and addresses of the own network: for a push service on your desk."""

    parallel: ClassVar[int] = 8
    waits: ClassVar[Sequence[timedelta]] = tuple(
        timedelta(seconds=s) for s in (15, 60, 300, 1800, 7200)
    )

    def __post_init__(self) -> None:
        if not self.vapid_subject.startswith(("mailto:", "https://")):
            raise self._misconfigured("vapid_subject", "must begin with mailto: or https://.")
        if self.ttl < 0:
            raise self._misconfigured("ttl", "must be 0 or more seconds.")
        try:
            self.vapid  # noqa: B018 - a key that is none must not get past start-up
        except ValueError as error:
            raise self._misconfigured("vapid_private_key", str(error)) from None

    def _misconfigured(self, option: str, what: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"CLARION['CHANNELS'][{self.alias!r}][{option!r}] {what}")

    @functools.cached_property
    def vapid(self) -> Vapid:
        """Our identity. Its `public_key` is what browsers subscribe with."""
        return Vapid(self.vapid_private_key, self.vapid_subject)

    def check_address(self, address: str) -> str:
        """An endpoint at one of `services`. Raise `InvalidAddress`."""
        self._check_service(address)
        return guard.check(address, allow_private=self.allow_private, schemes=self._schemes)

    def _check_service(self, address: str) -> None:
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            raise InvalidAddress("The endpoint is not a URL.") from None
        if not any(_matches(host, service) for service in self.services):
            raise InvalidAddress(
                f"{host[:100]!r} is not one of the push services that this site sends to; "
                "see the option 'services' of the channel."
            )

    @property
    def _schemes(self) -> Sequence[str]:
        return ("https", "http") if self.allow_private else ("https",)

    def check_keys(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The keys of a subscription as they are stored. Raise `InvalidAddress`."""
        try:
            keys = Keys.parse(given)
        except ValueError as error:
            raise InvalidAddress(str(error)) from None
        return {"p256dh": encode(keys.public), "auth": encode(keys.secret)}

    def send(self, envelope: Envelope) -> Receipt:
        """Raise what `Channel.send` says."""
        messages = _messages(envelope, private=self.private, icon=self.icon)
        answer = self._post(envelope, messages[0])
        if answer.status == 413 and len(messages) > 1:
            answer = self._post(envelope, messages[-1])
        return _receipt(answer, urlsplit(envelope.address.value).hostname or "")

    def preview(self, envelope: Envelope) -> Preview:
        """The message as the browser reads it, when it is decrypted."""
        message = json.loads(_messages(envelope, private=self.private, icon=self.icon)[0])
        title = message["notification"]["title"]
        text = json.dumps(message, indent=2, ensure_ascii=False)
        return Preview(kind="json", subject=title, body=text)

    def _post(self, envelope: Envelope, message: bytes) -> guard.Answer:
        try:
            self._check_service(envelope.address.value)  # the option may have changed since
            body = encrypt(message, Keys.parse(envelope.address.data))
        except ValueError as error:  # an InvalidAddress is one, too
            raise PermanentFailure(f"the stored subscription can't be used: {error}") from None
        return guard.post(
            envelope.address.value,
            body=body,
            headers=self._headers(envelope),
            timeout=self.timeout,
            allow_private=self.allow_private,
            schemes=self._schemes,
        )

    def _headers(self, envelope: Envelope) -> dict[str, str]:
        now = timezone.now()
        parts = urlsplit(envelope.address.value)
        origin = f"{parts.scheme}://{parts.netloc}"
        headers = {
            "TTL": str(_time_to_live(envelope.entries, self.ttl, now)),
            "Urgency": urgency_of(envelope),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Authorization": self.vapid.authorization(origin, now.timestamp()),
        }
        topic = _topic(envelope)
        return headers | ({"Topic": topic} if topic else {})


def _matches(host: str, service: str) -> bool:
    return host.endswith(service[1:]) if service.startswith("*.") else host == service


# --- the message


def _messages(envelope: Envelope, *, private: bool, icon: str) -> list[bytes]:
    """The message, where it fits, and one that only says that there is something."""
    bare = _message(envelope, *_discreet(envelope), url=_inbox_url(), icon="")
    if private:
        title, body = _discreet(envelope)
    else:
        title, body = _shown(envelope)
    full = _message(envelope, title, body, url=_url_of(envelope), icon=icon)
    return [message for message in (full, bare) if len(message) <= PLAINTEXT_LIMIT]


def _shown(envelope: Envelope) -> tuple[str, str]:
    contents = [entry.content for entry in envelope.entries]
    if len(contents) == 1:
        return contents[0].title, contents[0].body
    listed = [Truncator(content.title).chars(80) for content in contents[-_LISTED:]]
    return _number_of(envelope), "\n".join(reversed(listed))


def _discreet(envelope: Envelope) -> tuple[str, str]:
    return (_("New notification") if envelope.count == 1 else _number_of(envelope)), ""


def _number_of(envelope: Envelope) -> str:
    form = ngettext("%(n)d new notification", "%(n)d new notifications", envelope.count)
    return form % {"n": envelope.count}


def _url_of(envelope: Envelope) -> str:
    single = envelope.entries[0].content.url if len(envelope.entries) == 1 else ""
    return single or _inbox_url()


def _inbox_url() -> str:
    return settings.SITE_URL.rstrip("/") + reverse("clarion:inbox")


def _message(envelope: Envelope, title: str, body: str, *, url: str, icon: str) -> bytes:
    """A declarative push message; `data` is what our worker reads besides."""
    latest = envelope.entries[-1]
    urgency = urgency_of(envelope)
    notification = {
        "title": Truncator(title).chars(_TITLE),
        "body": Truncator(body).chars(_BODY),
        "navigate": url,
        "lang": envelope.language or get_language() or "",
        "dir": "auto",  # titles quote people, who write in the language they like
        "tag": _topic(envelope) or f"clarion-{envelope.id}",  # a repeated send shows once
        "renotify": urgency == "high",
        "silent": urgency == "low",
        "timestamp": int(latest.created_at.timestamp() * 1000),
        "data": {"url": url, **_ids(envelope.entries)},
    }
    if icon:
        notification["icon"] = icon
    message = {"web_push": 8030, "notification": notification}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _ids(entries: Sequence[Entry]) -> dict[str, int | None]:
    """What opening it has seen; several that went as one are not read by opening the inbox."""
    if len(entries) > 1:
        return {}
    return {"event": entries[0].event, "notification": entries[0].notification}


# --- the headers


def urgency_of(envelope: Envelope) -> str:
    """RFC 8030, 5.3: a device that saves its battery waits with what isn't urgent."""
    if any(entry.level in _URGENT for entry in envelope.entries):
        return "high"
    return "low" if envelope.kind == "digest" else "normal"


def _time_to_live(entries: Sequence[Entry], longest: int, now: datetime) -> int:
    ends = [entry.expires_at for entry in entries if entry.expires_at is not None]
    if len(ends) < len(entries):
        return longest
    return max(0, min(longest, math.ceil((max(ends) - now).total_seconds())))


def _topic(envelope: Envelope) -> str:
    """A later one with the same topic takes the place of one that waits: collapsed repeats.

    Keyed, so that push services can't tell what it is about.
    """
    if len(envelope.entries) > 1 or not envelope.entries[0].collapse_key:
        return ""
    entry = envelope.entries[0]
    subject = f"{entry.type}:{entry.collapse_key}"
    return encode(salted_hmac("clarion.push", subject, algorithm="sha256").digest()[:24])


# --- the answer


def _receipt(answer: guard.Answer, host: str) -> Receipt:
    """What the push service said, as the outbox is told it."""
    said = f"{host} answered {answer.status}"
    if answer.ok:
        return Receipt(reference=answer.headers.get("Location", ""))
    if answer.status in (404, 410):
        raise EndpointGone(f"{said}: the browser has ended its subscription")
    if answer.status in (408, 425, 429) or answer.status >= 500:
        raise TransientFailure(said, retry_after=answer.retry_after)
    why = _REFUSALS.get(answer.status)
    raise PermanentFailure(f"{said}: {why}" if why else said)
