"""Short signed tickets: they let a client in without a cookie or a look at the database.

A reconnect storm checks thousands a second, so they are signed by keyed BLAKE2b (RFC 7693) with
keys made once from SECRET_KEY and SECRET_KEY_FALLBACKS; Django's signer takes five times as long.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.signing import b64_decode, b64_encode
from django.utils.crypto import constant_time_compare, salted_hmac

from clarion.conf import settings
from clarion.realtime.auth import EXPIRED, UNAUTHENTICATED, Identity, identity_of
from clarion.realtime.connection import Unavailable

PREFIX = "ticket."  # of the WebSocket sub-protocol that carries one; browsers can't send headers


def issue(request: Any) -> str:
    """A ticket for the signed-in user of `request`, good for TICKET_AGE seconds.

    It may stand in a WebSocket sub-protocol, so it has only characters of a token (RFC 9110).
    """
    person = identity_of(request.user, request.session)
    held = [person.pk, person.session, person.credential, person.expires, time.time()]
    payload = b64_encode(json.dumps(held, cls=DjangoJSONEncoder, separators=(",", ":")).encode())
    return b"~".join([payload, _signature(payload, django_settings.SECRET_KEY)]).decode()


def read(ticket: str) -> Identity:
    """Who holds the ticket. Raise `Unavailable`: 4004 if it is too old, 4500 if it isn't ours.

    Whether they are still active and the password is the same is checked with the first position.
    """
    try:
        payload, _, signature = ticket.encode("ascii").partition(b"~")
        if not _is_ours(payload, signature):
            raise ValueError("signature")
        pk, session, credential, expires, issued = json.loads(b64_decode(payload))
        pk = get_user_model()._meta.pk.to_python(pk)
    except (ValueError, ValidationError) as error:
        raise Unavailable(UNAUTHENTICATED) from error
    now = time.time()
    if now > issued + settings.TICKET_AGE or (expires is not None and now > expires):
        raise Unavailable(EXPIRED)
    return Identity(pk, session, credential, expires)


def _is_ours(payload: bytes, signature: bytes) -> bool:
    for secret in (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS):
        if constant_time_compare(signature, _signature(payload, secret)):
            return True
    return False


def _signature(payload: bytes, secret: str | bytes) -> bytes:
    return b64_encode(hashlib.blake2b(payload, key=_key(secret), digest_size=24).digest())


@lru_cache(maxsize=8)
def _key(secret: str | bytes) -> bytes:
    return salted_hmac("clarion.ticket", "", secret=secret, algorithm="sha256").digest()
