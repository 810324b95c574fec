"""Payload fields to JSON and back, checked against the annotations of a dataclass.

Both directions name the place of a fault: `items[2].due: expected a datetime, got 'tomorrow'`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from django.utils.dateparse import parse_date, parse_datetime, parse_duration, parse_time
from django.utils.duration import duration_iso_string

from clarion.exceptions import InvalidPayload

Json = Any
_MISSING = dataclasses.MISSING


def encode(instance: Any) -> dict[str, Json]:
    """Return the fields of a dataclass instance as JSON values. Raise `InvalidPayload`."""
    cls: Any = type(instance)
    hints = hints_of(cls)
    return {
        entry.name: _encode(getattr(instance, entry.name), hints[entry.name], entry.name)
        for entry in dataclasses.fields(instance)
    }


def decode(cls: type, data: Mapping[str, Json]) -> Any:
    """Return an instance of the dataclass `cls`. Raise `InvalidPayload`."""
    if not isinstance(data, Mapping):
        raise InvalidPayload(f"expected an object with the fields of {cls.__name__}, got {data!r}")
    fields = {entry.name: entry for entry in dataclasses.fields(cls) if entry.init}
    if unknown := set(data) - set(fields):
        raise InvalidPayload(f"{cls.__name__} has no field {sorted(unknown)[0]!r}")
    if missing := [name for name in fields if name not in data and _required(fields[name])]:
        raise InvalidPayload(f"{cls.__name__} needs the field {missing[0]!r}")
    hints = hints_of(cls)
    return cls(**{name: _decode(value, hints[name], name) for name, value in data.items()})


def supported(annotation: Any) -> bool:
    """Whether a payload field may be annotated so."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return all(supported(option) for option in arguments)
    if origin is Literal:
        return True
    if origin in (list, tuple, dict):
        return all(supported(inner) for inner in arguments if inner is not Ellipsis)
    if dataclasses.is_dataclass(annotation):
        return all(supported(hint) for hint in hints_of(typing.cast(type, annotation)).values())
    return (
        annotation in (Any, None, type(None), list, dict)
        or annotation in _SCALARS
        or (isinstance(annotation, type) and issubclass(annotation, enum.Enum))
    )


def _required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is _MISSING and entry.default_factory is _MISSING


@functools.cache
def hints_of(cls: Any) -> dict[str, Any]:
    """The annotations of a dataclass's fields, resolved."""
    hints = typing.get_type_hints(cls)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(cls)}


