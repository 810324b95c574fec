"""Where a page of an inbox ends: keyset cursors, the last page costs what the first does."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, DateTimeField, F, Func, Value
from django.db.models.lookups import LessThan

from clarion.exceptions import BadCursor
from clarion.models import Notification


def after(last: Notification) -> str:
    """The cursor of the page that follows this row."""
    raw = json.dumps([int(last.pinned), last.arrived_at.isoformat(), last.pk])
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def behind(cursor: str) -> LessThan:
    """A condition for rows behind the cursor, in the order of NEWEST_FIRST. Raise `BadCursor`."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        pinned, text, pk = json.loads(raw)
        moment = datetime.fromisoformat(text)
        pinned, pk = bool(pinned), int(pk)
    except (ValueError, TypeError) as error:
        raise BadCursor("before: not a cursor; use `next` of the page before.") from error
    if moment.tzinfo is None or abs(pk) >= 2**63:
        raise BadCursor("before: not a cursor; use `next` of the page before.")
    return LessThan(
        _row_of(F("pinned"), F("arrived_at"), F("pk")),
        _row_of(Value(pinned), Value(moment, DateTimeField()), Value(pk)),
    )


def _row_of(*columns: Any) -> Func:
    """A row value, which an index over the same columns compares as a whole."""
    return Func(*columns, template="(%(expressions)s)", output_field=BooleanField())
