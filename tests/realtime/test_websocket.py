"""Promises of the WebSocket, kept by a real server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from websockets.exceptions import InvalidStatus

from clarion import announce, inbox, notify, toast
from clarion.realtime import frames, tickets
from clarion.realtime.brokers import publish
from clarion.realtime.frames import aside
from tests.realtime.conftest import ASGI, GATEWAY, Screen, Site, session_cookie

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(
    params=[ASGI, pytest.param(GATEWAY, marks=pytest.mark.slow)], ids=["asgi", "gateway"]
)
def ws(request: pytest.FixtureRequest) -> Any:
    """On any ASGI server, and by our own protocol for uvicorn."""
    return request.param


def test_every_tab_of_a_person_gets_a_notification_and_nobody_else(
    site: Site, alice: Any, bob: Any
) -> None:
    first, second, other = site.open(alice), site.open(alice), site.open(bob)
    for screen in (first, second, other):
        screen.next("hello")

    notify("Your export is ready", to=alice, url="/exports/7")

    for screen in (first, second):
        frame = screen.next("change")
        assert frame["message"] == "Your export is ready"
        assert frame["version"] == frame["after"] + 1
        assert frame["counts"] == {"unread": 1, "unseen": 1}
    assert other.hears_nothing("change")


def test_hello_says_where_the_streams_stand(site: Site, alice: Any) -> None:
    notify("one", to=alice)

    hello = site.open(alice).next("hello")

    assert hello["protocol"] == "clarion.v1"
    assert hello["heartbeat"] == 25
    assert hello["counts"] == {"unread": 1, "unseen": 1}
    here = inbox.position(alice)
    assert hello["streams"]["inbox"] == {"epoch": here.epoch, "version": here.version}
    assert "public" in hello["streams"]


def test_a_client_gets_exactly_what_it_missed(site: Site, alice: Any) -> None:
    notify("known", to=alice)
    known = inbox.position(alice)
    notify("missed", to=alice)
    announce("also missed")

    screen = site.open(alice, query=f"inbox={known}&public=.0")
    missed = {frame["stream"]: frame for frame in (screen.next("change"), screen.next("change"))}

    assert "missed" in [item["title"] for item in missed["inbox"]["items"]]
    assert "known" not in [item["title"] for item in missed["inbox"]["items"]]
    assert [item["title"] for item in missed["public"]["items"]] == ["also missed"]


def test_a_resume_is_answered_even_when_nothing_is_missing(site: Site, alice: Any) -> None:
    notify("one", to=alice)
    screen = site.open(alice)
    screen.next("hello")

    screen.send(type="resume", inbox=str(inbox.position(alice)), public=".0")
    frames = [screen.next("change"), screen.next("change")]

    assert {frame["stream"] for frame in frames} == {"inbox", "public"}
    assert all(frame["after"] == frame["version"] and not frame["items"] for frame in frames)

    notify("two", to=alice)
    assert screen.next("change")["message"] == "two"


def test_a_cursor_of_another_history_gets_a_fresh_start(site: Site, alice: Any) -> None:
    notify("one", to=alice)

    reset = site.open(alice, query="inbox=elsewhere.7").next("reset")

    assert reset["reason"] == "epoch"
    assert [item["title"] for item in reset["items"]] == ["one"]


def test_an_announcement_reaches_everyone(site: Site, alice: Any, bob: Any) -> None:
    screens = [site.open(alice), site.open(bob)]
    for screen in screens:
        screen.next("hello")

    announce("Maintenance at noon")

    for screen in screens:
        frame = screen.next("change")
        assert (frame["stream"], frame["message"]) == ("public", "Maintenance at noon")


def test_many_recipients_at_once_each_get_their_own(site: Site, make_user: Any) -> None:
    people = [make_user(f"person{number}") for number in range(5)]
    screens = [site.open(person) for person in people]
    for screen in screens:
        screen.next("hello")

    notify("to all of you", to=people)

    for screen in screens:
        frame = screen.next("change")
        assert [item["title"] for item in frame["items"]] == ["to all of you"]


def test_a_toast_is_shown_and_leaves_nothing(site: Site, alice: Any) -> None:
    screen = site.open(alice)
    position = screen.next("hello")["streams"]["inbox"]

    toast(alice, "Saved")

    assert screen.next("toast")["message"] == "Saved"
    screen.send(type="ping")
    assert screen.next("heartbeat")["streams"]["inbox"] == position


def test_a_mark_is_answered_and_reaches_the_other_tab(site: Site, alice: Any) -> None:
    notify("one", to=alice)
    first, second = site.open(alice), site.open(alice)
    for screen in (first, second):
        screen.next("hello")
    [item] = inbox.page(alice).items

    first.send(type="mark", id="c1", **{"as": "read"}, ids=[item["id"]])

    reply = first.next("reply")
    assert (reply["id"], reply["ok"], reply["changed"]) == ("c1", True, 1)
    assert reply["counts"] == {"unread": 0, "unseen": 0}
    assert second.next("change")["items"][0]["read"] is True


def test_what_is_acknowledged_is_delivered(site: Site, alice: Any) -> None:
    from clarion.models import Notification

    screen = site.open(alice)
    screen.next("hello")
    notify("one", to=alice)
    version = screen.next("change")["version"]
    assert not Notification.objects.filter(delivered_at__isnull=False).exists()

    screen.send(type="ack", inbox=version + 1_000_000)  # of the future: taken for what there is

    _until(lambda: Notification.objects.filter(delivered_at__isnull=False).count() == 1)


@pytest.mark.parametrize(
    "text",
    ["garbage", "[1]", '"text"', "1", b"binary", "{" * 5000, json.dumps({"a": "x" * 20_000})],
)
def test_what_is_no_frame_ends_the_connection(site: Site, alice: Any, text: Any) -> None:
    screen = site.open(alice)

    screen.socket.send(text)

    assert screen.closed_with() == 4503


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "dance"},
        {},
        {"type": ["resume"]},
        {"type": "resume", "inbox": "1'; DROP TABLE"},
        {"type": "resume", "inbox": {"a": 1}},
        {"type": "ack", "inbox": "12"},
        {"type": "ack", "inbox": -1},
        {"type": "ack", "inbox": True},
        {"type": "mark", "as": "eaten", "ids": [1]},
        {"type": "mark", "as": "read", "ids": "all"},
        {"type": "mark", "as": "read", "ids": [{}]},
        {"type": "mark", "as": "read", "upto": 2**63},
        {"type": "mark", "as": "snoozed", "ids": [1], "until": "soon"},
        {"type": "mark", "as": "read"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused_and_nothing_else(
    site: Site, alice: Any, frame: dict[str, Any]
) -> None:
    screen = site.open(alice)
    screen.next("hello")

    screen.send(id="c9", **frame)

    reply = screen.next("reply")
    assert (reply["id"], reply["ok"], reply["error"]["status"]) == ("c9", False, 400)
    screen.send(type="ping")
    screen.next("heartbeat")


def test_a_flood_of_frames_ends_the_connection(site: Site, alice: Any) -> None:
    screen = site.open(alice)

    for _ in range(80):
        screen.send(type="ping")

    assert screen.closed_with() == 4006


def test_a_stranger_is_told_to_stay_away(site: Site) -> None:
    assert site.open().closed_with() == 4500
    assert site.open(cookie="sessionid=nonsense").closed_with() == 4500


def test_a_visitor_hears_announcements_where_the_site_allows_it(
    site: Site, configure: Callable[..., None]
) -> None:
    configure(PUBLIC_ANONYMOUS=True)
    screen = site.open()
    assert set(screen.next("hello")["streams"]) == {"public"}

    announce("Open day")

    assert screen.next("change")["message"] == "Open day"
    screen.send(type="mark", id="c1", **{"as": "read"}, ids=[1])
    assert screen.next("reply")["error"]["status"] == 401


def test_nobody_gets_at_the_inbox_of_another(site: Site, alice: Any, bob: Any) -> None:
    assert site.open(alice, path=f"/ws/notifications/{bob.pk}/").closed_with() == 4502
    site.open(alice, path=f"/ws/notifications/{alice.pk}/").next("hello")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_refused_before_anything(
    site: Site, alice: Any, settings: Any, origin: str
) -> None:
    settings.ALLOWED_HOSTS = ["*"]

    with pytest.raises(InvalidStatus) as refused:
        site.open(alice, origin=origin)

    assert refused.value.response.status_code == 403


def test_own_and_trusted_origins_may_connect(site: Site, alice: Any, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]

    site.open(alice, origin=f"http://{site.host}").next("hello")
    site.open(alice, origin="https://app.example.com").next("hello")


def test_logging_out_closes_the_sockets_of_that_session_only(site: Site, alice: Any) -> None:
    client = Client()
    client.force_login(alice)
    here = site.open(alice, cookie=f"sessionid={client.cookies['sessionid'].value}")
    elsewhere = site.open(alice)
    for screen in (here, elsewhere):
        screen.next("hello")

    client.logout()

    assert here.closed_with() == 4501
    elsewhere.send(type="ping")
    elsewhere.next("heartbeat")


@pytest.mark.parametrize(
    ("change", "code"), [("password", 4004), ("deactivated", 4501), ("deleted", 4501)]
)
def test_who_may_no_longer_listen_is_closed(
    site: Site, configure: Callable[..., None], alice: Any, change: str, code: int
) -> None:
    configure(RECONCILE_INTERVAL=0.2)
    screen = site.open(alice)
    screen.next("hello")
    site.loop.call_soon_threadsafe(site.feed.reconcile_now)

    if change == "password":
        alice.set_password("another")
        alice.save()
    elif change == "deactivated":
        type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    else:
        type(alice).objects.filter(pk=alice.pk).delete()

    assert screen.closed_with(within=5) == code


def test_a_ticket_lets_a_client_in_without_a_cookie(site: Site, alice: Any) -> None:
    ticket = _ticket(alice)

    screen = site.open(subprotocols=["clarion.v1", f"ticket.{ticket}"])

    assert screen.socket.subprotocol == "clarion.v1"
    assert "inbox" in screen.next("hello")["streams"]


def test_a_ticket_is_worth_nothing_once_it_is_forged_old_or_revoked(
    site: Site, alice: Any, configure: Callable[..., None]
) -> None:
    ticket = _ticket(alice)
    assert site.open(subprotocols=[f"ticket.{ticket}x"]).closed_with() == 4500

    alice.set_password("another")
    alice.save()
    assert site.open(subprotocols=[f"ticket.{ticket}"]).closed_with() == 4004

    type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    assert site.open(subprotocols=[f"ticket.{ticket}"]).closed_with() == 4501

    configure(TICKET_AGE=1)
    time.sleep(2.1)
    assert site.open(subprotocols=[f"ticket.{ticket}"]).closed_with() == 4004


def test_the_newest_of_too_many_connections_is_refused(
    site: Site, alice: Any, configure: Callable[..., None]
) -> None:
    configure(MAX_CONNECTIONS_PER_USER=2)
    cookie = session_cookie(alice)
    kept = [site.open(cookie=cookie), site.open(cookie=cookie)]
    for screen in kept:
        screen.next("hello")

    assert site.open(cookie=cookie).closed_with() == 4504

    kept[0].socket.close()
    _until(lambda: _opens(site, cookie))


def test_a_client_that_takes_nothing_is_closed_and_delays_nobody(
    site: Site, alice: Any, bob: Any, configure: Callable[..., None]
) -> None:
    configure(SLOW_TIMEOUT=1)
    stuck, others = _one_that_reads_nothing(site, alice, bob)
    notify("still here", to=alice)

    assert others[0].next("change", within=2)["message"] == "still here"
    time.sleep(1.5)
    assert stuck.closed_with() == 4001


def test_a_client_that_was_slow_for_a_moment_misses_nothing_that_is_stored(
    site: Site, alice: Any, bob: Any
) -> None:
    slow, _ = _one_that_reads_nothing(site, alice, bob)

    for number in range(5):
        notify(f"meanwhile {number}", to=alice)

    titles: set[str] = set()
    while len(titles) < 5:
        titles |= {item["title"] for item in slow.next("change")["items"]}
    notify("afterwards", to=alice)
    assert slow.next("change")["message"] == "afterwards"


def _one_that_reads_nothing(site: Site, alice: Any, bob: Any) -> tuple[Screen, list[Screen]]:
    """Its buffers are full, while the others got everything without delay."""
    stuck = site.open(alice, max_queue=1, sock=_narrow(site))
    others = [site.open(alice), site.open(bob)]
    for screen in (stuck, *others):
        screen.next("hello")
    for number in range(120):  # more than the kernel holds for one socket
        publish(aside("public", frames.toast(f"{number}", body="x" * 60_000)))
        for screen in others:
            assert screen.next("toast", within=2)["message"] == f"{number}"
    return stuck, others


def test_a_database_that_fails_is_waited_for(
    site: Site, alice: Any, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> None:
    from django.db import OperationalError

    from clarion.realtime import catchup

    real, broken = catchup.catch_up, [True]

    def flaky(cursors: Any) -> Any:
        if broken:
            raise OperationalError("the database is away")
        return real(cursors)

    notify("missed", to=alice)
    monkeypatch.setattr(catchup, "catch_up", flaky)
    screen = site.open(alice, query="inbox=.0")
    assert screen.hears_nothing("hello", during=0.3)

    broken.clear()

    assert screen.next("change", within=5)["items"][0]["title"] == "missed"


def test_a_nudge_that_is_lost_is_made_good(
    site: Site, alice: Any, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clarion import ledger

    screen = site.open(alice)
    screen.next("hello")
    with monkeypatch.context() as deaf:
        deaf.setattr(ledger, "publish", lambda nudge: None)
        notify("lost", to=alice)
    assert screen.hears_nothing("change", during=0.3)

    site.loop.call_soon_threadsafe(site.feed.reconcile_now)

    assert screen.next("change")["items"][0]["title"] == "lost"


def test_the_next_nudge_shows_what_was_lost_before(
    site: Site, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clarion import ledger

    screen = site.open(alice)
    screen.next("hello")
    with monkeypatch.context() as deaf:
        deaf.setattr(ledger, "publish", lambda nudge: None)
        notify("lost", to=alice)

    notify("next", to=alice)

    titles = [item["title"] for item in screen.next("change")["items"]]
    assert sorted(titles) == ["lost", "next"]


def test_draining_sends_clients_elsewhere_with_a_window(site: Site, alice: Any) -> None:
    import asyncio

    screens = [site.open(alice) for _ in range(3)]
    for screen in screens:
        screen.next("hello")
    asyncio.run_coroutine_threadsafe(site.feed.drain(0.3), site.loop).result(5)

    for screen in screens:
        assert screen.next("bye")["retry"][1] >= 1000
        assert screen.closed_with() == 1012
    assert site.open(alice).closed_with() == 1012


def _narrow(site: Site) -> socket.socket:
    """A connection that holds little of what it isn't asked for."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", site.port))
    return made


def _ticket(user: Any) -> str:
    from django.contrib.sessions.backends.db import SessionStore
    from django.http import HttpRequest

    request = HttpRequest()
    request.user = user
    request.session = SessionStore()
    request.session.create()
    return tickets.issue(request)


def _opens(site: Site, cookie: str) -> bool:
    screen = site.open(cookie=cookie)
    return json.loads(screen.socket.recv(timeout=2))["type"] == "hello"


def _until(true: Callable[[], bool], within: float = 5) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)
