"""Real time in three lines of a project's asgi.py, with nothing but Django and an ASGI server:

from clarion.asgi import mount
application = mount(get_asgi_application())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Application = Callable[[Any, Any, Any], Awaitable[None]]


def mount(application: Application) -> Application:
    """Put WebSocket and server-sent events before `application`, and take care of start and stop.

    WebSockets are served at WEBSOCKET_PATH, events at the `stream` address of `clarion.urls`; all
    else is for `application`. Other WebSocket paths go there too, if it serves them.
    """
    # Not at the top: asgi.py imports this before get_asgi_application() has set up Django.
    from clarion.realtime import serving

    return serving.before(application)
