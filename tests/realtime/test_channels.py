"""In a site with Channels: our patterns in its router, behind its authentication."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clarion import notify
from tests.realtime.conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def channels_site(transactional_db: None, configure: Callable[..., None]) -> Iterator[Site]:
    pytest.importorskip("channels")
    from channels.auth import AuthMiddlewareStack
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.core.asgi import get_asgi_application

    from clarion.routing import websocket_urlpatterns

    configure(BROKER="memory", RECONCILE_INTERVAL=60)
    application = ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        }
    )
    running = Site(application, lifespan="off").start()
    yield running
    running.stop()


def test_a_notification_arrives(channels_site: Site, alice: Any, bob: Any) -> None:
    screen, other = channels_site.open(alice), channels_site.open(bob)
    for each in (screen, other):
        each.next("hello")

    notify("through the router", to=alice)

    assert screen.next("change")["message"] == "through the router"
    assert other.hears_nothing("change")


def test_strangers_and_others_are_sent_away(channels_site: Site, alice: Any, bob: Any) -> None:
    assert channels_site.open().closed_with() == 4500
    assert channels_site.open(alice, path=f"/ws/notifications/{bob.pk}/").closed_with() == 4502
    channels_site.open(alice, path=f"/ws/notifications/{alice.pk}/").next("hello")
