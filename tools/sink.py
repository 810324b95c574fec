"""Where all that leaves a demo ends up: a mail server, a webhook, a push service, a page of it all.

    with sink() as outside:
        outside.smtp, outside.webhook, outside.device.endpoint  # where to send to
        outside.url  # the page that shows what arrived; /api/ has the same as JSON

All of it listens on this machine alone, sends nothing on and is gone with the process.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook, WebhookVerificationError

from tests.channels.pushservice import Browser, PushService
from tools import sink_pages
from tools.processes import free_port

HOST = "127.0.0.1"
KEPT = 500  # of each kind; older ones make room
BODY_LIMIT = 1_000_000  # bytes
PATIENCE = 10.0  # seconds for a client to say what it wants


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail as it arrived. `to` is who it was handed over for, whatever its headers say."""

    number: int
    at: str
    sender: str
    to: Sequence[str]
    subject: str
    headers: Sequence[tuple[str, str]]
    text: str
    html: str


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook as it arrived. `fault` says why it is not `verified`."""

    number: int
    at: str
    type: str
    verified: bool
    fault: str
    headers: Sequence[tuple[str, str]]
    body: str


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push message as the device shows it: its signature verified, decrypted with its keys."""

    number: int
    at: str
    title: str
    body: str
    urgency: str


class Sink:
    """What arrived so far, newest first."""

    device: Browser
    """A browser that gets push messages; its `application_key` is the site's, once it is known."""

    def __init__(self) -> None:
        self.secret = ""
        """What webhooks are signed with; none is verified before it is known."""
        self.smtp = self.url = ""
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._mails: deque[Mail] = deque(maxlen=KEPT)
        self._hooks: deque[Hook] = deque(maxlen=KEPT)
        self._pushes: deque[Push] = deque(maxlen=KEPT)

    @property
    def webhook(self) -> str:
        """The URL that takes webhooks."""
        return f"{self.url}webhook"

    @property
    def mails(self) -> list[Mail]:
        with self._lock:
            return list(self._mails)

    @property
    def hooks(self) -> list[Hook]:
        with self._lock:
            return list(self._hooks)

    @property
    def pushes(self) -> list[Push]:
        with self._lock:
            return list(self._pushes)

    def take_mail(self, sender: str, to: Sequence[str], content: bytes) -> Mail:
        """Keep a mail."""
        message = message_from_bytes(content, policy=policy.default)
        mail = Mail(
            number=next(self._numbers),
            at=_now(),
            sender=sender,
            to=to,
            subject=str(message["Subject"] or ""),
            headers=[(name, str(value)) for name, value in message.items()],
            text=_part(message, "plain"),
            html=_part(message, "html"),
        )
        with self._lock:
            self._mails.appendleft(mail)
        return mail

    def take_hook(self, headers: Mapping[str, str], body: bytes) -> Hook:
        """Keep a webhook, with what the reference library says of its signature."""
        fault = _fault(self.secret, headers, body)
        hook = Hook(
            number=next(self._numbers),
            at=_now(),
            type=_type_of(body),
            verified=not fault,
            fault=fault,
            headers=[(name, value) for name, value in headers.items() if name != "host"],
            body=_readable(body),
        )
        with self._lock:
            self._hooks.appendleft(hook)
        return hook

    def take_push(self, notification: Mapping[str, Any], urgency: str) -> Push:
        """Keep a push message."""
        push = Push(
            number=next(self._numbers),
            at=_now(),
            title=str(notification.get("title", "")),
            body=str(notification.get("body", "")),
            urgency=urgency,
        )
        with self._lock:
            self._pushes.appendleft(push)
        return push


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _part(message: Message, kind: str) -> str:
    """The text of a mail in one form; "" when it has none."""
    part = message.get_body((kind,)) if isinstance(message, EmailMessage) else None
    try:
        return str(part.get_content()) if part is not None else ""
    except (LookupError, ValueError):  # a charset that Python doesn't know
        return "(can't be decoded)"


