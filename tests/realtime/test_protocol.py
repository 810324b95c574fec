"""docs/reference/asyncapi.yaml is true: valid examples, and a server that sends nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clarion import announce, inbox, notify, toast
from tests.realtime.conftest import ASGI, GATEWAY, Site

yaml = pytest.importorskip("yaml")
jsonschema = pytest.importorskip("jsonschema")

DOCUMENT = yaml.safe_load(
    (Path(__file__).parents[2] / "docs/reference/asyncapi.yaml").read_text(encoding="utf-8")
)
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
COMMANDS = ("resume", "ack", "mark", "ping")


def validate(frame: dict[str, Any]) -> None:
    """The frame has the documented shape, and no field that isn't documented."""
    payload = MESSAGES[frame["type"]]["payload"]
    schema = {**payload, "components": DOCUMENT["components"], "additionalProperties": False}
    jsonschema.Draft202012Validator(schema).validate(frame)


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example["payload"], id=f"{name}-{number}")
        for name, message in MESSAGES.items()
        for number, example in enumerate(message["examples"])
    ],
)
def test_every_example_is_valid(example: dict[str, Any]) -> None:
    validate(example)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ws", [ASGI, GATEWAY], ids=["asgi", "gateway"])
def test_a_server_sends_what_is_documented_and_understands_what_is(site: Site, alice: Any) -> None:
    screen = site.open(alice, query="inbox=elsewhere.1&public=.0")
    heard: dict[str, Any] = {}
    screen.send(type="ping")
    while "heartbeat" not in heard:  # it is in step now, and hears what is never stored
        frame = json.loads(screen.socket.recv(timeout=5))
        validate(frame)
        heard[frame["type"]] = frame

    notify("one", to=alice)
    announce("to all")
    toast(alice, "Saved")
    for name in COMMANDS:
        for example in MESSAGES[name]["examples"]:
            screen.send(**example["payload"])
    screen.send(type="mark", id="c9", **{"as": "read"}, ids=[inbox.page(alice).items[0]["id"]])
    while "reply" not in heard or heard["reply"]["id"] != "c9":
        frame = json.loads(screen.socket.recv(timeout=5))
        validate(frame)
        heard[frame["type"]] = frame
    screen.socket.send("[]")
    frame = screen.next("bye")
    validate(frame)
    heard["bye"] = frame

    assert set(heard) == set(MESSAGES) - set(COMMANDS)