def _parsed(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        result = parse(value) if isinstance(value, str) else None
        if result is None:
            raise ValueError(value)
        return result

    return read


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(value)
        return value

    return read


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(value)
    return float(value)


def _aware(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a naive datetime; use django.utils.timezone")
    return value.isoformat()


# kind -> (to JSON, from JSON)
_SCALARS: dict[Any, tuple[Callable[[Any], Json], Callable[[Json], Any]]] = {
    str: (str, _exactly(str)),
    bool: (bool, _exactly(bool)),
    int: (int, _exactly(int)),
    float: (_float, _float),
    Decimal: (str, _parsed(Decimal)),
    UUID: (str, _parsed(UUID)),
    datetime: (_aware, _parsed(parse_datetime)),
    date: (date.isoformat, _parsed(parse_date)),
    time: (time.isoformat, _parsed(parse_time)),
    timedelta: (duration_iso_string, _parsed(parse_duration)),
}


def _encode(value: Any, hint: Any, path: str) -> Json:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first(_encode, value, arguments, path)
    if origin is Literal:
        return _literal(value, arguments, path)
    if origin in (list, tuple) or hint is list:
        return _each(_encode, value, arguments, path, (list, tuple))
    if origin is dict or hint is dict:
        return _mapping(_encode, value, arguments, path)
    if dataclasses.is_dataclass(hint):
        _expect(isinstance(value, typing.cast(type, hint)), value, hint, path)
        return {name: _encode(getattr(value, name), kind, f"{path}.{name}")
                for name, kind in hints_of(typing.cast(type, hint)).items()}  # fmt: skip
    return _encode_plain(value, hint, path)


def _encode_plain(value: Any, hint: Any, path: str) -> Json:
    if hint is Any:
        return _json(value, path)
    if hint in (None, type(None)):
        _expect(value is None, value, hint, path)
        return None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        _expect(isinstance(value, hint), value, hint, path)
        return value.value
    fits = type(value) in (int, float) if hint is float else isinstance(value, hint)
    fits = fits and not (hint in (int, float) and isinstance(value, bool))
    _expect(fits and not (hint is date and isinstance(value, datetime)), value, hint, path)
    try:
        return _json(_SCALARS[hint][0](value), path)
    except ValueError as error:
        raise InvalidPayload(f"{path}: {error}") from error


def _decode(value: Json, hint: Any, path: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first(_decode, value, arguments, path)
    if origin is Literal:
        return _literal(value, arguments, path)
    if origin is tuple:
        return tuple(_each(_decode, value, arguments, path, (list, tuple)))
    if origin is list or hint is list:
        return _each(_decode, value, arguments, path, (list, tuple))
    if origin is dict or hint is dict:
        return _mapping(_decode, value, arguments, path)
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), value)
    return _decode_plain(value, hint, path)


def _decode_plain(value: Json, hint: Any, path: str) -> Any:
    if hint is Any:
        return value
    if hint in (None, type(None)):
        _expect(value is None, value, hint, path)
        return None
    try:
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return hint(value)
        return _SCALARS[hint][1](value)
    except (ValueError, InvalidOperation):
        _expect(False, value, hint, path)


def _first(walk: Callable[..., Any], value: Any, options: tuple[Any, ...], path: str) -> Any:
    for option in options:
        try:
            return walk(value, option, path)
        except InvalidPayload:
            continue
    expected = " or ".join(_name(option) for option in options)
    raise InvalidPayload(f"{path}: expected {expected}, got {_shown(value)}")


def _literal(value: Any, options: tuple[Any, ...], path: str) -> Any:
    if value not in options:
        raise InvalidPayload(f"{path}: expected one of {list(options)}, got {_shown(value)}")
    return value


def _each(
    walk: Callable[..., Any], value: Any, arguments: tuple[Any, ...], path: str, kinds: Any
) -> list[Any]:
    _expect(isinstance(value, kinds), value, list, path)
    fixed = bool(arguments) and Ellipsis not in arguments and len(arguments) > 1
    if fixed and len(arguments) != len(value):
        raise InvalidPayload(f"{path}: expected {len(arguments)} values, got {len(value)}")
    hints = arguments if fixed else (*(arguments[:1] or (Any,)),) * len(value)
    return [
        walk(inner, hint, f"{path}[{index}]")
        for index, (inner, hint) in enumerate(zip(value, hints, strict=True))
    ]


def _mapping(walk: Callable[..., Any], value: Any, arguments: tuple[Any, ...], path: str) -> Any:
    _expect(isinstance(value, dict), value, dict, path)
    for name in value:
        _expect(isinstance(name, str), name, str, f"{path} (a key)")
    hint = arguments[1] if arguments else Any
    return {name: walk(inner, hint, f"{path}.{name}") for name, inner in value.items()}


def _json(value: Any, path: str) -> Json:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidPayload(f"{path}: {_shown(value)} can't be stored as JSON") from None
    return value


def _expect(condition: bool, value: Any, hint: Any, path: str) -> None:
    if not condition:
        raise InvalidPayload(f"{path}: expected {_name(hint)}, got {_shown(value)}")


def _name(hint: Any) -> str:
    return "nothing" if hint in (None, type(None)) else getattr(hint, "__name__", str(hint))


def _shown(value: Any) -> str:
    from django.db.models import Model

    if isinstance(value, Model):  # the most common slip deserves the cure
        return f"a {type(value).__name__}; pass it as actor= or target=, or store its pk"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