def _fault(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """Why the signature doesn't hold; "" when it does."""
    if not secret:
        return "no secret to verify it with"
    try:
        Webhook(secret).verify(body, dict(headers))
    except (WebhookVerificationError, ValueError) as error:
        return str(error)
    return ""


def _type_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["type"])
    except (ValueError, TypeError, KeyError):
        return "(no type)"


def _readable(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")


# --- its servers


@contextmanager
def sink() -> Iterator[Sink]:
    """A sink that listens on free ports of this machine, until the end."""
    outside = Sink()
    mailbox = Controller(_Mailbox(outside), hostname=HOST, port=free_port())
    pages = ThreadingHTTPServer((HOST, 0), partial(_Handler, outside))
    outside.smtp = f"smtp://{HOST}:{mailbox.port}"
    outside.url = f"http://{HOST}:{pages.server_address[1]}/"
    serving = threading.Thread(target=pages.serve_forever, kwargs={"poll_interval": 0.1})
    mailbox.start()
    serving.start()
    try:
        with _Pushes(outside) as service:
            outside.device = service.subscribe("")
            yield outside
    finally:
        pages.shutdown()
        serving.join()
        pages.server_close()
        mailbox.stop()


class _Mailbox:
    """What aiosmtpd asks about each mail."""

    def __init__(self, outside: Sink) -> None:
        self.outside = outside

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        self.outside.take_mail(envelope.mail_from or "", envelope.rcpt_tos, raw)
        return "250 Kept"


class _Pushes(PushService):
    """Answers as push services do, and passes on what it could verify and decrypt."""

    def __init__(self, outside: Sink) -> None:
        super().__init__()
        self.outside = outside
        self._one_by_one = threading.Lock()

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        with self._one_by_one:
            known = len(self.outside.device.messages)
            answer = super().take(path, headers, body)
            for message in self.outside.device.messages[known:]:
                urgency = headers.get("Urgency", "normal")
                self.outside.take_push(message.notification, urgency)
        return answer


class _Handler(BaseHTTPRequestHandler):
    """The pages, the JSON and the webhook."""

    timeout = PATIENCE

    def __init__(self, outside: Sink, *connection: Any) -> None:
        self.outside = outside
        super().__init__(*connection)

    def do_GET(self) -> None:
        answer = self._page(self.path.partition("?")[0])
        if answer is None:
            answer = sink_pages.not_found()
        self._answer(answer)

    def do_POST(self) -> None:
        body = self._body() if self.path == "/webhook" else None
        if body is None:
            self.close_connection = True
            self.send_error(HTTPStatus.BAD_REQUEST, f"POST up to {BODY_LIMIT:,} bytes to /webhook")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        hook = self.outside.take_hook(headers, body)
        status = HTTPStatus.NO_CONTENT if hook.verified else HTTPStatus.UNAUTHORIZED
        self._answer(sink_pages.Answer("", status=status))

    def _page(self, path: str) -> sink_pages.Answer | None:
        mails, hooks = self.outside.mails, self.outside.hooks
        if path == "/":
            return sink_pages.overview(self.outside)
        if path == "/api/":
            found = {"mails": mails, "webhooks": hooks, "pushes": self.outside.pushes}
            text = json.dumps(found, default=asdict)
            return sink_pages.Answer(text, kind="application/json")
        if path in sink_pages.FILES:
            return sink_pages.file(path)
        if (mail := _numbered(r"/mail/(\d+)", path, mails)) is not None:
            return sink_pages.mail(mail)
        if (mail := _numbered(r"/mail/(\d+)/html", path, mails)) is not None:
            return sink_pages.html_of(mail)
        if (hook := _numbered(r"/webhook/(\d+)", path, hooks)) is not None:
            return sink_pages.hook(hook)
        return None

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            return None
        return self.rfile.read(int(length))

    def _answer(self, answer: sink_pages.Answer) -> None:
        body = answer.text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return  # the page is the log


def _numbered(pattern: str, path: str, kept: Sequence[Any]) -> Any:
    """Which of `kept` the path names; None for none of them."""
    found = re.fullmatch(pattern, path)
    wanted = int(found[1]) if found else 0
    return next((each for each in kept if each.number == wanted), None)
