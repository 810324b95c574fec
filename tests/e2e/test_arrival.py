"""A notification reaches every screen of its recipient, and what is done on one shows on all."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.e2e.conftest import Site
from tests.e2e.screen import Person, Screen


def test_it_appears_without_reload_in_all_tabs_of_its_recipient_and_in_nobody_elses(
    alice: Person, bob: Person
) -> None:
    first, second = alice.screen(), alice.screen()
    elsewhere = alice.screen(browser=alice.another_browser())
    others = bob.screen().open()

    alice.gets("Group work moved to Thursday")

    screens = (first, second, elsewhere)
    for screen in screens:
        screen.expect_badge("1")
    for screen in screens:
        screen.open().expect_titles("Group work moved to Thursday")
    others.expect_badge("")
    others.expect_titles()


def test_tabs_share_one_socket(alice: Person) -> None:
    tabs = [alice.screen() for _ in range(3)]

    alice.gets("One")

    for tab in tabs:
        tab.expect_badge("1")
    assert sum(tab.sockets for tab in tabs) == 1


def test_reading_in_one_tab_clears_it_in_the_others_and_in_a_second_browser(alice: Person) -> None:
    alice.gets("One")
    alice.gets("Two")
    tab = alice.screen("/?badge=unread").open()
    other = alice.screen("/?badge=unread").open()
    elsewhere = alice.screen("/?badge=unread", browser=alice.another_browser()).open()

    tab.tool("One", "read")

    for screen in (tab, other, elsewhere):
        screen.expect_unread("Two")
        screen.expect_badge("1")


def test_opening_the_panel_clears_the_badge_everywhere_but_leaves_all_unread(alice: Person) -> None:
    alice.gets("One")
    tab, other = alice.screen(), alice.screen()
    other.expect_badge("1")

    tab.open()

    tab.expect_badge("")
    other.expect_badge("")
    tab.expect_unread("One")


def test_a_reload_shows_the_same(alice: Person) -> None:
    alice.gets("One")
    alice.gets("Two")
    screen = alice.screen().open()
    with screen.page.expect_response(lambda answer: '"read"' in (answer.request.post_data or "")):
        screen.tool("One", "read")

    screen.page.reload()

    expect(screen.page.locator("#made")).to_have_text("1")
    screen.open().expect_titles("Two", "One")
    screen.expect_unread("Two")


def test_what_arrives_while_the_page_is_made_is_not_lost(alice: Person) -> None:
    """The page carries the position of before its data; here its scripts come late."""
    page = alice.browser.new_page()
    page.route("**/clarion-bell.js", lambda route: (alice.gets("Between"), route.continue_()))

    page.goto(alice.url)

    Screen(page).expect_badge("1")


def test_repeats_are_one_row_that_moves_up(alice: Person) -> None:
    alice.gets("Comment on page 12", collapse="page12")
    alice.gets("Something else")
    screen = alice.screen()

    alice.gets("Comment on page 12", collapse="page12", times=2)

    screen.expect_badge("2")
    screen.open().expect_titles("Comment on page 12", "Something else")
    expect(screen.article("Comment on page 12")).to_contain_text("\u00d73")


def test_an_announcement_is_shown_once_and_read_like_any_other(alice: Person) -> None:
    screen = alice.screen("/?badge=unread").open()

    alice.everyone_gets("School closes at noon")

    screen.expect_unread("School closes at noon")
    screen.expect_badge("1")
    screen.tool("School closes at noon", "read")
    screen.expect_unread()
    screen.page.reload()
    screen.open().expect_titles("School closes at noon")
    screen.expect_unread()


def test_visitors_hear_announcements_where_the_site_allows_it(
    site: Site, browser: Browser, alice: Person
) -> None:
    visitor = browser.new_context()
    page = visitor.new_page()
    page.goto(site.url)
    screen = Screen(page)
    screen.wait_until("live")

    alice.gets("Only for Alice")
    alice.everyone_gets("Open day on Saturday")

    screen.expect_badge("1")
    screen.open().expect_titles("Open day on Saturday")
    visitor.close()


def test_texts_are_shown_as_texts_and_only_safe_addresses_are_links(alice: Person) -> None:
    alice.gets("<img src=x onerror=alert(1)>", body="<b>bold</b>", url="/read/")
    alice.gets("A script", url="https://example.org/ok")
    screen = alice.screen().open()

    screen.expect_titles("A script", "<img src=x onerror=alert(1)>")
    expect(screen.articles.locator("img, b")).to_have_count(0)
    for bad in ("javascript:alert(1)", " jaVascript:alert(1)", "data:text/html,x", "vbscript:x"):
        assert not _is_linkable(screen, bad)
    for good in ("/read/", "read", "?a=b", "https://example.org/", "//example.org/x"):
        assert _is_linkable(screen, good)


def _is_linkable(screen: Screen, url: str) -> bool:
    source = "async (url) => (await import('/static/clarion/clarion.js')).safeUrl(url)"
    return bool(screen.page.evaluate(source, url))
