"""What PostgreSQL understands and the ORM does not say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_array(ids: Iterable[Any]) -> str:
    """Primary keys as PostgreSQL writes an array; psycopg needs ten times as long for thousands."""
    elements = ",".join(str(pk) if type(pk) is int else _quoted(str(pk)) for pk in ids)
    return f"{{{elements}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
