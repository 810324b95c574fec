"""The panel, the toasts and the keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.screen import Person, Screen

HOUR = 3600


def test_archived_rows_leave_the_list_and_undo_brings_them_back(alice: Person) -> None:
    alice.gets("One")
    alice.gets("Two")
    screen = alice.screen().open()

    screen.tool("One", "archived")
    screen.expect_titles("Two")
    screen.undo()
    screen.expect_titles("Two", "One")

    screen.tool("Two", "archived")
    screen.show("Archived")
    screen.expect_titles("Two")
    screen.tool("Two", "unarchived")
    screen.expect_titles()
    screen.show("All")
    screen.expect_titles("Two", "One")


def test_snoozed_rows_leave_the_list_and_undo_brings_them_back(alice: Person) -> None:
    alice.gets("Later, please")
    screen = alice.screen().open()

    screen.choose("Later, please", "Until tomorrow, 8:00")
    screen.expect_titles()
    expect(screen.bar).to_contain_text("Snoozed")
    screen.undo()

    screen.expect_titles("Later, please")


def test_a_time_of_ones_own_to_snooze_until(alice: Person) -> None:
    alice.gets("Later, please")
    screen = alice.screen().open()

    screen.tool("Later, please", "more")
    screen.menu.get_by_label("Snooze until").fill("2090-01-05T16:30")
    screen.menu.get_by_role("button", name="Snooze until").click()

    screen.expect_titles()


def test_a_pinned_row_stays_on_top(alice: Person) -> None:
    alice.gets("Pin me")
    alice.gets("Two")
    screen = alice.screen().open()

    screen.choose("Pin me", "Pin")

    screen.expect_titles("Pin me", "Two")
    expect(screen.article("Pin me").get_by_role("img", name="Pinned")).to_be_visible()


def test_all_are_marked_as_read_at_once_and_undo_knows_which(alice: Person) -> None:
    alice.gets("Number #", times=3)
    screen = alice.screen().open()
    screen.tool("Number 2", "read")
    screen.expect_unread("Number 3", "Number 1")

    screen.page.locator("clarion-bell #markAll").click()
    screen.expect_unread()
    screen.undo()

    screen.expect_unread("Number 3", "Number 1")


def test_following_a_link_marks_it_read(alice: Person) -> None:
    alice.gets("Look here", url="/read/")
    screen = alice.screen().open()

    screen.titles.first.click()

    screen.page.wait_for_url("**/read/")
    expect(screen.page.locator("h1")).to_have_text("Where a notification leads")
    expect(screen.bell).to_have_accessible_name("Notifications")


def test_a_page_without_reloads_may_follow_links_itself(alice: Person) -> None:
    alice.gets("Look here", url="/read/")
    screen = alice.screen().open()
    screen.page.evaluate(
        """() => document.addEventListener("clarion-open", (event) => {
            event.preventDefault();
            window.opened = event.detail.item.url;
        })"""
    )

    screen.titles.first.click()

    screen.expect_unread()
    assert screen.page.evaluate("window.opened") == "/read/"
    assert not screen.page.url.endswith("/read/")


def test_a_button_of_a_notification_posts_and_marks_it_read(alice: Person) -> None:
    alice.gets("Coming?", actions=[{"label": "Yes", "url": "/done/", "method": "POST"}])
    screen = alice.screen().open()

    with screen.page.expect_response("**/done/") as answer:
        screen.articles.get_by_role("button", name="Yes").click()

    assert answer.value.ok
    screen.expect_unread()


def test_a_button_never_posts_to_another_site(alice: Person) -> None:
    """Its CSRF token would go with it."""
    action = {"label": "Yes", "url": "http://127.0.0.1:9/steal/", "method": "POST"}
    alice.gets("Coming?", actions=[action])
    screen = alice.screen().open()
    asked: list[str] = []
    screen.page.on("request", lambda request: asked.append(request.url))

    screen.articles.get_by_role("button", name="Yes").click()

    expect(screen.bar).to_contain_text("Could not be saved")
    screen.expect_unread("Coming?")
    assert not [url for url in asked if "steal" in url]
    screen.page.evaluate("window.complaints = []")  # the site's policy forbids it, too


def test_more_pages_come_by_scrolling_and_by_the_button(alice: Person) -> None:
    alice.gets("Number #", times=35)
    screen = alice.screen().open()
    assert screen.titles.count() < 35
    expect(screen.articles.first).to_have_attribute("aria-setsize", "-1")

    for _ in range(4):
        screen.articles.last.scroll_into_view_if_needed()
        screen.page.locator("clarion-bell #body").evaluate("(body) => body.scrollTo(0, 1e6)")
        screen.page.wait_for_timeout(200)

    screen.expect_titles(*[f"Number {n}" for n in range(35, 0, -1)])
    expect(screen.articles.last).to_have_attribute("aria-posinset", "35")
    expect(screen.articles.last).to_have_attribute("aria-setsize", "35")


def test_nothing_is_put_above_somebody_who_is_reading(alice: Person) -> None:
    alice.gets("Number #", times=3)
    screen = alice.screen().open()
    screen.page.keyboard.press("j")
    assert screen.focused() == "Number 3"

    alice.gets("New #", times=2)

    expect(screen.pill).to_have_text("2 new")
    screen.expect_titles("Number 3", "Number 2", "Number 1")
    assert screen.focused() == "Number 3"
    screen.pill.click()
    screen.expect_titles("New 2", "New 1", "Number 3", "Number 2", "Number 1")
    assert screen.focused() == "New 2"


def test_the_keyboard_does_it_all(alice: Person) -> None:
    alice.gets("Number #", times=3)
    screen = alice.screen()
    press = screen.page.keyboard.press

    screen.bell.focus()
    press("Enter")
    expect(screen.panel).to_be_visible()
    expect(screen.articles).to_have_count(3)
    assert screen.focused() == "panel"
    for key, title in (("PageDown", 3), ("j", 2), ("PageDown", 1), ("k", 2), ("PageUp", 3)):
        press(key)
        assert screen.focused() == f"Number {title}"
    press("Shift+I")
    screen.expect_unread("Number 2", "Number 1")
    press("Shift+U")
    screen.expect_unread("Number 3", "Number 2", "Number 1")
    press("e")
    screen.expect_titles("Number 2", "Number 1")
    assert screen.focused() == "Number 2"
    press("Enter")
    screen.expect_unread("Number 1")
    press("?")
    expect(screen.panel.get_by_text("Next, previous")).to_be_visible()
    press("Escape")
    expect(screen.panel).to_be_hidden()
    assert screen.focused() == "bell"


def test_keys_outside_the_panel_belong_to_the_page(alice: Person) -> None:
    alice.gets("One")
    screen = alice.screen().open()
    screen.page.evaluate("document.activeElement.blur()")

    screen.page.keyboard.press("e")

    screen.expect_titles("One")


def test_a_click_elsewhere_closes_the_panel(screen: Screen) -> None:
    screen.open()

    screen.page.locator("h1").click()

    expect(screen.panel).to_be_hidden()
    expect(screen.bell).to_have_attribute("aria-expanded", "false")


def test_a_toast_shows_what_arrives_and_can_be_dismissed(alice: Person, screen: Screen) -> None:
    alice.gets("Bus leaves at 8", body="From the north gate")

    expect(screen.toasts).to_have_count(1)
    expect(screen.toasts).to_contain_text("From the north gate")
    screen.toasts.get_by_role("button", name="Close").click()
    expect(screen.toasts).to_have_count(0)
    screen.expect_badge("1")


def test_at_most_three_toasts_and_none_where_they_are_off(alice: Person, screen: Screen) -> None:
    quiet = alice.screen("/?toasts=off")
    screen.page.bring_to_front()

    alice.gets("Number #", times=5)

    screen.expect_badge("5")
    expect(screen.toasts.locator(".title")).to_have_text(["Number 3", "Number 4", "Number 5"])
    quiet.expect_badge("5")
    expect(quiet.toasts).to_have_count(0)


def test_a_toast_stays_six_seconds_and_as_long_as_somebody_looks_at_it(
    alice: Person, person: Callable[..., Person]
) -> None:
    screen = alice.screen()
    screen.page.clock.install()
    alice.gets("Look at me")
    expect(screen.toasts).to_have_count(1)

    screen.page.clock.run_for(6000)
    expect(screen.toasts).to_have_count(1)
    screen.toasts.hover()
    screen.page.clock.run_for(60_000)
    expect(screen.toasts).to_have_count(1)
    screen.page.mouse.move(5, 5)
    screen.page.clock.run_for(9000)
    expect(screen.toasts).to_have_count(0)


def test_an_ephemeral_message_is_shown_and_not_kept(alice: Person, screen: Screen) -> None:
    alice.gets("Saved", verb="toast")

    expect(screen.toasts).to_have_text("Saved")
    screen.expect_badge("")
    screen.open().expect_titles()


def test_arrivals_are_announced_together_and_only_what_is_critical_interrupts(
    alice: Person, screen: Screen
) -> None:
    alice.gets("Number #", times=3)
    expect(screen.status).to_have_text("3 new notifications")
    expect(screen.page.locator("clarion-bell #alert")).to_be_empty()

    alice.gets("Leave the building", level="critical")
    expect(screen.page.locator("clarion-bell #alert")).to_have_text("Leave the building")


def test_the_badge_is_capped(alice: Person) -> None:
    alice.gets("Number #", times=105)

    alice.screen().expect_badge("99+")


@pytest.mark.parametrize("width", [320, 480, 1400])
def test_the_panel_never_leaves_the_viewport(person: Callable[..., Person], width: int) -> None:
    alice = person("alice", viewport={"width": width, "height": 600})
    alice.gets("Number #", times=12)
    screen = alice.screen().open()

    box = screen.panel.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 600


def test_it_speaks_the_language_of_the_page_and_reads_from_right_to_left(alice: Person) -> None:
    alice.gets("Hello")
    screen = alice.screen("/?lang=ar").open()

    box = screen.panel.bounding_box()
    assert box is not None
    assert box["x"] < 100  # under the bell, which is on the left
    assert screen.panel.evaluate("(panel) => getComputedStyle(panel).direction") == "rtl"
    expect(screen.articles.locator("time")).to_have_text("الآن")
