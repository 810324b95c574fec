"""A real mail server on this machine, which behaves as badly as it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import django
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from django.core.mail.backends.base import BaseEmailBackend
from django.test import override_settings

HOST = "127.0.0.1"
SMTP = "django.core.mail.backends.smtp.EmailBackend"


@dataclass
class Mailbox:
    """What came in; and what is answered: replies are used up, the one for an address stays."""

    port: int = 0
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    unknown: dict[str, str] = field(default_factory=dict)
    """Reply to RCPT by address."""
    replies: list[str] = field(default_factory=list)
    """Replies to the mails to come: a line of SMTP, "drop" or "hang"."""
    second: str = ""
    """Reply to a second mail on the same connection."""

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(raw, policy=policy.default) for raw in self.raw]

    @property
    def mail(self) -> EmailMessage:
        [only] = self.mails
        return only


class Handler:
    """What aiosmtpd asks; it looks at every attribute of its handler."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_EHLO(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.mailbox.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.mailbox.second and getattr(session, "served", False):
            if self.mailbox.second == "drop":
                server.transport.abort()
            return self.mailbox.second
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.mailbox.unknown:
            return self.mailbox.unknown[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        replies = self.mailbox.replies
        reply = replies.pop(0) if replies else "250 OK"
        if reply == "drop":
            server.transport.abort()
        if reply == "hang":
            await asyncio.sleep(30)
        if reply.startswith("250"):
            session.served = True
            self.mailbox.raw.append(envelope.content)
            self.mailbox.recipients.extend(envelope.rcpt_tos)
        return reply


@contextmanager
def mail_server(*, port: int = 0, **options: Any) -> Iterator[Mailbox]:
    mailbox = Mailbox(port=port or free_port())
    controller = Controller(Handler(mailbox), hostname=HOST, port=mailbox.port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


def refuse_login(*_: Any) -> AuthResult:
    return AuthResult(success=False, handled=False, message="535 5.7.8 nobody@school.example")


def sends_through(port: int, **options: Any) -> override_settings:
    """The site's mail settings, as the running Django wants them. `options` as in MAILERS."""
    given = {"host": HOST, "port": port, "timeout": 1, **options}
    if django.VERSION >= (6, 1):
        return override_settings(MAILERS={"default": {"BACKEND": SMTP, "OPTIONS": given}})
    names = {"username": "EMAIL_HOST_USER", "password": "EMAIL_HOST_PASSWORD"}
    old = {names.get(name, f"EMAIL_{name.upper()}"): value for name, value in given.items()}
    return override_settings(EMAIL_BACKEND=SMTP, **old)


class SilentBackend(BaseEmailBackend):
    """One that keeps its failures to itself."""

    def send_messages(self, email_messages: Any) -> int:
        return 0


def uses_backend(path: str) -> override_settings:
    """Another mail backend, as the running Django wants it."""
    if django.VERSION >= (6, 1):
        return override_settings(MAILERS={"default": {"BACKEND": path}})
    return override_settings(EMAIL_BACKEND=path)
