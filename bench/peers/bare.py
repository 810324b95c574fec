"""What uvicorn itself costs: accepts every WebSocket, says one thing, and waits."""

from __future__ import annotations

from typing import Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "x" * 250})
    while (await receive())["type"] != "websocket.disconnect":
        continue
