"""Push to a real service worker in a real browser.

The push service of the browser's vendor can't be reached from here. So `PushManager` is replaced in
the page by one whose subscriptions are those of a push service on this machine, and what that
service decrypts is handed to the worker by the browser's own debugging protocol. All else is real.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.channels.pushservice import PushService
from tests.e2e.conftest import Site
from tests.e2e.desk import Desk
from tests.e2e.screen import Person, Screen
from tests.e2e.test_accessibility import violations


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("pushing"))
    site._environment["DJANGO_SETTINGS_MODULE"] = "tests.e2e.push_settings"
    site.migrate()
    site.start()
    yield site
    site.end()


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as running:
        yield running
        assert running.faults == []


@pytest.fixture
def desk(alice: Person, service: PushService) -> Desk:
    return Desk(service, alice.browser, alice.url)


def switch(screen: Screen) -> Locator:
    return screen.page.locator("clarion-bell").get_by_role("switch")


def switch_on(screen: Screen) -> None:
    screen.open()
    switch(screen).click()
    expect(switch(screen)).to_be_checked()


def hint(screen: Screen) -> Locator:
    return screen.page.locator("clarion-bell clarion-push #hint")


def bare_page(person: Person) -> Page:
    """A page of the site without a bell, to look at the worker from."""
    page = person.browser.new_page()
    page.goto(person.url + "/static/e2e/site.css")
    return page


def shown(page: Page) -> list[dict[str, Any]]:
    """What the browser shows of the worker, the confirmation left out."""
    found: list[dict[str, Any]] = page.evaluate(
        """async () => {
            const registration = await navigator.serviceWorker.getRegistration("/notifications/");
            const all = await registration.getNotifications();
            return all.filter(({ tag }) => tag !== "clarion-push")
                .map(({ title, body, tag, lang, data }) => ({ title, body, tag, lang, data }));
        }"""
    )
    return found


def wait_until_shown(page: Page) -> dict[str, Any]:
    until = time.monotonic() + 10
    while not shown(page) and time.monotonic() < until:
        page.wait_for_timeout(50)
    [notification] = shown(page)
    return notification


def deliver(page: Page, text: str) -> None:
    """Hand the worker a message as the browser does when it comes from its push service."""
    session = page.context.new_cdp_session(page)
    registrations: list[str] = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(one["registrationId"] for one in event["registrations"]),
    )
    session.send("ServiceWorker.enable")
    while not registrations:
        page.wait_for_timeout(20)
    message = {"origin": page.evaluate("location.origin") + "/", "data": text}
    session.send(
        "ServiceWorker.deliverPushMessage", {"registrationId": registrations[-1], **message}
    )


def test_what_is_notified_is_shown_by_the_worker(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)
    screen.page.close()

    alice.gets("Bus leaves at 8", body="From the north gate", url="/read/")
    page = bare_page(alice)
    deliver(page, desk.arrived("Bus leaves at 8").plaintext.decode())

    notification = wait_until_shown(page)
    assert notification["title"] == "Bus leaves at 8"
    assert notification["body"] == "From the north gate"
    assert notification["data"]["url"] == "/read/"


def test_nothing_is_shown_while_somebody_looks_at_a_live_tab(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)
    screen.page.keyboard.press("Escape")

    alice.gets("Bus leaves at 8")
    deliver(screen.page, desk.arrived("Bus leaves at 8").plaintext.decode())

    expect(screen.toasts).to_have_count(1)
    screen.page.wait_for_timeout(1500)  # the worker waits for an answer of the tab for a second
    assert shown(screen.page) == []


def test_what_can_not_be_read_is_announced_all_the_same(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)
    screen.page.close()

    page = bare_page(alice)
    deliver(page, "not JSON")

    assert wait_until_shown(page)["title"] == "localhost"


def test_opening_it_takes_it_away_and_marks_it_read(alice: Person, desk: Desk) -> None:
    """A click can't be made from here; the worker is told of one, and can't open a tab for it."""
    screen = alice.screen()
    switch_on(screen)
    screen.page.close()
    alice.gets("Bus leaves at 8", url="/read/")
    page = bare_page(alice)
    deliver(page, desk.arrived("Bus leaves at 8").plaintext.decode())
    wait_until_shown(page)

    with desk.context.expect_event("response", lambda answer: answer.url.endswith("/mark/")):
        desk.worker.evaluate(
            """async () => {
                const all = await registration.getNotifications();
                const notification = all.find(({ tag }) => tag !== "clarion-push");
                dispatchEvent(new NotificationEvent("notificationclick", { notification }));
            }"""
        )

    assert shown(page) == []
    later = alice.screen().open()
    later.expect_titles("Bus leaves at 8")
    later.expect_unread()


def test_it_stays_on_for_later_pages_until_it_is_switched_off(alice: Person, desk: Desk) -> None:
    switch_on(alice.screen())
    first = desk.subscription

    later = alice.screen().open()
    expect(switch(later)).to_be_checked()
    switch(later).click()
    expect(switch(later)).not_to_be_checked()

    expect(switch(alice.screen().open())).not_to_be_checked()
    assert first is not None
    assert desk.subscription is None


def test_a_device_that_was_removed_elsewhere_stays_off(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)
    assert desk.subscription
    screen.page.evaluate(
        """async (endpoint) => {
            const { csrf } = await (await fetch("/notifications/api/push/")).json();
            const headers = { "Content-Type": "application/json", [csrf.header]: csrf.token };
            const request = { method: "POST", headers, body: JSON.stringify({ endpoint }) };
            await fetch("/notifications/api/push/unsubscribe/", request);
        }""",
        desk.subscription.endpoint,
    )

    expect(switch(alice.screen().open())).not_to_be_checked()

    assert desk.subscription is None
    expect(switch(alice.screen().open())).not_to_be_checked()


def test_a_browser_that_forbids_it_is_said_to(alice: Person, desk: Desk) -> None:
    desk.context.clear_permissions()
    desk.context.add_init_script(
        "Object.defineProperty(Notification, 'permission', { value: 'denied' })"
    )
    screen = alice.screen().open()

    expect(hint(screen)).to_contain_text("Blocked: allow notifications for this site")
    expect(switch(screen)).to_be_disabled()
    switch(screen).click(force=True)
    assert desk.subscription is None


def test_a_failure_is_said_and_it_can_be_tried_again(alice: Person, desk: Desk) -> None:
    desk.context.add_init_script(
        """
        const { subscribe } = PushManager.prototype;
        PushManager.prototype.subscribe = function (options) {
            return window.broken ? Promise.reject(new Error("no")) : subscribe(options);
        };
        window.broken = true;
        """
    )
    screen = alice.screen().open()

    switch(screen).click()
    expect(hint(screen)).to_have_text("That did not work. Try again later")
    expect(switch(screen)).not_to_be_checked()
    screen.page.evaluate("window.broken = false")
    switch(screen).click()

    expect(switch(screen)).to_be_checked()
    expect(hint(screen)).to_be_empty()


def test_browsers_without_push_show_no_switch(alice: Person, desk: Desk) -> None:
    desk.context.add_init_script("delete window.PushManager")

    screen = alice.screen().open()

    expect(switch(screen)).to_have_count(0)


def test_a_worker_that_the_site_has_is_left_alone(alice: Person, desk: Desk) -> None:
    """Asked for ours, the browser answers with one of a wider scope where ours is not there."""
    desk.context.add_init_script(
        """
        const pushManager = { getSubscription: () => { throw new Error("not ours"); } };
        const theirs = { active: { scriptURL: origin + "/their-worker.js" }, pushManager };
        ServiceWorkerContainer.prototype.getRegistration = async () => theirs;
        localStorage["clarion-push"] = "somebody";
        """
    )

    screen = alice.screen().open()

    expect(switch(screen)).not_to_be_checked()


def test_a_device_that_was_handed_on_is_quiet(
    alice: Person, person: Callable[..., Person], desk: Desk
) -> None:
    """Nobody reads on their screen what is meant for somebody who was signed in before."""
    switch_on(alice.screen())
    bob = person("bob")

    desk.context.request.post(alice.url + "/enrol/", data={"name": bob.name})
    screen = Screen(desk.context.new_page())
    screen.page.goto(alice.url)
    screen.wait_until("live")
    screen.open()

    expect(switch(screen)).not_to_be_checked()
    assert desk.subscription is None


def test_signing_out_pauses_and_signing_in_again_goes_on(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)

    screen.page.evaluate(
        """() => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = "/logout/";
            form.dataset.clarionSignOut = "";
            const token = document.createElement("input");
            token.name = "csrfmiddlewaretoken";
            token.value = /csrftoken=([^;]+)/.exec(document.cookie)[1];
            form.append(token);
            document.body.append(form);
            form.requestSubmit();
        }"""
    )
    expect(screen.page.locator("clarion-bell[anonymous]")).to_have_count(1)
    assert desk.subscription is None

    desk.context.request.post(alice.url + "/enrol/", data={"name": alice.name})
    again = alice.screen().open()
    expect(switch(again)).to_be_checked()
    assert desk.subscription is not None


def test_a_subscription_to_an_older_key_is_renewed(alice: Person, desk: Desk) -> None:
    screen = alice.screen()
    switch_on(screen)
    assert desk.subscription
    old = desk.subscription
    key, old.application_key = old.application_key, "A" * 87

    later = alice.screen()
    with later.page.expect_response("**/push/subscribe/"):
        later.open()

    expect(switch(later)).to_be_checked()
    assert desk.subscription.endpoint != old.endpoint
    assert desk.subscription.application_key == key


def test_what_the_browser_renews_is_known_to_the_site(
    alice: Person, desk: Desk, service: PushService
) -> None:
    screen = alice.screen()
    switch_on(screen)
    assert desk.subscription
    desk.subscription = service.subscribe(desk.subscription.application_key)

    with desk.context.expect_event(
        "response", lambda answer: answer.url.endswith("/subscribe/")
    ) as answer:
        desk.worker.evaluate(
            """(given) => {
                const event = new ExtendableEvent("pushsubscriptionchange");
                dispatchEvent(Object.assign(event, { newSubscription: { toJSON: () => given } }));
            }""",
            {"endpoint": desk.subscription.endpoint, "keys": desk.subscription.keys},
        )

    assert answer.value.ok
    alice.gets("Bus leaves at 8")
    assert desk.arrived("Bus leaves at 8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_has_no_violations(
    person: Callable[..., Person], service: PushService, scheme: str
) -> None:
    alice = person("alice", color_scheme=scheme, reduced_motion="reduce")
    Desk(service, alice.browser, alice.url)
    screen = alice.screen().open()
    expect(switch(screen)).to_have_accessible_name("Notify me on this device")
    assert violations(screen.page) == []

    switch(screen).press("Space")

    expect(switch(screen)).to_be_checked()
    assert violations(screen.page) == []
