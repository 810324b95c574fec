"""The inbox page of the site, in a browser that runs no scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.screen import Person


@pytest.fixture
def plain(person: Callable[..., Person]) -> tuple[Person, Page]:
    alice = person("alice", java_script_enabled=False)
    return alice, alice.browser.new_page()


def titles(page: Page, *texts: str) -> None:
    expect(page.locator(".clarion-title")).to_have_text(list(texts))


def test_all_can_be_done_without_scripts(plain: tuple[Person, Page]) -> None:
    alice, page = plain
    for title in ("One", "Two", "Three"):
        alice.gets(title, url="/read/")
    page.goto(alice.url + "/notifications/")
    titles(page, "Three", "Two", "One")

    row = page.locator(".clarion-row", has_text="Two")
    row.get_by_role("button", name="Archive").click()
    titles(page, "Three", "One")
    page.locator(".clarion-row", has_text="One").get_by_role("button", name="Pin").click()
    titles(page, "One", "Three")
    page.locator(".clarion-row", has_text="Three").locator("summary").click()
    page.get_by_role("button", name="For 4 hours").click()
    titles(page, "One")
    page.get_by_role("link", name="Snoozed").click()
    titles(page, "Three")
    page.get_by_role("button", name="Move to inbox").click()
    titles(page)
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator(".clarion-unread")).to_have_count(0)


def test_opening_one_marks_it_read_and_leads_there(plain: tuple[Person, Page]) -> None:
    alice, page = plain
    alice.gets("Look here", url="/read/")
    page.goto(alice.url + "/notifications/")

    page.locator(".clarion-title").click()

    page.wait_for_url("**/read/")
    expect(page.locator("h1")).to_have_text("Where a notification leads")
    expect(page.locator("#made")).to_have_text("0")


def test_long_lists_have_pages(plain: tuple[Person, Page]) -> None:
    alice, page = plain
    alice.gets("Number #", times=23)
    page.goto(alice.url + "/notifications/")
    seen = page.locator(".clarion-title").all_inner_texts()

    while page.get_by_role("link", name="Older").count():
        page.get_by_role("link", name="Older").click()
        seen += page.locator(".clarion-title").all_inner_texts()

    assert seen == [f"Number {n}" for n in range(23, 0, -1)]


def test_the_bell_is_a_link_with_the_number(plain: tuple[Person, Page]) -> None:
    alice, page = plain
    alice.gets("One")
    page.goto(alice.url)

    page.get_by_role("link", name="Notifications (1)").click()

    titles(page, "One")


def test_it_is_live_where_scripts_run(alice: Person) -> None:
    """The page's bell follows what the page's forms do."""
    alice.gets("One")
    screen = alice.screen("/notifications/", live=True)
    other = alice.screen("/?badge=unread")
    other.expect_badge("1")

    screen.page.get_by_role("button", name="Mark as read").first.click()

    other.expect_badge("")
