"""What a person does and sees, in the words of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

expect.set_options(timeout=8000)
_WATCH = """
window.complaints = [];
addEventListener("error", (event) => complaints.push("error: " + event.message));
addEventListener("unhandledrejection", (event) => complaints.push("rejected: " + event.reason));
addEventListener("securitypolicyviolation",
  (event) => complaints.push("policy: " + event.violatedDirective + " " + event.sourceFile));
window.sockets = 0;
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); window.sockets++; }
};
"""


class Person:
    """Somebody who is signed in, with one or more browsers."""

    def __init__(self, name: str, url: str, make_context: Callable[[], BrowserContext]) -> None:
        self.name = name
        self.url = url
        self._make_context = make_context
        self._contexts: list[BrowserContext] = []
        self.browser = self.another_browser()

    def another_browser(self) -> BrowserContext:
        context = self._make_context()
        context.add_init_script(_WATCH)
        answer = context.request.post(self.url + "/enrol/", data={"name": self.name})
        assert answer.ok
        self._contexts.append(context)
        return context

    def screen(
        self, path: str = "/", *, browser: BrowserContext | None = None, live: bool = True
    ) -> Screen:
        """Open a tab; `live`: wait until it is connected, or follows a tab that is."""
        page = (browser or self.browser).new_page()
        page.goto(self.url + path)
        screen = Screen(page)
        if live:
            screen.wait_until("live")
        return screen

    def gets(self, title: str, **fields: Any) -> None:
        """The site tells this person something."""
        self._tell(to=[self.name], title=title, **fields)

    def everyone_gets(self, title: str, **fields: Any) -> None:
        self._tell(verb="announce", title=title, **fields)

    def _tell(self, **fields: Any) -> None:
        assert self.browser.request.post(self.url + "/tell/", data=fields).ok

    def complaints(self) -> list[str]:
        pages = [page for context in self._contexts for page in context.pages]
        return [line for page in pages for line in page.evaluate("() => window.complaints ?? []")]

    def leave(self) -> None:
        for context in self._contexts:
            context.close()


class Screen:
    """A tab with the bell in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.bell = page.locator("clarion-bell #bell")
        self.badge = page.locator("clarion-bell #badge")
        self.panel = page.locator("clarion-bell #panel")
        self.articles = page.locator("clarion-bell article")
        self.titles = page.locator("clarion-bell article .title")
        self.unread = page.locator("clarion-bell article.unread .title")
        self.toasts = page.locator("clarion-bell .toast")
        self.status = page.locator("clarion-bell #status")
        self.note = page.locator("clarion-bell #note")
        self.bar = page.locator("clarion-bell #bar")
        self.pill = page.locator("clarion-bell #pill")
        self.menu = page.locator("clarion-bell #menu")

    def wait_until(self, state: str, transport: str | None = None, within: float = 20) -> None:
        self.page.wait_for_function(
            """([state, transport]) => {
                const status = document.querySelector("clarion-bell")?.inbox?.status;
                return status?.state === state && (!transport || status.transport === transport);
            }""",
            arg=[state, transport],
            timeout=within * 1000,
        )

    @property
    def sockets(self) -> int:
        """How many WebSockets this tab has opened."""
        count: int = self.page.evaluate("() => window.sockets")
        return count

    def open(self) -> Screen:
        self.bell.click()
        expect(self.panel).to_be_visible()
        expect(self.page.locator("clarion-bell #bones")).to_be_hidden()
        return self

    def show(self, tab: str) -> None:
        self.page.locator("clarion-bell #tabs button", has_text=tab).click()

    def article(self, title: str) -> Locator:
        return self.articles.filter(has_text=title)

    def tool(self, title: str, name: str) -> None:
        """Press one of an item's small buttons: read, unread, archived, unarchived, more."""
        article = self.article(title)
        article.hover()
        article.locator(f"[data-key={name}]").click()

    def choose(self, title: str, label: str) -> None:
        """Choose from an item's menu."""
        self.tool(title, "more")
        self.menu.get_by_role("button", name=label, exact=True).click()

    def undo(self) -> None:
        self.bar.get_by_role("button", name="Undo").click()

    def expect_badge(self, text: str) -> None:
        if text:
            expect(self.badge).to_have_text(text)
            expect(self.badge).to_be_visible()
        else:
            expect(self.badge).to_be_hidden()

    def expect_titles(self, *titles: str) -> None:
        expect(self.titles).to_have_text(list(titles))

    def expect_unread(self, *titles: str) -> None:
        expect(self.unread).to_have_text(list(titles))

    def focused(self) -> str:
        """The accessible text of what has the focus inside the bell."""
        text: str = self.page.evaluate(
            """() => {
                const focused = document.querySelector("clarion-bell").shadowRoot.activeElement;
                if (!focused) return "";
                return focused.id || focused.item?.title || focused.textContent;
            }"""
        )
        return text
