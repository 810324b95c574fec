"""A push service for the desk (RFC 8030), strict about what it is sent.

    with PushService() as service:
        browser = service.subscribe(application_key)
        ...
        [message] = browser.messages

It checks the VAPID token (RFC 8292) and decrypts with the keys of the browser (RFC 8188, RFC 8291),
by code of its own: it shares none with the package.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

URGENCIES = ("very-low", "low", "normal", "high")
DAY = 86_400


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class Message:
    """What arrived for a browser, decrypted."""

    plaintext: bytes
    headers: Mapping[str, str]
    claims: Mapping[str, Any]
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.plaintext)

    @property
    def notification(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.json["notification"]
        return shown


@dataclass
class Browser:
    """A subscription, and the private half of its keys."""

    endpoint: str
    application_key: str
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    messages: list[Message] = field(default_factory=list)
    """All that was sent here, whatever the answer."""

    @property
    def public(self) -> bytes:
        form = serialization.PublicFormat.UncompressedPoint
        return self.private.public_key().public_bytes(serialization.Encoding.X962, form)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": encode(self.public), "auth": encode(self.secret)}

    def decrypt(self, body: bytes) -> bytes:
        """One record of aes128gcm. Raise `ValueError` or `InvalidTag`."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        if size < 18 or len(record) > size:
            raise ValueError("more than one record")
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        shared = self.private.exchange(ec.ECDH(), point)
        info = b"WebPush: info\0" + self.public + sender
        prk = _hmac(salt, _hmac(_hmac(self.secret, shared), info + b"\1"))
        key = _hmac(prk, b"Content-Encoding: aes128gcm\0\1")[:16]
        nonce = _hmac(prk, b"Content-Encoding: nonce\0\1")[:12]
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        if padded[-1:] != b"\2":
            raise ValueError("no delimiter of a last record")
        return padded[:-1]


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


class PushService:
    """Runs while it is a context. Answers 201, or what it is told to with `answer_with`."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.browsers: dict[str, Browser] = {}
        self.faults: list[str] = []
        """What was wrong with requests. A test that is over has none."""
        self._orders: deque[tuple[int, dict[str, str]]] = deque()

    def __enter__(self) -> PushService:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def subscribe(self, application_key: str) -> Browser:
        """What `pushManager.subscribe({applicationServerKey})` does behind the scenes."""
        path = f"/push/{secrets.token_urlsafe(16)}"
        browser = Browser(self.origin + path, application_key)
        self.browsers[path] = browser
        return browser

    def answer_with(self, status: int, **headers: str) -> None:
        """Once; further calls queue up."""
        self._orders.append(
            (status, {name.replace("_", "-"): value for name, value in headers.items()})
        )

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        browser = self.browsers.get(path)
        if browser is None:
            return 404, {}
        try:
            claims = self._claims(headers, browser)
            _check_headers(headers, body)
            plaintext = browser.decrypt(body)
        except (ValueError, InvalidTag, InvalidSignature, KeyError) as fault:
            self.faults.append(repr(fault))
            return 400, {}
        location = {"Location": f"{self.origin}/message/{secrets.token_urlsafe(8)}"}
        status, extra = self._orders.popleft() if self._orders else (201, location)
        browser.messages.append(Message(plaintext, headers, claims, status))
        return status, extra

    def _claims(self, headers: Mapping[str, str], browser: Browser) -> dict[str, Any]:
        found = re.fullmatch(r"vapid t=([\w.-]+), k=([\w-]+)", headers["Authorization"])
        if found is None:
            raise ValueError("Authorization is not vapid")
        token, key = found.groups()
        if key != browser.application_key:
            raise ValueError("not the key that the browser subscribed with")
        signed, _, signature = token.rpartition(".")
        head, claims = (json.loads(decode(part)) for part in signed.split("."))
        if head != {"typ": "JWT", "alg": "ES256"}:
            raise ValueError(f"JWT header {head}")
        _verify(decode(key), decode(signature), signed.encode())
        if claims["aud"] != self.origin or not 0 < claims["exp"] - time.time() <= DAY:
            raise ValueError(f"JWT claims {claims}")
        if not claims["sub"].startswith(("mailto:", "https:")):
            raise ValueError(f"JWT sub {claims['sub']}")
        return dict(claims)


def _verify(key: bytes, signature: bytes, signed: bytes) -> None:
    if len(signature) != 64:
        raise ValueError("ES256 signatures have 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


def _check_headers(headers: Mapping[str, str], body: bytes) -> None:
    if headers["Content-Encoding"] != "aes128gcm":
        raise ValueError("Content-Encoding")
    if not headers["TTL"].isdigit():
        raise ValueError("TTL")
    if headers.get("Urgency", "normal") not in URGENCIES:
        raise ValueError("Urgency")
    if not re.fullmatch(r"[\w-]{1,32}", headers.get("Topic") or "-"):
        raise ValueError("Topic")
    if len(body) > 4096:
        raise ValueError("more than 4096 bytes")


def _handler(service: PushService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = service.take(self.path, self.headers, body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    return Handler
