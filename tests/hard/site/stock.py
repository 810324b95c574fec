"""The stock pattern, for the negative control: one Channels consumer for each connection."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.hard.site.settings")

from typing import Any

from django.core.asgi import get_asgi_application

site = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class NoticeConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.group = f"user-{self.scope['user'].pk}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def notice(self, event: dict[str, Any]) -> None:
        await self.send_json({"id": event["id"], "text": event["text"]})


routes = [path("ws/notifications/", NoticeConsumer.as_asgi())]
application = ProtocolTypeRouter(
    {"http": site, "websocket": AuthMiddlewareStack(URLRouter(routes))}
)
