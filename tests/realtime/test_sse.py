"""The same promises over server-sent events, by `mount()` and by the plain Django view."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import RequestFactory

from clarion import announce, inbox, notify
from tests.realtime.conftest import Site, session_cookie

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/notifications/stream/"


class Events:
    """An EventSource: what arrives on one response."""

    def __init__(self, site: Site, user: Any = None, path: str = PATH, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(site.host, timeout=6)
        if user is not None:
            headers["Cookie"] = session_cookie(user)
        self._connection.request("GET", path, headers=headers)
        self.response = self._connection.getresponse()
        self.last_id = ""

    def next(self, kind: str) -> dict[str, Any]:
        while True:
            line = self.response.readline().decode()
            assert line, "the stream ended"
            if line.startswith("id: "):
                self.last_id = line[4:].strip()
            if line.startswith("data: "):
                frame = json.loads(line[6:])
                if frame["type"] == kind:
                    return frame

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture(params=["mounted", "view"])
def events(request: pytest.FixtureRequest, site: Site) -> Iterator[Callable[..., Events]]:
    """Opens streams on a site, whichever of the two serves them."""
    if request.param == "view":
        request.getfixturevalue("monkeypatch").setattr(
            "clarion.realtime.serving._stream_path", lambda: None
        )
    opened: list[Events] = []

    def open_events(*arguments: Any, **headers: str) -> Events:
        opened.append(Events(site, *arguments, **headers))
        return opened[-1]

    yield open_events
    for each in opened:
        each.close()


def test_a_notification_arrives_with_an_id_to_resume_from(events: Any, alice: Any) -> None:
    stream = events(alice)
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"].startswith("text/event-stream")
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    assert stream.next("hello")["heartbeat"] == 15

    notify("Your export is ready", to=alice)

    assert stream.next("change")["message"] == "Your export is ready"
    assert stream.last_id == f"inbox.{inbox.position(alice)}"


def test_the_last_event_id_wins_over_the_address(events: Any, alice: Any) -> None:
    notify("known", to=alice)
    known = inbox.position(alice)
    notify("missed", to=alice)

    stream = events(alice, f"{PATH}?inbox=.0", **{"Last-Event-ID": f"inbox.{known}"})

    assert [item["title"] for item in stream.next("change")["items"]] == ["missed"]


def test_an_announcement_reaches_it(events: Any, alice: Any) -> None:
    stream = events(alice)
    stream.next("hello")

    announce("Open day")

    assert stream.next("change")["message"] == "Open day"
    assert stream.last_id.startswith("public.")


def test_a_stranger_is_told_to_stay_away(events: Any) -> None:
    assert events().response.status == 204


def test_a_page_of_another_origin_is_refused(events: Any, alice: Any) -> None:
    assert events(alice, PATH, Origin="https://evil.example").response.status == 403


def test_a_trusted_origin_may_read_it(events: Any, alice: Any, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example.com"]

    stream = events(alice, PATH, Origin="https://app.example.com")

    assert stream.response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


def test_a_bad_cursor_is_a_bad_request(events: Any, alice: Any) -> None:
    assert events(alice, f"{PATH}?inbox=yesterday").response.status == 400


def test_who_is_logged_out_is_told_and_the_stream_ends(
    events: Any, alice: Any, configure: Callable[..., None]
) -> None:
    from clarion.realtime.auth import revoke

    stream = events(alice)
    stream.next("hello")

    revoke(alice.pk)

    assert stream.next("bye")["code"] == 4501
    assert stream.response.read().strip() == b""


def test_a_stream_that_was_left_leaves_nothing_behind(site: Site, events: Any, alice: Any) -> None:
    stream = events(alice)
    stream.next("hello")
    assert site.feed.hub.count == 1

    stream.close()

    until = time.monotonic() + 5
    while site.feed.hub.count:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_under_wsgi_the_client_is_sent_to_polling(alice: Any) -> None:
    from asgiref.sync import async_to_sync

    from clarion.realtime.sse import stream_view

    answer = async_to_sync(stream_view)(RequestFactory().get(PATH))

    assert answer.status_code == 501
    assert answer["Content-Type"] == "application/problem+json"
