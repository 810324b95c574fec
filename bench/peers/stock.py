"""The stock pattern of every tutorial: a consumer for each connection, group_add and group_send."""

import json
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.project.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Personal(AsyncWebsocketConsumer):
    """A group for each user, who is named in the path: authentication would cost more."""

    async def connect(self) -> None:
        self.group = f"user_{self.scope['url_route']['kwargs']['pk']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def notify(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(event["message"]))


class Public(Personal):
    """One group for all."""

    async def connect(self) -> None:
        self.group = "public"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()


websocket = URLRouter(
    [path("ws/u/<int:pk>/", Personal.as_asgi()), path("ws/p/<int:pk>/", Public.as_asgi())]
)
application = ProtocolTypeRouter({"http": http, "websocket": websocket})
