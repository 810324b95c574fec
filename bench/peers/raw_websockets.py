"""The `websockets` library and its broadcast(), with nothing around: `... raw_websockets.py PORT`.

What is sent to /ctl/ goes to everybody else.
"""

import asyncio
import sys
from typing import Any

import uvloop
from websockets.asyncio.server import broadcast, serve

everybody: set[Any] = set()


async def handle(connection: Any) -> None:
    if connection.request.path == "/ctl/":
        async for message in connection:
            broadcast(everybody, message)
        return
    everybody.add(connection)
    try:
        await connection.wait_closed()
    finally:
        everybody.discard(connection)


async def main(port: int) -> None:
    async with serve(handle, "127.0.0.1", port, backlog=2048, compression=None):
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
