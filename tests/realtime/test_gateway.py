"""What the gateway does itself, and an ASGI server does elsewhere: RFC 6455, and other paths."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from websockets.protocol import Protocol, Side
from websockets.sync.client import connect

from clarion import notify, toast
from clarion.realtime.gateway.protocol import FRAMES
from tests.realtime.conftest import GATEWAY, Site, session_cookie

pytestmark = pytest.mark.django_db(transaction=True)

TEXT, CONTINUATION, BINARY, CLOSE, PING, PONG = 1, 0, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3, as is the answer


@pytest.fixture
def ws() -> str:
    return GATEWAY


class Line:
    """A client that writes its own frames, right or wrong."""

    def __init__(self, site: Site, **headers: str | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", site.port), 5)
        given: dict[str, str | None] = {
            "Host": site.host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
        }
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
        request = "GET /ws/notifications/ HTTP/1.1\r\n" + "".join(lines) + "\r\n"
        self.socket.sendall(request.encode())
        self._file = self.socket.makefile("rb")
        self.status = self._file.readline().decode().split(" ", 2)[1]
        self.headers = dict(self._header_lines())

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(": ")
            yield name.lower(), value

    def write(self, opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> None:
        head = bytes([opcode | (0x80 if fin else 0)])
        size, masked = len(payload), 0x80 if mask else 0
        if size < 126:
            length = bytes([masked | size])
        elif size < 1 << 16:
            length = struct.pack("!BH", masked | 126, size)
        else:
            length = struct.pack("!BQ", masked | 127, size)
        with suppress(ConnectionError):  # it may have had enough before the end
            self.socket.sendall(head + length + (b"\0\0\0\0" if mask else b"") + payload)

    def read(self) -> tuple[int, bytes]:
        head = self._file.read(2)
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._file.read(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._file.read(8))[0]
        return head[0] & 0x0F, self._file.read(size)

    def next(self, opcode: int, *, of: str = "") -> Any:
        """The payload of the next frame of this kind; with `of`, of the next text of that type."""
        while True:
            kind, payload = self.read()
            if kind == opcode and (not of or json.loads(payload)["type"] == of):
                return json.loads(payload) if of else payload

    def closed_with(self) -> int:
        payload = self.next(CLOSE)
        return int(struct.unpack("!H", payload[:2])[0])

    def is_over(self) -> bool:
        with suppress(ConnectionError):  # it was closed while we were still writing
            return self._file.read(1) == b""
        return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()


Dial = Callable[..., Line]


@pytest.fixture
def dial(site: Site) -> Iterator[Dial]:
    with ExitStack() as lines:

        def call(**headers: str | None) -> Line:
            line = Line(site, **headers)
            lines.callback(line.close)
            return line

        yield call


@pytest.fixture
def line(dial: Dial, alice: Any) -> Line:
    opened = dial(Cookie=session_cookie(alice))
    assert opened.status == "101"
    opened.next(TEXT, of="hello")
    return opened


def test_the_handshake_is_answered_as_the_standard_says(dial: Dial, alice: Any) -> None:
    line = dial(Cookie=session_cookie(alice), Sec_WebSocket_Protocol="x, clarion.v1")

    assert line.status == "101"
    assert line.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert line.headers["sec-websocket-protocol"] == "clarion.v1"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, "426"),
        ({"Sec_WebSocket_Version": None}, "426"),
        ({"Sec_WebSocket_Key": None}, "400"),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, "400"),
        ({"Sec_WebSocket_Key": "no base64!"}, "400"),
        ({"Origin": "https://evil.example"}, "403"),
    ],
)
def test_a_wrong_handshake_is_refused(dial: Dial, wrong: dict[str, Any], status: str) -> None:
    line = dial(**wrong)

    assert line.status == status
    assert line.headers.get("sec-websocket-version") == ("13" if status == "426" else None)
    assert line.is_over()


def test_a_message_may_come_in_pieces_with_a_ping_between(line: Line) -> None:
    line.write(TEXT, b'{"type":"pi', fin=False)
    line.write(PING, b"there?")
    line.write(CONTINUATION, b'ng"}')

    assert line.next(PONG) == b"there?"
    assert line.next(TEXT, of="heartbeat")


def test_a_frame_may_come_byte_by_byte(line: Line) -> None:
    for byte in b"\x81\x8f\0\0\0\0" + b'{"type":"ping"}':
        line.socket.sendall(bytes([byte]))

    assert line.next(TEXT, of="heartbeat")


def test_a_large_frame_goes_out_whole(line: Line, alice: Any) -> None:
    long = "é" * 4000

    notify("Long", body=long, to=alice)

    assert line.next(TEXT, of="change")["items"][0]["body"] == long


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_say_how_long_they_are(size: int) -> None:
    """As the library reads them that reads ours in the other tests, too."""
    reader = Protocol(Side.CLIENT)

    reader.receive_data(FRAMES.message(b"x" * size, None))

    [frame] = reader.events_received()
    assert frame.data == b"x" * size


@pytest.mark.parametrize(
    ("opcode", "payload", "options", "code"),
    [
        (TEXT, b"\xff\xfe", {}, 1007),
        (TEXT, b"{}", {"mask": False}, 1002),
        (3, b"", {}, 1002),
        (CONTINUATION, b"of nothing", {}, 1002),
        (TEXT, b"x" * 70_000, {}, 1009),
        (TEXT, b"x" * 20_000, {}, 4503),
        (BINARY, b"{}", {}, 4503),
        (CLOSE, struct.pack("!H", 1001), {}, 1001),
    ],
)
def test_what_breaks_the_rules_ends_with_its_code(
    line: Line, opcode: int, payload: bytes, options: dict[str, Any], code: int
) -> None:
    line.write(opcode, payload, **options)

    assert line.closed_with() == code
    toast("everyone", "Nobody who has been told goodbye hears more")
    line.write(CLOSE, struct.pack("!H", code))
    assert line.is_over()


def test_commands_are_done_in_the_order_they_came(line: Line, alice: Any) -> None:
    notify("one", to=alice)
    item = line.next(TEXT, of="change")["items"][0]
    states = ["read", "unread", "archived", "unarchived", "read"]

    for number, state in enumerate(states):
        mark = {"type": "mark", "id": str(number), "as": state, "ids": [item["id"]]}
        line.write(TEXT, json.dumps(mark).encode())

    replies = [line.next(TEXT, of="reply") for _ in states]
    assert [reply["id"] for reply in replies] == list("01234")
    assert [reply["changed"] for reply in replies] == [1] * 5


def test_a_client_that_talks_too_much_is_cut_off(line: Line) -> None:
    for _ in range(200):
        line.write(TEXT, b'{"type":"ping"}')

    assert line.closed_with() == 4006


def test_a_client_that_pings_and_reads_nothing_is_cut_off(line: Line) -> None:
    pings = (bytes([0x80 | PING, 0x80 | 125]) + b"\0" * 129) * 500

    with pytest.raises(ConnectionError):
        for _ in range(1000):  # far more than the buffers of both sides
            line.socket.sendall(pings)


def test_nothing_of_a_connection_is_kept_when_it_is_over(site: Site, line: Line) -> None:
    line.close()

    async def gone() -> bool:
        for _ in range(200):
            if not site.feed.hub.count and not site.server.server_state.connections:
                return True
            await asyncio.sleep(0.01)
        return False

    assert site.loop is not None
    assert asyncio.run_coroutine_threadsafe(gone(), site.loop).result(5)


def test_a_proxy_that_is_trusted_says_what_the_scheme_was(
    site: Site, dial: Dial, alice: Any
) -> None:
    told = {"Origin": f"https://{site.host}", "Cookie": session_cookie(alice)}

    assert dial(**told).status == "403"
    assert dial(**told, X_Forwarded_Proto="https").status == "101"


@pytest.fixture
def echoing(transactional_db: None, configure: Callable[..., None]) -> Iterator[Site]:
    """A site with a WebSocket of its own beside ours."""
    from clarion.asgi import mount

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close", "code": 4321})

    configure(BROKER="memory")
    running = Site(mount(echo), ws=GATEWAY).start()
    yield running
    running.stop()


def test_other_paths_are_served_by_the_application(echoing: Site) -> None:
    with connect(f"ws://{echoing.host}/ws/echo/", compression=None) as other:
        other.send("hello")

        assert other.recv(5) == "hello"
    assert other.close_code == 4321


def test_uvicorn_may_load_it_before_the_site_set_up_django():
    program = f"from uvicorn.importer import import_from_string as load; load({GATEWAY!r})"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": ""}

    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
