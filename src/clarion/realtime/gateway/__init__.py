"""A WebSocket protocol for uvicorn: `uvicorn --ws clarion.realtime.gateway:Gateway site.asgi:...`.

With several workers uvicorn loads this before the site has set up Django, so that the protocol
itself is loaded with the first connection.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clarion.realtime.gateway.protocol import GatewayProtocol


class Gateway:
    """What uvicorn calls when a client asks for a WebSocket."""

    def __new__(cls, **given: Any) -> GatewayProtocol:  # type: ignore[misc]
        return _protocol()(**given)


@cache
def _protocol() -> type[GatewayProtocol]:
    from clarion.realtime.gateway.protocol import GatewayProtocol

    return GatewayProtocol
