"""The rows of each benchmark's last run, from bench/results/, into the table of bench/RESULTS.md.

python3 run.py bench report
"""

from __future__ import annotations

import json
from typing import Any

from bench.common import HEADER, HERE, RESULTS, RULE, Row

_FILE = HERE / "RESULTS.md"
_BEGIN, _END = "<!-- table -->", "<!-- end of table -->"


def write(names: list[str]) -> None:
    """Replace what stands between the marks; the words around it are people's."""
    head, _, rest = _FILE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    shown = "\n\n".join(filter(None, map(_section, names)))
    _FILE.write_text(f"{head}{_BEGIN}\n\n{shown}\n\n{_END}{tail}", encoding="utf-8")


def _section(name: str) -> str:
    records = _newest(name)
    if not records:
        return ""
    last = records[-1]
    versions = ", ".join(f"{package} {version}" for package, version in last["versions"].items())
    said = f"### {name}\n\n{last['run'][:10]}, {last['machine']}; {versions}."
    return "\n".join([said, "", HEADER, RULE, *map(_line, records)])


def _newest(name: str) -> list[dict[str, Any]]:
    """The rows of the last run."""
    file = RESULTS / f"{name}.jsonl"
    if not file.exists():
        return []
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [record for record in records if record["run"] == records[-1]["run"]]


def _line(record: dict[str, Any]) -> str:
    known = {name: value for name, value in record.items() if name in Row.__dataclass_fields__}
    return str(Row(**known))
