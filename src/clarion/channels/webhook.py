"""Signed JSON to other programs, by the Standard Webhooks specification.

    endpoint, secret = webhook.register(None, "https://crm.example/hooks", types=["grade.*"])

The secret is shown once, and verified on the other side with any library for Standard Webhooks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from clarion import reach
from clarion.channels import guard
from clarion.channels.base import Channel, Entry, Envelope, Preview, Receipt
from clarion.exceptions import EndpointGone, PermanentFailure, TransientFailure
from clarion.models import Endpoint

PREFIX = "whsec_"
SIZE_LIMIT = 20_000  # bytes of a body; the specification recommends less than 20 kB
_SECRET_BYTES = 32
_SECRETS = 5  # of one endpoint; each makes the signature header longer
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class WebhookChannel(Channel):
    """The channel "webhook". Any 2xx is success; what else is answered is tried for three days."""

    timeout: float = 15
    allow_http: bool = False
    """Also take URLs without TLS, whose content others can read."""
    allow_private: bool = False
    """Also send into private networks and to this machine: for local development."""

    waits: ClassVar[Sequence[timedelta]] = (
        timedelta(seconds=5), 5 * _MINUTE, 30 * _MINUTE,
        2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
    )  # fmt: skip
    gathers: ClassVar[bool] = False
    retire_after: ClassVar[timedelta | None] = timedelta(days=5)
    parallel: ClassVar[int] = 8

    def check_address(self, address: str) -> str:
        """A public HTTPS URL, unless the options say otherwise. Raise `InvalidAddress`."""
        return guard.check(address, allow_private=self.allow_private, schemes=self._schemes)

    @property
    def _schemes(self) -> Sequence[str]:
        return ("https", "http") if self.allow_http else ("https",)

    def send(self, envelope: Envelope) -> Receipt:
        """Raise what `Channel.send` says. The `webhook-id` is the same on every try."""
        now = timezone.now()
        keys = _keys(envelope.address.data, now)
        if not keys:
            raise PermanentFailure("the endpoint has no secret yet; webhook.rotate() gives it one")
        body = body_of(envelope)
        answer = guard.post(
            envelope.address.value,
            body=body,
            headers=_headers(f"msg_{envelope.id}", now, body, keys),
            timeout=self.timeout,
            allow_private=self.allow_private,
            schemes=self._schemes,
        )
        return _receipt(envelope, answer)

    def preview(self, envelope: Envelope) -> Preview:
        """The body, with its lines broken."""
        message = json.loads(body_of(envelope))
        return Preview(kind="json", body=json.dumps(message, indent=2, ensure_ascii=False))


def _headers(message: str, now: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    moment = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "django-clarion",
        "webhook-id": message,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(sign(message, moment, body, key) for key in keys),
    }


def sign(message: str, moment: str, body: bytes, key: bytes) -> str:
    """The signature of a body: HMAC-SHA256 over id, timestamp and body."""
    signed = hmac.digest(key, f"{message}.{moment}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _receipt(envelope: Envelope, answer: guard.Answer) -> Receipt:
    if answer.ok:
        return Receipt(reference=f"msg_{envelope.id}", detail=f"answered {answer.status}")
    if answer.status == 410:
        raise EndpointGone("answered 410: the endpoint is gone")
    if 300 <= answer.status < 400:
        raise TransientFailure(
            f"answered with a redirect ({answer.status}), which is not followed",
            retry_after=answer.retry_after,
        )
    raise TransientFailure(f"answered {answer.status}", retry_after=answer.retry_after)


# --- what it says


@dataclass(frozen=True)
class _Cut:
    """How much is told of each notification, and of how many."""

    text: int | None = None
    payload: bool = True
    items: int = 50


_WHOLE = _Cut()
_CUTS = (
    _WHOLE,
    _Cut(text=500),
    _Cut(text=200, payload=False),
    _Cut(text=200, payload=False, items=10),
    _Cut(text=100, payload=False, items=1),
)


def body_of(envelope: Envelope) -> bytes:
    """The JSON of an envelope: of one notification, or "clarion.digest" of several.

    What would be over SIZE_LIMIT is cut until it fits, and says so by `"truncated": true`.
    """
    made = b""
    for cut in _CUTS:
        made = json.dumps(_message(envelope, cut), ensure_ascii=False, default=str).encode()
        if len(made) <= SIZE_LIMIT:
            break
    return made


def _message(envelope: Envelope, cut: _Cut) -> dict[str, Any]:
    entries = [_entry(entry, cut) for entry in envelope.entries]
    newest = max(entry.created_at for entry in envelope.entries)
    if envelope.count == 1:
        name, data = envelope.entries[0].type, entries[0]
    else:
        shown = entries[-cut.items :]
        name, data = "clarion.digest", {"count": envelope.count, "items": shown}
    if cut is not _WHOLE:
        data["truncated"] = True
    return {"type": name, "timestamp": _iso(newest), "data": data}


def _entry(entry: Entry, cut: _Cut) -> dict[str, Any]:
    return {
        "event": entry.event,
        "notification": entry.notification,
        "type": entry.type,
        "category": entry.category,
        "level": entry.level.value,
        "title": _short(entry.content.title, cut),
        "body": _short(entry.content.body, cut),
        "url": _whole_or_nothing(entry.content.url, cut),
        "actor": _short(entry.actor, cut),
        "target": _whole_or_nothing(entry.target, cut),
        "count": entry.count,
        "created_at": _iso(entry.created_at),
        "payload": dict(entry.data) if cut.payload else {},
    }


def _short(text: str, cut: _Cut) -> str:
    return text if cut.text is None or len(text) <= cut.text else text[: cut.text - 1] + "…"


def _whole_or_nothing(text: str, cut: _Cut) -> str:
    """Half a link leads nowhere."""
    return text if cut.text is None or len(text) <= 5 * cut.text else ""


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- its secrets


def new_secret() -> str:
    """A secret to sign with, as the specification writes it: "whsec_" and 32 bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def register(
    recipient: Any,
    url: str,
    *,
    types: Iterable[str] = (),
    group: Group | None = None,
    label: str = "",
    channel: str = "webhook",
) -> tuple[Endpoint, str]:
    """Store a webhook of a person, or with `recipient` None of a team.

    Returns:
        The endpoint, and its secret: show it now. A URL that is registered again gets a new one.

    Raises:
        InvalidAddress: it can't be sent to; the text says why.
    """
    secret = new_secret()
    endpoint = reach.add(
        recipient,
        channel,
        url,
        label=label,
        data={"secrets": [{"secret": secret, "until": None}]},
        group=group,
        types=types,
    )
    return endpoint, secret


def rotate(endpoint: Endpoint, *, keep: timedelta = timedelta(hours=24)) -> str:
    """Give an endpoint a new secret, and return it. The ones before sign too, for `keep` longer."""
    secret, now = new_secret(), timezone.now()
    end = (now + keep).isoformat()
    with transaction.atomic():
        row = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        older = [
            {"secret": each["secret"], "until": min(each["until"] or end, end)}
            for each in _valid(row.data, now)
        ]
        kept = [{"secret": secret, "until": None}, *older[: _SECRETS - 1]]
        row.data = row.data | {"secrets": kept}
        row.save(update_fields=["data"])
    endpoint.data = row.data
    return secret


def _valid(data: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """The secrets that still hold, newest first."""
    return [
        each
        for each in data.get("secrets", ())
        if each["until"] is None or datetime.fromisoformat(each["until"]) > now
    ]


def _keys(data: Mapping[str, Any], now: datetime) -> list[bytes]:
    try:
        return [base64.b64decode(each["secret"].removeprefix(PREFIX)) for each in _valid(data, now)]
    except (binascii.Error, KeyError, TypeError, AttributeError, ValueError):
        raise PermanentFailure("the endpoint's secrets can't be read; register it anew") from None
