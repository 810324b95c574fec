"""A browser whose push service is the one on this machine."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import BrowserContext, Worker

from tests.channels.pushservice import Browser, Message, PushService

_PUSH_MANAGER = """
const bytes = (text) => Uint8Array.from(
  atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const subscription = (given) => given && {
  endpoint: given.endpoint,
  options: { userVisibleOnly: true, applicationServerKey: bytes(given.key).buffer },
  toJSON: () => ({ endpoint: given.endpoint, expirationTime: null, keys: given.keys }),
  unsubscribe: () => desk("unsubscribe", null),
};
PushManager.prototype.subscribe = async ({ applicationServerKey }) =>
  subscription(await desk("subscribe", applicationServerKey));
PushManager.prototype.getSubscription = async () => subscription(await desk("current", null));
"""


class Desk:
    """Somebody's browser whose push service is the one on this machine."""

    def __init__(self, service: PushService, context: BrowserContext, url: str) -> None:
        self._service = service
        self.context = context
        self.subscription: Browser | None = None
        context.grant_permissions(["notifications"], origin=url)
        context.expose_function("desk", self._answer)
        context.add_init_script(_PUSH_MANAGER)

    def _answer(self, verb: str, key: str | None) -> Any:
        if verb == "subscribe" and self.subscription is None:
            assert key
            self.subscription = self._service.subscribe(key)
        if verb == "unsubscribe":
            assert self.subscription
            del self._service.browsers["/push/" + self.subscription.endpoint.rpartition("/")[2]]
            self.subscription = None
            return True
        found = self.subscription
        return found and {
            "endpoint": found.endpoint, "key": found.application_key, "keys": found.keys,
        }  # fmt: skip

    @property
    def worker(self) -> Worker:
        return self.context.service_workers[0]

    def arrived(self, title: str) -> Message:
        """The message with this title, as soon as it is there."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert self.subscription
            for message in self.subscription.messages:
                if message.notification["title"] == title:
                    return message
            time.sleep(0.05)
        raise AssertionError(f"{title!r} was not pushed")
