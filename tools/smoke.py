"""`run.py --smoke`: start the site, use it as two people would, print what was seen and how fast.

Exit code 0 only when all of it happened. Works against the servers that CLARION_DB and
CLARION_BROKER name, on a throwaway SQLite file otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.processes import Unavailable
from tools.serve import PASSWORD, site
from tools.visitor import Tab, Visitor

TITLE = "Swimming moved to Thursday"


class Report:
    """Lines of what was done, each with its time."""

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            print(f"  FAILED          {text}", flush=True)
            raise
        print(f"  ok {1000 * (time.perf_counter() - started):8.1f} ms  {text}", flush=True)


def main(arguments: list[str]) -> int:
    if arguments:
        print("--smoke takes no arguments", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="clarion-smoke-") as folder:
        log = Path(folder) / "server.log"
        environment = {"CLARION_DB": f"sqlite://{folder}/site.sqlite3"} | named_servers()
        try:
            with log.open("wb") as output:
                walk(environment, output)
        except (AssertionError, TimeoutError, OSError, Unavailable) as reason:
            print(f"\nsmoke: FAILED: {type(reason).__name__}: {reason}\n")
            print(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            return 1
    print("\nsmoke: all of it happened")
    return 0


def named_servers() -> dict[str, str]:
    return {
        name: os.environ[name] for name in ("CLARION_DB", "CLARION_BROKER") if name in os.environ
    }


def walk(environment: dict[str, str], output: Any) -> None:
    """The story: Ada sends, both tabs of Sam show it, he reads it in one, the other follows."""
    report = Report()
    with contextlib.ExitStack() as stack:
        with report.step("the site started: migrated, seeded, answering"):
            running = stack.enter_context(site(environment, log=output))
        ada, sam = Visitor(running.url), Visitor(running.url)
        with report.step("Ada and Sam signed in"):
            ada.sign_in("ada", PASSWORD)
            sam.sign_in("sam", PASSWORD)
        with report.step("Sam opened two tabs, Ada one: three WebSockets were greeted"):
            first, second = (stack.enter_context(sam.open_tab()) for _ in range(2))
            hers = stack.enter_context(ada.open_tab())
        before = first.hello["counts"]["unread"]
        item = send_and_see(report, ada, first, second)
        read_and_follow(report, item, first, second, before)
        with report.step("Ada's own tab was told nothing of it"):
            assert_not_told(hers)
        with report.step("after a reload Sam finds it in his inbox, read"):
            listed = json.loads(sam.get("notifications/api/inbox/"))["items"]
            found = next(each for each in listed if each["id"] == item["id"])
            assert found["read"], found


def send_and_see(report: Report, ada: Visitor, first: Tab, second: Tab) -> dict[str, Any]:
    with report.step("Ada sent Sam a message on the site's page"):
        ada.post(
            "send/", to_kind="person", to="sam", title=TITLE, body="Bring a towel.", level="info"
        )
    item = first.item(title=TITLE)
    waited = first.arrived_at - ada.posted_at
    print(f"     {1000 * waited:8.1f} ms  from her click to his first tab")
    with report.step("it is in his second tab too"):
        twin = second.item(title=TITLE)
        assert twin["id"] == item["id"], (twin, item)
    assert not item["read"], item
    assert TITLE in item["message"], item
    return item


def read_and_follow(
    report: Report, item: dict[str, Any], first: Tab, second: Tab, before: int
) -> None:
    with report.step("he marked it read in the first tab"):
        first.send(type="mark", id="smoke", **{"as": "read", "ids": [item["id"]]})
        reply = first.wait("reply", id="smoke")
        assert reply["ok"], reply
        assert reply["counts"]["unread"] == before, (before, reply)
    with report.step("the second tab followed"):
        second.item(id=item["id"], read=True)


def assert_not_told(tab: Tab) -> None:
    told = [frame for frame in tab.drain(0.5) if TITLE in json.dumps(frame)]
    assert not told, told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
