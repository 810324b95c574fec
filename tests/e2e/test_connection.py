"""Networks, servers and tabs come and go; the screen ends up showing what the database holds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, WebSocketRoute, expect

from tests.e2e.conftest import Site
from tests.e2e.screen import Person, Screen


def without_websockets(browser: BrowserContext) -> None:
    browser.route_web_socket("**/ws/**", lambda socket: socket.close(code=1006))


def test_after_a_server_kill_every_tab_catches_up_without_reload(site: Site, alice: Person) -> None:
    leader, follower = alice.screen(), alice.screen()
    alice.gets("Before")
    follower.expect_badge("1")

    site.kill()
    leader.wait_until("offline")
    site.start()
    alice.gets("After")

    for screen in (leader, follower):
        screen.wait_until("live", "websocket", within=60)
        screen.expect_badge("2")
    leader.open().expect_titles("After", "Before")


def test_where_sockets_are_blocked_events_come_by_sse(alice: Person) -> None:
    without_websockets(alice.browser)
    screen = alice.screen()

    alice.gets("By another way")

    screen.expect_badge("1")
    screen.wait_until("live", "sse")


def test_where_streams_are_blocked_too_the_client_polls(alice: Person) -> None:
    without_websockets(alice.browser)
    alice.browser.route("**/stream/**", lambda route: route.abort())
    screen = alice.screen()

    alice.gets("By another way")

    screen.expect_badge("1")
    screen.wait_until("live", "polling")


def test_when_the_tab_with_the_socket_is_closed_another_takes_over(alice: Person) -> None:
    leader, follower = alice.screen(), alice.screen()
    assert (leader.sockets, follower.sockets) == (1, 0)

    leader.page.close()
    follower.page.wait_for_function("() => window.sockets === 1")
    alice.gets("After the change")

    follower.expect_badge("1")


def test_a_new_tab_follows_and_knows_what_the_leader_knows(alice: Person) -> None:
    leader = alice.screen()
    alice.gets("One")
    leader.expect_badge("1")

    follower = alice.screen()

    follower.expect_badge("1")
    assert follower.sockets == 0


def test_offline_is_said_and_what_came_meanwhile_is_caught_up(alice: Person) -> None:
    alice.gets("Saved")
    screen = alice.screen().open()
    screen.expect_titles("Saved")

    alice.browser.set_offline(True)
    screen.wait_until("offline")
    expect(screen.note).to_have_text("Offline: showing what was saved")
    screen.expect_titles("Saved")
    alice.gets("Meanwhile")
    alice.browser.set_offline(False)

    screen.wait_until("live", within=40)
    expect(screen.note).to_be_hidden()
    screen.expect_titles("Meanwhile", "Saved")


def test_a_mark_that_fails_is_taken_back_and_said(alice: Person) -> None:
    alice.gets("One")
    screen = alice.screen().open()
    screen.page.route("**/api/mark/", lambda route: route.abort())

    screen.tool("One", "read")

    expect(screen.bar).to_contain_text("Could not be saved, so it was undone")
    screen.expect_unread("One")
    expect(screen.bell).to_have_accessible_name("Notifications, 1 unread")


def test_who_signs_out_is_disconnected_for_good(alice: Person) -> None:
    screen = alice.screen().open()

    token = next(c["value"] for c in alice.browser.cookies() if c["name"] == "csrftoken")
    alice.browser.request.post(alice.url + "/logout/", headers={"X-CSRFToken": token})

    screen.wait_until("stopped")
    expect(screen.note).to_have_text("Disconnected: reload the page")


def test_tabs_of_two_people_in_one_browser_do_not_mix(
    alice: Person, person: Callable[..., Person]
) -> None:
    """Alice's page was left open when Bob signed in."""
    left_open = alice.screen()
    bob = person("bob")
    cookies = [c for c in bob.browser.cookies() if c["name"] == "sessionid"]
    alice.browser.add_cookies(cookies)  # type: ignore[arg-type]
    bobs = alice.screen()

    bob.gets("For Bob alone")

    bobs.expect_badge("1")
    left_open.expect_badge("")


def test_a_gap_is_noticed_and_filled(alice: Person) -> None:
    """Frames that a proxy swallowed: the next one tells by its range that some are missing."""
    swallow = {"now": False}

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: swallow["now"] or socket.send(frame))

    alice.browser.route_web_socket("**/ws/**", between)
    screen = alice.screen()
    alice.gets("One")
    screen.expect_badge("1")
    swallow["now"] = True
    alice.gets("Lost on the way")
    screen.page.wait_for_timeout(300)
    swallow["now"] = False

    alice.gets("Three")

    screen.expect_badge("3")
    screen.open().expect_titles("Three", "Lost on the way", "One")


def test_a_history_that_was_lost_starts_anew(alice: Person) -> None:
    """A page kept from before the database was restored holds a position of another epoch."""
    alice.gets("What there is")
    page = alice.browser.new_page()
    page.goto(alice.url + "/login/")
    page.evaluate(
        """() => {
            const bell = document.querySelector("clarion-bell");
            const old = bell.cloneNode(true);
            bell.remove();
            old.setAttribute("inbox", "0ld3p0ch.17");
            old.setAttribute("key", "of this test");
            document.body.append(old);
        }"""
    )

    screen = Screen(page)
    screen.wait_until("live")
    screen.open().expect_titles("What there is")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_is_lost_repeated_or_reordered_the_screen_ends_as_the_database(
    alice: Person, seed: int
) -> None:
    chance = random.Random(seed)
    storm = {"on": True}

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        held: list[str | bytes] = []

        def pass_on(frame: str | bytes) -> None:
            fate = chance.random() if storm["on"] else 1
            if fate < 0.25:
                return  # lost
            if fate < 0.5:
                held.append(frame)  # late, out of order
                return
            for late in [frame, *held, *([frame] if fate < 0.7 else [])]:
                socket.send(late)
            held.clear()

        server.on_message(pass_on)

    alice.browser.route_web_socket("**/ws/**", between)
    screen = alice.screen(live=False).open()
    elsewhere = alice.another_browser()
    for number in range(12):
        alice.gets(f"Number {number}", collapse=f"c{number % 7}")
        state = chance.choice(["read", "archived", "pinned", "unread"])
        known = elsewhere.request.get(alice.url + "/notifications/api/inbox/").json()["items"]
        token = next(c["value"] for c in elsewhere.cookies() if c["name"] == "csrftoken")
        elsewhere.request.post(
            alice.url + "/notifications/api/mark/",
            data={"as": state, "ids": [chance.choice(known)["id"]]},
            headers={"X-CSRFToken": token},
        )

    storm["on"] = False
    screen.page.evaluate("dispatchEvent(new Event('online'))")  # what a returning network does

    fresh = elsewhere.request.get(alice.url + "/notifications/api/inbox/").json()
    titles = [item["title"] for item in fresh["items"]]
    # A resume whose answer was lost is given up after 5 s, then there is a new connection.
    expect(screen.titles).to_have_text(titles, timeout=40_000)
    screen.expect_unread(*[item["title"] for item in fresh["items"] if not item["read"]])
    unread = fresh["counts"]["unread"]
    name = f"Notifications, {unread} unread" if unread else "Notifications"
    expect(screen.bell).to_have_accessible_name(name)
