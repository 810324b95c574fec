"""`run.py --smoke`: start the site, use it as two people would, print what was seen and how fast.

Exit code 0 only when all of it happened. Where CLARION_DB and CLARION_BROKER name a PostgreSQL and
a Valkey, it is the production topology, with Celery and a sink for mail and webhooks; otherwise one
process with a throwaway SQLite file, and mail in files.
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
from tools.serve import PASSWORD, Site, site
from tools.visitor import Tab, Visitor, Watcher

TITLE = "Swimming moved to Thursday"
DAY = "2026-11-20"
MISSING = "Sam Okafor was absent"
TASKS = ("Learn the second verse", "Bring your recorder")


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
        log, mail = Path(folder) / "server.log", Path(folder) / "mail"
        environment = named_servers() or {
            "CLARION_DB": f"sqlite://{folder}/site.sqlite3",
            "CLARION_MAIL": mail.as_uri(),
        }
        try:
            with log.open("wb") as output:
                walk(environment, mail, output)
        except (AssertionError, TimeoutError, OSError, Unavailable) as reason:
            print(f"\nsmoke: FAILED: {type(reason).__name__}: {reason}\n")
            print(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            return 1
    print("\nsmoke: all of it happened")
    return 0


def named_servers() -> dict[str, str]:
    """The servers of the production topology, if both are named."""
    named = {name: os.environ.get(name, "") for name in ("CLARION_DB", "CLARION_BROKER")}
    complete = named["CLARION_DB"].startswith("postgres") and named["CLARION_BROKER"]
    return named if complete else {}


def walk(environment: dict[str, str], mail: Path, output: Any) -> None:
    """Ada sends, both tabs of Sam show it, he reads it in one, the other follows. Then what leaves
    the screen."""
    report, full = Report(), "CLARION_BROKER" in environment
    with contextlib.ExitStack() as stack:
        with report.step("the site started: migrated, seeded, answering"):
            running = stack.enter_context(
                site(environment, workers=2 if full else 1, full=full, log=output)
            )
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
        try:
            leave_the_screen(report, running, ada, sam, mail)
        finally:
            assert_all_runs(running)


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


def leave_the_screen(
    report: Report, running: Site, ada: Visitor, sam: Visitor, files: Path
) -> None:
    """Somebody is missing: a mail at once. Two assignments: one mail, when Sam asks for it."""
    with report.step("Ada noted in the class book that Sam is missing"):
        ada.post("class-book/absence/", student="sam", day=DAY)
    if running.outside is None:
        with report.step("a mail to his guardian is in a file"):
            assert_mail_in_file(files)
        return
    outside = Watcher(running.outside.url)
    with report.step("a mail to his guardian arrived by SMTP"):
        outside.mail(to="grace@school.example", saying=MISSING)
    with report.step("a webhook arrived; the reference library verified its signature"):
        hook = outside.webhook(of="absence.noted")
        assert hook["verified"], hook["fault"]
    with report.step("Ada gave Sam's class two assignments"):
        for title in TASKS:
            ada.post(
                "class-book/assignment/", school_class="7a", subject="Music", title=title,
                due=DAY,
            )  # fmt: skip
    with report.step("both were pushed to a device of his; signature verified, decrypted"):
        for title in TASKS:
            outside.push(saying=title)
    with report.step("Sam asked for his mail of the day: one, with both"):
        sam.post("mail/now/", page="")
        digest = outside.mail(to="sam@school.example", saying=TASKS[0])
        assert TASKS[1] in digest["text"], digest
        mails = [mail for mail in outside.all()["mails"] if mail["to"] == ["sam@school.example"]]
        assert len(mails) == 1, mails


def assert_mail_in_file(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.log")]
        if any("grace@school.example" in text and MISSING in text for text in texts):
            return
        time.sleep(0.02)
    raise TimeoutError(f"no mail to Grace among {len(texts)} files")


def assert_all_runs(running: Site) -> None:
    ended = [name for name, process in running.parts.items() if process.poll() is not None]
    assert not ended, f"ended: {ended}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
