"""For sites with Channels: `URLRouter([*clarion.routing.websocket_urlpatterns, ...])`.

    application = ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
    })

Sites without Channels use `clarion.asgi.mount` instead.
"""

from __future__ import annotations

from django.urls import path

from clarion.conf import settings
from clarion.realtime.websocket import NotificationConsumer

_prefix = settings.WEBSOCKET_PATH.lstrip("/")
_consumer = NotificationConsumer.as_asgi()

websocket_urlpatterns = [
    path(_prefix, _consumer),  # type: ignore[arg-type]  # an ASGI application, as Channels routes them
    path(f"{_prefix}<str:user_pk>/", _consumer),  # type: ignore[arg-type]
]
