"""As much of an HTTP/1.1 client as the crowd needs, on one connection for each request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

PATIENCE = 15.0  # seconds for an answer


class Refused(OSError):
    """An answer that is not 200: the server is starting, or going."""


async def get_json(port: int, path: str, cookie: str) -> Any:
    async with asyncio.timeout(PATIENCE):
        async with stream(port, path, cookie, {}) as lines:
            return json.loads("\n".join([line async for line in lines]))


@asynccontextmanager
async def stream(
    port: int, path: str, cookie: str, headers: Mapping[str, str]
) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a body as they come. Raises OSError or EOFError when the connection breaks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        given = {"Host": f"127.0.0.1:{port}", "Cookie": cookie, "Connection": "close", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split(" ", 2)[1])
        if status != 200:
            raise Refused(f"{path} answered {status}")
        is_chunked = "transfer-encoding: chunked" in answer.lower()
        yield _lines(_chunks(reader) if is_chunked else _rest(reader))
    finally:
        writer.transport.abort()


async def _rest(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while part := await reader.read(65536):
        yield part


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int((await reader.readuntil(b"\r\n")).strip(), 16)
        part = await reader.readexactly(size + 2)
        if not size:
            return
        yield part[:-2]


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode()
    if rest:
        yield rest.decode()
