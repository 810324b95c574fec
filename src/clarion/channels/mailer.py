"""The line to the mail server: Django's mail backend, opened once for many mails."""

from __future__ import annotations

import email.policy
import math
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Any

import django
from django.core import mail
from django.core.mail.backends import smtp
from django.core.mail.backends.base import BaseEmailBackend

from clarion.exceptions import TransientFailure

HAS_MAILERS = django.VERSION >= (6, 1)
_CLOSING = 421  # RFC 5321: the server is about to hang up
_ABOUT_THIS_MAIL = (
    smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError,
)  # fmt: skip


class Line(threading.local):
    """The connection of one thread. It is closed after each mail, but stays for a session."""

    def __init__(self, mailer: str, backend: str, timeout: float) -> None:
        self.mailer, self.backend, self.timeout = mailer, backend, timeout
        self.connection: BaseEmailBackend | None = None
        self.held = False

    @contextmanager
    def session(self) -> Iterator[None]:
        self.held = True
        try:
            yield
        finally:
            self.held = False
            self._hang_up()

    def transmit(self, message: Mail) -> None:
        """Send it, or raise what the backend raises.

        Servers hang up after a while, or after so many mails: then once more on a new connection.
        """
        used = self.connection is not None
        try:
            self._transmit(message)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPSenderRefused) as error:
            if not used or getattr(error, "smtp_code", _CLOSING) != _CLOSING:
                raise
            self._hang_up()
            self._transmit(message)

    def _transmit(self, message: Mail) -> None:
        try:
            sent = self._open().send_messages([message])
        except _ABOUT_THIS_MAIL:
            raise  # the line is in order
        except Exception:
            self._hang_up()
            raise
        finally:
            if not self.held:
                self._hang_up()
        if sent == 0:
            raise TransientFailure("the mail backend sent nothing; is it told to fail silently?")

    def _open(self) -> BaseEmailBackend:
        if self.connection is None:
            self.connection = self._made()
            self.connection.open()
        return self.connection

    def _made(self) -> BaseEmailBackend:
        """Django's backend; one that would wait for ever gets the channel's time-out."""
        if HAS_MAILERS:
            connection: BaseEmailBackend = mail.mailers[self.mailer]
        else:
            connection = mail.get_connection(self.backend or None)
        if isinstance(connection, smtp.EmailBackend) and connection.timeout is None:
            connection.timeout = math.ceil(self.timeout)
        return connection

    def _hang_up(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(OSError):  # smtplib's errors are of this kind: it was broken already
                connection.close()


class Mail(mail.EmailMultiAlternatives):
    """A mail with what django-anymail passes on to mail services."""

    metadata: dict[str, str]
    tags: list[str]

    if django.VERSION >= (6, 0):

        def message(self, *, policy: Any = email.policy.default) -> EmailMessage:
            return super().message(policy=_WholeWords(linesep=policy.linesep))


_WHOLE = ("list-unsubscribe", "references", "in-reply-to", "list-id", "feedback-id")


class _WholeWords(email.policy.EmailPolicy):
    """Python encodes a word that is longer than a line (RFC 2047). In these headers nobody decodes
    it, and the link to unsubscribe would be none."""

    def fold(self, name: str, value: str) -> str:
        if name.lower() in _WHOLE:
            folded = str(value).replace(", ", f",{self.linesep} ")
            return f"{name}: {folded}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii", "surrogateescape")
