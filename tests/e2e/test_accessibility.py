"""axe finds nothing, in both colour schemes, under the strictest policy, and on the plain page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.screen import Person


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def fill(alice: Person) -> None:
    for level in ("info", "success", "warning", "error", "critical"):
        alice.gets(f"A matter of {level}", level=level, url="/read/", body="And more about it")
    actions = [{"label": "Yes", "url": "/done/", "method": "POST"}]
    alice.gets("Coming?", actions=actions, actor=alice.name, collapse="c", times=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_bell_has_no_violations(person: Callable[..., Person], scheme: str) -> None:
    alice = person("alice", color_scheme=scheme, reduced_motion="reduce")
    screen = alice.screen()
    fill(alice)
    expect(screen.toasts).to_have_count(3)
    assert violations(screen.page) == []

    screen.open()
    expect(screen.articles).to_have_count(5)
    assert violations(screen.page) == []
    screen.tool("A matter of info", "more")
    screen.page.mouse.move(5, 5)
    assert violations(screen.page) == []
    screen.page.keyboard.press("Escape")
    screen.tool("A matter of warning", "archived")
    screen.page.keyboard.press("?")
    assert violations(screen.page) == []
    screen.show("Archived")
    assert violations(screen.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_no_violations(person: Callable[..., Person], scheme: str) -> None:
    alice = person("alice", color_scheme=scheme)
    fill(alice)
    page = alice.browser.new_page()

    for query in ("", "?filter=unread", "?filter=archived", "?filter=snoozed"):
        page.goto(f"{alice.url}/notifications/{query}")
        assert violations(page) == []


def test_the_roles_tell_what_is_what(alice: Person) -> None:
    alice.gets("Group work", url="/read/")
    screen = alice.screen().open()

    expect(screen.panel).to_match_aria_snapshot(
        """
        - dialog "Notifications":
          - heading "Notifications" [level=2]
          - button "Mark all as read"
          - button "Close"
          - group "Notifications":
            - button "All" [pressed]
            - button "Unread 1"
            - button "Archived"
          - feed "Notifications":
            - article "Group work":
              - link "Group work"
              - img "Unread"
              - 'button "Mark as read: Group work"'
              - 'button "Archive: Group work"'
              - 'button "More actions: Group work"'
          - link "See all notifications"
          - button "Keyboard shortcuts"
        """
    )
    expect(screen.bell).to_have_attribute("aria-haspopup", "dialog")
    expect(screen.bell).to_have_attribute("aria-expanded", "true")


def test_everything_to_press_is_large_enough(alice: Person) -> None:
    alice.gets("One", url="/read/", actions=[{"label": "Ok", "url": "/done/", "method": "POST"}])
    screen = alice.screen().open()

    small = screen.page.evaluate(
        """() => [...document.querySelector("clarion-bell").shadowRoot.querySelectorAll("button")]
            .map((button) => [button.id || button.title, button.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.width < 24 || box.height < 24))
            .map(([name]) => name)"""
    )

    assert small == []
