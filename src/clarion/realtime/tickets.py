"""Short signed tickets: they let a client in without a cookie or a look at the database."""

from __future__ import annotations

import json
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.signing import (
    BadSignature,
    SignatureExpired,
    TimestampSigner,
    b64_decode,
    b64_encode,
)

from clarion.conf import settings
from clarion.realtime.auth import EXPIRED, UNAUTHENTICATED, Identity, identity_of
from clarion.realtime.connection import Unavailable

PREFIX = "ticket."  # of the WebSocket sub-protocol that carries one; browsers can't send headers


def issue(request: Any) -> str:
    """A ticket for the signed-in user of `request`, good for TICKET_AGE seconds.

    It may stand in a WebSocket sub-protocol, so it has only characters of a token (RFC 9110).
    """
    person = identity_of(request.user, request.session)
    held = [person.pk, person.session, person.credential, person.expires]
    payload = json.dumps(held, cls=DjangoJSONEncoder, separators=(",", ":"))
    return _signer().sign(b64_encode(payload.encode()).decode())


def read(ticket: str) -> Identity:
    """Who holds the ticket. Raise `Unavailable`: 4004 if it is too old, 4500 if it isn't ours.

    Whether they are still active and the password is the same is checked with the first position.
    """
    try:
        payload = _signer().unsign(ticket, max_age=settings.TICKET_AGE)
        pk, session, credential, expires = json.loads(b64_decode(payload.encode()))
        pk = get_user_model()._meta.pk.to_python(pk)
    except SignatureExpired as error:
        raise Unavailable(EXPIRED) from error
    except (BadSignature, ValueError, ValidationError) as error:
        raise Unavailable(UNAUTHENTICATED) from error
    if expires is not None and expires < time.time():
        raise Unavailable(EXPIRED)
    return Identity(pk, session, credential, expires)


def _signer() -> TimestampSigner:
    return TimestampSigner(sep="~", salt="clarion.ticket")
