"""Types: what may be registered, and payloads that come back as they went in."""

from __future__ import annotations

import enum
from dataclasses import dataclass, make_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from clarion import Action, Audience, Content, NotificationType, audience, register, schema
from clarion.exceptions import InvalidNotification, InvalidPayload, UnknownAudience, UnknownType
from clarion.types import all_types, get_type


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Place:
    name: str
    floor: int = 0


@dataclass(frozen=True)
class Everything:
    text: str
    number: int
    share: float
    yes: bool
    price: Decimal
    ident: UUID
    moment: datetime
    day: date
    clock: time
    span: timedelta
    colour: Colour
    kind: Literal["a", "b"]
    names: list[str]
    pair: tuple[int, str]
    many: tuple[int, ...]
    by_name: dict[str, int]
    place: Place
    maybe: str | None
    whatever: Any


everything = st.builds(
    Everything,
    text=st.text(),
    number=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    yes=st.booleans(),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    ident=st.uuids(),
    moment=st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    clock=st.times(),
    span=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9999)),
    colour=st.sampled_from(Colour),
    kind=st.sampled_from(["a", "b"]),
    names=st.lists(st.text(max_size=5), max_size=3),
    pair=st.tuples(st.integers(), st.text(max_size=5)),
    many=st.lists(st.integers(), max_size=3).map(tuple),
    by_name=st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    place=st.builds(Place, name=st.text(max_size=5), floor=st.integers()),
    maybe=st.none() | st.text(max_size=5),
    whatever=st.none() | st.lists(st.integers(), max_size=2),
)


@given(everything)
def test_a_payload_comes_back_as_it_went_in(instance):
    assert schema.decode(Everything, schema.encode(instance)) == instance


@pytest.mark.parametrize(
    ("hint", "value", "says"),
    [
        (str, 1, "expected str, got 1"),
        (int, True, "expected int"),
        (int, 1.5, "expected int"),
        (float, float("nan"), "JSON"),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "expected date"),
        (datetime, datetime(2026, 1, 1), "naive"),
        (list[int], [1, "2"], r"field\[1\]: expected int"),
        (list[int], 3, "expected list"),
        (tuple[int, str], (1,), "expected 2 values"),
        (dict[str, int], {"a": "b"}, "field.a: expected int"),
        (dict[str, int], {1: 2}, "a key"),
        (Literal["a"], "b", "one of"),
        (Colour, "red", "expected Colour"),
        (Place, {"name": "x"}, "expected Place"),
        (str | None, 1, "str or nothing"),
        (Any, object(), "JSON"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(hint, value, says):
    cls = make_dataclass("Made", [("field", hint)], namespace={"__module__": __name__})

    with pytest.raises(InvalidPayload, match=says):
        schema.encode(cls(value))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "needs the field 'name'"),
        ({"name": "x", "room": 1}, "no field 'room'"),
        ({"name": 3}, "expected str"),
        ([], "expected an object"),
    ],
)
def test_stored_payloads_are_checked_too(data, says):
    with pytest.raises(InvalidPayload, match=says):
        schema.decode(Place, data)


def test_a_field_added_later_takes_its_default():
    assert schema.decode(Place, {"name": "hall"}) == Place("hall", 0)


def say(self, event):
    return Content(title="x")


def made(fields=(), **namespace):
    """A type with these fields and attributes, as a developer might write it."""
    namespace = {"type": "made.up", "example": {}, "content": say, **namespace}
    namespace = {name: value for name, value in namespace.items() if value is not None}
    return make_dataclass(
        "Made", fields, bases=(NotificationType,), namespace=namespace, frozen=True, kw_only=True
    )


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (lambda: made(type="Not Dotted"), "dotted lower-case"),
        (lambda: made(type="x" * 101), "dotted lower-case"),
        (lambda: made(example=None), "example is missing"),
        (lambda: made([("title", str)], example={}), "needs the field 'title'"),
        (lambda: made([("user", object)]), "can't be stored"),
        (lambda: made(type="message"), "taken"),
        (lambda: type("Plain", (NotificationType,), {"type": "a.b", "content": say}), "dataclass"),
    ],
)
def test_a_type_that_cannot_work_is_refused_at_start_up(cls, says):
    with pytest.raises(ImproperlyConfigured, match=says):
        register(cls())


def test_types_are_found_in_the_apps_that_define_them():
    assert get_type("article.commented").__name__ == "Commented"
    assert {"article.commented", "message"} <= {cls.type for cls in all_types()}
    with pytest.raises(UnknownType, match=r"Did you mean 'article\.commented'"):
        get_type("article.comented")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "ftp://x/y", "http:nowhere", "https://[x", None],
)
def test_links_lead_to_pages_only(url):
    with pytest.raises(InvalidNotification):
        Content(title="x", url=url)
    with pytest.raises(InvalidNotification):
        Action("x", url)


def test_an_action_is_get_or_post():
    with pytest.raises(InvalidNotification, match="DELETE"):
        Action("x", "/", method="DELETE")


def test_an_audience_has_one_meaning():
    with pytest.raises(ValueError, match="registered already"):

        @audience("everyone")
        def somebody():
            return None

    with pytest.raises(UnknownAudience, match="Known: "):
        Audience("zzz")
    assert repr(Audience("authors", prefix="a")) == "Audience('authors', prefix='a')"
