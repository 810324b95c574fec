"""Mail, through whatever Django sends its mail with.

    CLARION["CHANNELS"]["email"] = {"from_email": "School <notifications@school.example>"}

People are reached at the address of their user model, or at those stored with `reach.add`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from email.utils import parseaddr
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.mail.utils import DNS_NAME
from django.core.validators import validate_email
from django.utils.encoding import punycode

from clarion import unsubscribing
from clarion.channels import letter, mailerrors
from clarion.channels.base import Channel, Envelope, Preview, Receipt
from clarion.channels.mailer import HAS_MAILERS, Line, Mail
from clarion.conf import settings
from clarion.exceptions import InvalidAddress, PermanentFailure
from clarion.models import digest_of

logger = logging.getLogger("clarion")

METADATA = "clarion_delivery"  # the envelope's id, for mail services that hand it back


@dataclass(frozen=True, kw_only=True)
class EmailChannel(Channel):
    """The channel "email"."""

    from_email: str = ""
    """The sender; "" for DEFAULT_FROM_EMAIL."""
    reply_to: str = ""
    """Where answers go, if not to the sender."""
    mailer: str = "default"
    """Alias in MAILERS, on Django 6.1 and newer."""
    backend: str = ""
    """Before Django 6.1: dotted path of a mail backend other than EMAIL_BACKEND."""
    site_name: str = ""
    """What stands above every mail; "" for the host of SITE_URL."""
    list_id_domain: str = ""
    """What the names in List-Id end with; "" for the host of SITE_URL."""
    unsubscribe_mailto: str = ""
    """A mailbox that takes requests to unsubscribe, beside the link; somebody has to read it."""
    text_only: bool = False
    """Send no HTML."""

    needs_endpoint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for option in ("from_email", "reply_to", "unsubscribe_mailto"):
            if getattr(self, option) and not _is_mailbox(parseaddr(getattr(self, option))[1]):
                raise self._misconfigured(option, "is not a mail address.")
        if HAS_MAILERS and self.backend:
            raise self._misconfigured("backend", "name an alias of MAILERS as 'mailer' instead.")
        if not HAS_MAILERS and self.mailer != "default":
            raise self._misconfigured("mailer", "needs Django 6.1; name a 'backend' instead.")

    def _misconfigured(self, option: str, what: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"CLARION['CHANNELS'][{self.alias!r}][{option!r}]: {what}")

    def address_of(self, recipient: Any) -> str:
        """The address in the user model's own field for it."""
        field = get_user_model().get_email_field_name()
        return str(getattr(recipient, field, None) or "").strip()

    def check_address(self, address: str) -> str:
        """A plain mailbox, with its domain in ASCII. Raise `InvalidAddress`."""
        local, _, domain = address.strip().rpartition("@")
        with suppress(ValueError):  # a domain that IDNA has no form for
            plain = f"{local}@{punycode(domain)}"
            if _is_mailbox(plain):
                return plain
        raise InvalidAddress("That is not a mail address like ada@school.example.")

    def send(self, envelope: Envelope) -> Receipt:
        """Raise what `Channel.send` says. The `Message-ID` is the same on every try."""
        message = self._message(envelope)
        try:
            self._line.transmit(message)
        except Exception as error:
            failure = mailerrors.failure_of(error)
            if failure is None:
                raise
            raise failure from None
        return Receipt(reference=_reference(message), detail="taken by the mail server")

    def preview(self, envelope: Envelope) -> Preview:
        """The link to unsubscribe in it leads nowhere: it would be a key."""
        link = f"{settings.SITE_URL}/#unsubscribe" if self._link(envelope) else ""
        written = self._write(envelope, link)
        kind = "html" if written.html else "text"
        return Preview(kind=kind, subject=written.subject, body=written.text, html=written.html)

    # --- the message

    def _message(self, envelope: Envelope) -> Mail:
        try:
            address = self.check_address(envelope.address.value)
        except InvalidAddress:
            raise PermanentFailure("the address is not a mail address") from None
        link = self._link(envelope)
        written = self._write(envelope, unsubscribing.url_of(link) if link else "")
        message = Mail(
            subject=written.subject,
            body=written.text,
            from_email=self.from_email or None,
            to=[address],
            reply_to=[self.reply_to] if self.reply_to else None,
            headers=self._headers(envelope) | self._unsubscribe_headers(link),
        )
        if written.html:
            message.attach_alternative(written.html, "text/html")
        message.metadata = {METADATA: envelope.id}
        message.tags = [_common(entry.type for entry in envelope.entries) or "digest"]
        return message

    def _write(self, envelope: Envelope, unsubscribe_url: str) -> letter.Letter:
        try:
            return letter.write(
                envelope,
                site_name=self.site_name or urlsplit(settings.SITE_URL).hostname or "",
                unsubscribe_url=unsubscribe_url,
                text_only=self.text_only,
            )
        except Exception:
            logger.exception("the mail of delivery %s could not be rendered", envelope.id)
            raise

    def _link(self, envelope: Envelope) -> unsubscribing.Link | None:
        """What the mail can be stopped by; none for what is required, and for teams."""
        scopes = [
            f"category:{entry.category}" if entry.category else f"type:{entry.type}"
            for entry in envelope.entries
            if not entry.required
        ]
        if not scopes or envelope.recipient is None:
            return None
        return unsubscribing.link_for(envelope.recipient, envelope.channel, scopes)

    def _headers(self, envelope: Envelope) -> dict[str, str]:
        host = _ascii_host(urlsplit(settings.SITE_URL).hostname or DNS_NAME.get_fqdn())
        whom = digest_of(envelope.address.value)
        category = _slug(_common(entry.category for entry in envelope.entries)) or "notifications"
        kind = _slug(_common(entry.type for entry in envelope.entries)) or "digest"
        return {
            "Message-ID": f"<{envelope.id}.{_short_hash(envelope.id, whom)}@{host}>",
            **_thread_headers(envelope, whom, host),
            "List-Id": f"<{category}.{_ascii_host(self.list_id_domain) or host}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
            "Feedback-ID": f"{category}:{kind}:{_slug(envelope.kind)}:{_slug(host)[:15]}",
        }

    def _unsubscribe_headers(self, link: unsubscribing.Link | None) -> dict[str, str]:
        """RFC 2369, and RFC 8058 where the link is safe enough for it."""
        url = unsubscribing.url_of(link) if link else ""
        ways = [f"<{url}>"] if url else []
        if self.unsubscribe_mailto and link:
            subject = quote(f"unsubscribe {unsubscribing.token_of(link)}")
            ways.append(f"<mailto:{self.unsubscribe_mailto}?subject={subject}>")
        if not ways:
            return {}
        one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        return {
            "List-Unsubscribe": ", ".join(ways),
            **(one_click if url.startswith("https://") else {}),
        }

    # --- the server

    @cached_property
    def _line(self) -> Line:
        return Line(self.mailer, self.backend, self.timeout)

    def session(self) -> AbstractContextManager[Any]:
        """One connection for all that is sent in it, opened with the first."""
        return self._line.session()


def _reference(message: Mail) -> str:
    """What a mail service calls it, else its Message-ID."""
    status = getattr(message, "anymail_status", None)
    return str(getattr(status, "message_id", None) or message.extra_headers["Message-ID"])


def _thread_headers(envelope: Envelope, whom: str, host: str) -> dict[str, str]:
    """Mails to one person about one thing stand together, under a mail that was never sent."""
    about = _common(entry.target or entry.collapse_key for entry in envelope.entries)
    if not about:
        return {}
    root = f"<thread.{_short_hash(about, whom)}@{host}>"
    return {"In-Reply-To": root, "References": root}


def _common(values: Any) -> str:
    """What all have in common; "" when they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _is_mailbox(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _ascii_host(host: str) -> str:
    try:
        return str(punycode(host))
    except ValueError:
        return str(DNS_NAME.get_fqdn())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
