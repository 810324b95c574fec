"""Did everybody see what they should, once, and nothing else? From the logs and the database.

The invariants are numbered as in the design: I1 nothing lost, I2 nothing twice, I3 cursors rise,
I4 nothing that was rolled back, I5 nothing of others, I7 at rest all agree, I9 no needless reset.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hard.client import newest_first
from tests.hard.crowd import Client

Journal = dict[str, dict[str, Any]]


@dataclass
class Verdict:
    """What went wrong, by invariant, and the numbers of the run."""

    violations: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    longest: float = 0.0  # seconds from a commit to a screen

    def add(self, invariant: str, found: list[str]) -> None:
        if found:
            self.violations[invariant] = found

    def table(self, title: str, seed: str) -> str:
        rows = {"seed": seed, **self.numbers}
        rows |= {name: f"{len(found)} VIOLATIONS" for name, found in self.violations.items()}
        width = max(map(len, rows))
        lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
        return "\n".join(["", title, *lines])

    def details(self) -> str:
        return "\n".join(
            f"{name}: {len(found)}\n  " + "\n  ".join(found[:10])
            for name, found in self.violations.items()
        )


def read(journal: Path) -> Journal:
    """What was written, by its text: to whom, and what became of it as far as is known."""
    entries: Journal = {}
    for line in journal.read_text(encoding="ascii").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a kill
        text = entry.pop("text")
        known = entries.setdefault(text, {})
        known |= {key: entry[key] for key in ("kind", "to") if key in entry}
        known[entry["what"]] = entry["t"]
    return entries


def check(journal: Journal, truth: dict[str, Any], clients: list[Client]) -> Verdict:
    verdict = Verdict()
    events = {event["id"]: event for event in truth["events"]}
    by_text = {event["text"]: event for event in truth["events"]}
    verdict.add("I1 fan-out", _not_fanned_out(journal, by_text, truth))
    verdict.add("I1 lost", _lost(journal, by_text, clients))
    verdict.add("I2 twice", _shown_twice(clients))
    verdict.add("I3 and close codes", _faults(clients))
    verdict.add("I4 rolled back", _never_happened(journal, events, clients))
    verdict.add("I5 of another", _of_another(journal, clients))
    verdict.add("I7 state", _states(truth, clients))
    verdict.add("I9 resets", _resets(clients))
    verdict.add("drift", truth["drift"])
    waits = _waits(journal, clients)
    verdict.longest = max(waits, default=0.0)
    verdict.numbers = _numbers(journal, truth, clients) | {
        "shown": f"{len(waits)} times on {len(clients)} screens",
        "commit to screen": _spread(waits),
    }
    return verdict


def _not_fanned_out(journal: Journal, events: dict[str, Any], truth: dict[str, Any]) -> list[str]:
    """Whatever was committed is an event; and an event has a row for each it was meant for."""
    rows: dict[int, Counter[int]] = {}
    for event, recipient, _ in truth["rows"]:
        rows.setdefault(event, Counter())[recipient] += 1
    wrong = []
    for text, entry in journal.items():
        event = events.get(text)
        if event is None:
            if "commit" in entry:
                wrong.append(f"{text} was committed and is not there")
            continue
        found = rows.get(event["id"], Counter())
        if not event["retracted"] and not event["public"] and found != Counter(entry["to"]):
            wrong.append(f"{text} has {found.total()} rows for {len(entry['to'])} people")
    return wrong


def _lost(journal: Journal, events: dict[str, Any], clients: list[Client]) -> list[str]:
    return [
        f"{text} ({journal[text]['kind']}) was not shown on screen {client.name}"
        for text, event in events.items()
        if not event["retracted"] and text in journal
        for client in clients
        if client.person["pk"] in journal[text]["to"] and event["id"] not in client.first
        if journal[text]["intent"] > client.since  # who came later sees what is still listed: I7
    ]


def _shown_twice(clients: list[Client]) -> list[str]:
    wrong = []
    for client in clients:
        new = Counter((shown.event, shown.arrived_at) for shown in client.new)
        wrong += [f"{event} {n} times on {client.name}" for (event, _), n in new.items() if n > 1]
    return wrong


def _faults(clients: list[Client]) -> list[str]:
    return [f"screen {client.name}: {fault}" for client in clients for fault in client.faults]


def _never_happened(journal: Journal, events: dict[int, Any], clients: list[Client]) -> list[str]:
    return [
        f"{shown.text} on {client.name}"
        for client in clients
        for shown in client.first.values()
        if "abort" in journal.get(shown.text, {}) or shown.event not in events
    ]


def _of_another(journal: Journal, clients: list[Client]) -> list[str]:
    return [
        f"{shown.text} on {client.name}, of {client.person['pk']}"
        for client in clients
        for shown in client.first.values()
        if client.person["pk"] not in journal.get(shown.text, {}).get("to", ())
    ]


def _states(truth: dict[str, Any], clients: list[Client]) -> list[str]:
    wrong = []
    for client in clients:
        fresh = truth["inboxes"][str(client.person["pk"])]
        shown = [_essence(item) for item in client.screen.list("all")]
        # Clients know moments by the millisecond; the database orders what came in the same one.
        fetched = [
            _essence(item) for item in sorted(fresh["items"], key=newest_first, reverse=True)
        ]
        if shown != fetched:
            odd = [item["id"] for item in shown if item not in fetched]
            odd += [item["id"] for item in fetched if item not in shown]
            wrong.append(f"screen {client.name} differs in {odd or 'order'}")
        if client.screen.counts != fresh["counts"]:
            wrong.append(f"screen {client.name}: {client.screen.counts}, not {fresh['counts']}")
    return wrong


def _essence(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "version"}


def _resets(clients: list[Client]) -> list[str]:
    return [f"{client.name}: {reason}" for client in clients for reason in client.screen.resets]


def _waits(journal: Journal, clients: list[Client]) -> list[float]:
    """Seconds from each commit to each screen that was already open then."""
    return sorted(
        max(0.0, shown.at - journal[shown.text]["commit"])
        for client in clients
        for shown in client.first.values()
        if journal.get(shown.text, {}).get("commit", 0) > client.since
    )


def _numbers(journal: Journal, truth: dict[str, Any], clients: list[Client]) -> dict[str, Any]:
    fates = Counter(
        "committed" if "commit" in entry else "rolled back" if "abort" in entry else "killed"
        for entry in journal.values()
        if "intent" in entry
    )
    return {
        "written": ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())),
        "retracted": sum(event["retracted"] for event in truth["events"]),
        "announcements": sum(event["public"] for event in truth["events"]),
        "rows": f"{len(truth['rows'])}, {truth['delivered']} confirmed by a client",
        "connections": sum(client.connected for client in clients),
    }


def _spread(waits: list[float]) -> str:
    if not waits:
        return "nothing"
    half, most = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    return f"p50 {half:.3f} s, p99 {most:.3f} s, longest {waits[-1]:.3f} s"
