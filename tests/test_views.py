"""The JSON endpoints: strict in what they take, private in what they give."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from clarion import announce, inbox, notify
from clarion.realtime import tickets

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db(transaction=True)
API = "/notifications/api/"


@pytest.fixture
def signed_in(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def told(user: User, *titles: str) -> list[int]:
    """Notify of each title and return the ids of the rows, newest first."""
    for title in titles:
        notify(title, to=user)
    return [item["id"] for item in inbox.page(user).items]


def post(client: Client, path: str, **fields: Any) -> HttpResponse:
    return client.post(API + path, json.dumps(fields), content_type="application/json")


def is_problem(answer: HttpResponse, status: int, saying: str) -> bool:
    found = json.loads(answer.content)
    return (
        answer.status_code == found["status"] == status
        and answer["Content-Type"] == "application/problem+json"
        and bool(found["title"])
        and saying in found["detail"]
    )


def test_a_page_has_items_counts_and_the_positions_read_before_them(
    alice: User, signed_in: Client
) -> None:
    told(alice, "One", "Two", "Three")

    first = signed_in.get(API + "inbox/?limit=2").json()
    rest = signed_in.get(API + "inbox/", {"limit": 2, "before": first["next"]}).json()

    assert [item["title"] for item in first["items"]] == ["Three", "Two"]
    assert [item["title"] for item in rest["items"]] == ["One"]
    assert rest["next"] is None
    assert first["counts"] == {"unread": 3, "unseen": 3}
    assert first["position"] == str(inbox.position(alice))
    assert first["public"] == ".0"


def test_changes_lead_from_a_position_to_now(alice: User, signed_in: Client) -> None:
    told(alice, "One")
    start = str(inbox.position(alice))
    told(alice, "Two")
    announce("For all")

    answer = signed_in.get(API + "changes/", {"inbox": start, "public": ".0"}).json()

    own = [frame for frame in answer["frames"] if frame["stream"] == "inbox"]
    titles = [item["title"] for frame in own for item in frame["items"]]
    assert titles == ["Two", "For all"]
    assert [frame["stream"] for frame in answer["frames"]] == ["public", "inbox"]
    assert answer["streams"]["inbox"]["version"] == own[-1]["version"]
    assert answer["counts"] == {"unread": 3, "unseen": 3}
    assert answer["interval"] == 10


def test_a_mark_answers_with_the_version_and_the_counts(alice: User, signed_in: Client) -> None:
    two, one = told(alice, "One", "Two")

    answer = post(signed_in, "mark/", **{"as": "read", "ids": [one]}).json()

    assert answer["changed"] == 1
    assert answer["counts"] == {"unread": 1, "unseen": 1}
    assert answer["version"] == inbox.position(alice).version
    again = post(signed_in, "mark/", **{"as": "read", "ids": [one]}).json()
    assert (again["changed"], again["version"]) == (0, answer["version"])
    up_to = post(signed_in, "mark/", **{"as": "read", "upto": answer["version"]}).json()
    assert up_to["counts"]["unread"] == 0
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    assert post(signed_in, "mark/", **{"as": "snoozed", "ids": [two], "until": later}).json()[
        "changed"
    ]


def test_marking_the_rows_of_others_changes_nothing(
    alice: User, bob: User, signed_in: Client
) -> None:
    bobs = told(bob, "For Bob")

    answer = post(signed_in, "mark/", **{"as": "read", "ids": bobs}).json()

    assert answer["changed"] == 0
    assert inbox.counts(bob).unread == 1


def test_a_ticket_names_who_asked_for_it(alice: User, signed_in: Client) -> None:
    answer = signed_in.post(API + "ticket/").json()

    assert tickets.read(answer["ticket"]).pk == alice.pk
    assert answer["expires_in"] == 600


@pytest.mark.parametrize("path", ["inbox/", "changes/"])
def test_answers_are_for_one_person_and_not_kept(signed_in: Client, path: str) -> None:
    answer = signed_in.get(API + path)

    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))


@pytest.mark.parametrize("path", ["inbox/", "changes/"])
def test_visitors_are_told_to_sign_in(path: str, db: None) -> None:
    assert is_problem(Client().get(API + path), 401, "Sign in")
    assert is_problem(post(Client(), "mark/"), 401, "Sign in")
    assert is_problem(Client().post(API + "ticket/"), 401, "Sign in")


def test_visitors_hear_announcements_where_the_site_allows_it(db: None, settings: Any) -> None:
    settings.CLARION = {**settings.CLARION, "PUBLIC_ANONYMOUS": True}
    announce("Open day")

    answer = Client().get(API + "changes/?public=.0").json()

    assert [item["title"] for frame in answer["frames"] for item in frame["items"]] == ["Open day"]
    assert "inbox" not in answer["streams"]
    assert is_problem(Client().get(API + "inbox/"), 401, "Sign in")


def test_a_post_without_the_csrf_token_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert is_problem(post(client, "mark/", **{"as": "seen", "upto": 1}), 403, "CSRF")
    assert is_problem(client.post(API + "ticket/"), 403, "CSRF")


def test_the_csrf_token_in_the_header_is_enough(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    told(alice, "One")
    client.get("/notifications/")
    token = client.cookies["csrftoken"].value
    fields = json.dumps({"as": "seen", "upto": 1})

    answer = client.post(
        API + "mark/", fields, content_type="application/json", headers={"X-CSRFToken": token}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("query", "saying"),
    [
        ("filter=nonsense", "nonsense"),
        ("limit=0", "limit"),
        ("limit=101", "100"),
        ("limit=ten", "whole number"),
        ("limit=9999999999", "whole number"),
        ("before=%00", "before"),
        ("before=WzFd", "before"),
        ("page=2", "'page': unknown parameter. Known: filter, before, limit."),
        ("limit=1&limit=2", "more than once"),
    ],
)
def test_a_bad_page_is_refused_by_name(signed_in: Client, query: str, saying: str) -> None:
    assert is_problem(signed_in.get(f"{API}inbox/?{query}"), 400, saying)


@pytest.mark.parametrize("query", ["inbox=garbage", "inbox=", "public=a.-1", "since=1"])
def test_a_bad_cursor_is_refused(signed_in: Client, query: str) -> None:
    answer = signed_in.get(f"{API}changes/?{query}")

    assert is_problem(answer, 400, "epoch.version") or is_problem(answer, 400, "unknown parameter")


@pytest.mark.parametrize(
    ("fields", "saying"),
    [
        ({"as": "eaten", "ids": [1]}, "'eaten' is not one of"),
        ({"ids": [1]}, "as: missing"),
        ({"as": "read"}, "either ids or upto"),
        ({"as": "read", "ids": [1], "upto": 3}, "either ids or upto"),
        ({"as": "pinned", "upto": 3}, "upto"),
        ({"as": "read", "ids": ["x"]}, "'x' is not the id"),
        ({"as": "read", "ids": [1.5]}, "1.5"),
        ({"as": "read", "ids": [True]}, "True"),
        ({"as": "read", "ids": "7"}, "ids: has the wrong type, str"),
        ({"as": "read", "upto": "7"}, "upto: has the wrong type, str"),
        ({"as": "read", "upto": True}, "upto: has the wrong type, bool"),
        ({"as": "read", "upto": 10**30}, "not a version"),
        ({"as": "read", "ids": [10**30]}, "not the id"),
        ({"as": "read", "ids": list(range(1001))}, "at most 1000"),
        ({"as": None, "ids": [1]}, "as: has the wrong type, NoneType"),
        ({"as": "snoozed", "ids": [1]}, "until: needed"),
        ({"as": "snoozed", "ids": [1], "until": "tomorrow"}, "ISO 8601"),
        ({"as": "snoozed", "ids": [1], "until": "2099-01-01T00:00:00"}, "time zone"),
        ({"as": "snoozed", "ids": [1], "until": "2001-01-01T00:00:00Z"}, "future"),
        ({"as": "read", "ids": [1], "colour": 1}, "'colour': unknown field"),
    ],
)
def test_a_bad_mark_is_refused_by_name(
    signed_in: Client, fields: dict[str, Any], saying: str
) -> None:
    assert is_problem(post(signed_in, "mark/", **fields), 400, saying)


@pytest.mark.parametrize(
    "raw", [b" ", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 60_000, b'{"upto": NaN}', b"9" * 60_000]
)
def test_a_body_that_is_no_json_object_is_refused(signed_in: Client, raw: bytes) -> None:
    answer = signed_in.post(API + "mark/", raw, content_type="application/json")

    assert is_problem(answer, 400, "JSON")


def test_a_body_of_another_kind_or_size_is_refused(signed_in: Client) -> None:
    form = signed_in.post(API + "mark/", {"as": "read"})
    large = signed_in.post(API + "mark/", b" " * 65_537, content_type="application/json")

    assert is_problem(form, 415, "application/json")
    assert is_problem(large, 413, "65536")


@pytest.mark.parametrize(
    ("path", "method"), [("inbox/", "POST"), ("changes/", "PUT"), ("mark/", "GET")]
)
def test_another_method_is_refused_with_the_one_that_works(
    signed_in: Client, path: str, method: str
) -> None:
    answer = signed_in.generic(method, API + path)

    assert is_problem(answer, 405, "use " + answer["Allow"])
