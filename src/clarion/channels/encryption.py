"""Push messages that one browser alone can read (RFC 8188, RFC 8291), signed by us (RFC 8292)."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PLAINTEXT_LIMIT = 3993  # bytes: what is left of 4096 after header (86), delimiter (1) and tag (16)
TOKEN_LIFETIME = 3600  # seconds; RFC 8292 allows a day
TOKEN_RESERVE = 900  # seconds before its end at which a token is no longer used
_RECORD_SIZE = 4096
_CURVE = ec.SECP256R1()


@dataclass(frozen=True)
class Keys:
    """What a browser hands over so that messages to it can be encrypted."""

    public: bytes
    """Its point on P-256, uncompressed: 65 bytes."""
    secret: bytes
    """16 bytes that the push service doesn't know."""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Keys:
        """From {"p256dh", "auth"} in base64url. Raise `ValueError` that says what is wrong."""
        keys = cls(_bytes_of(given, "p256dh", 65), _bytes_of(given, "auth", 16))
        _point(keys.public)
        return keys


def _bytes_of(given: Mapping[str, Any], name: str, length: int) -> bytes:
    try:
        found = decode(given[name])
    except (KeyError, TypeError, AttributeError, ValueError):
        found = b""
    if len(found) != length:
        raise ValueError(f"keys.{name}: must be {length} bytes in base64url.")
    return found


def _point(public: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, public)
    except ValueError:
        raise ValueError("keys.p256dh: is not a point on the curve P-256.") from None


def encrypt(
    plaintext: bytes,
    keys: Keys,
    *,
    salt: bytes | None = None,
    sender: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body of a push request with `Content-Encoding: aes128gcm`: one record, no padding.

    Args:
        plaintext: at most PLAINTEXT_LIMIT bytes.
        salt: 16 bytes; a test hands it in, nobody uses one twice.
        sender: the key pair of this message alone; likewise.

    Raises:
        ValueError: the plaintext is too long, or the browser's key is not on the curve.
    """
    if len(plaintext) > PLAINTEXT_LIMIT:
        raise ValueError(f"A push message holds {PLAINTEXT_LIMIT} bytes, not {len(plaintext)}.")
    salt = salt or os.urandom(16)
    sender = sender or ec.generate_private_key(_CURVE)
    ours = _encoded(sender.public_key())
    shared = sender.exchange(ec.ECDH(), _point(keys.public))
    context = b"WebPush: info\0" + keys.public + ours
    seed = _derive(shared, keys.secret, context, 32)
    key = _derive(seed, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(seed, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_SIZE.to_bytes(4, "big") + len(ours).to_bytes(1, "big") + ours
    return header + AESGCM(key).encrypt(nonce, plaintext + b"\2", None)  # 2: the last record


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


@dataclass
class Vapid:
    """Tells push services who we are. One instance may be used by many threads.

    Args:
        private_key: 32 bytes in base64url.
        subject: whom the operator of a push service may write to: "mailto:..." or "https://...".

    Raises:
        ValueError: the private key is none.
    """

    private_key: str = field(repr=False)
    subject: str
    _tokens: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._key = _private_key(self.private_key)
        self.public_key = encode(_encoded(self._key.public_key()))
        """What browsers subscribe with: 65 bytes in base64url."""

    def authorization(self, origin: str, now: float) -> str:
        """The Authorization header for a push service, as of `now`, in seconds since 1970.

        Its token is used again for the same origin until shortly before it expires.
        """
        usable_until, token = self._tokens.get(origin, (0.0, ""))
        if now >= usable_until:
            token = self._token(origin, int(now) + TOKEN_LIFETIME)
            self._tokens[origin] = (now + TOKEN_LIFETIME - TOKEN_RESERVE, token)
        return f"vapid t={token}, k={self.public_key}"

    def _token(self, audience: str, expires: int) -> str:
        header = {"typ": "JWT", "alg": "ES256"}
        claims = {"aud": audience, "exp": expires, "sub": self.subject}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _private_key(text: str) -> ec.EllipticCurvePrivateKey:
    try:
        raw = decode(text)
        if len(raw) != 32:
            raise ValueError
        return ec.derive_private_key(int.from_bytes(raw, "big"), _CURVE)
    except ValueError:
        raise ValueError("is not a P-256 private key of 32 bytes in base64url.") from None


def new_private_key() -> str:
    """A private key for `Vapid`."""
    number = ec.generate_private_key(_CURVE).private_numbers().private_value
    return encode(number.to_bytes(32, "big"))


def _encoded(key: ec.EllipticCurvePublicKey) -> bytes:
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_bytes(serialization.Encoding.X962, form)


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Bytes from base64url, padded or not. Raise `ValueError`."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
