"""Compile requirements/*.in into *.txt: `python -m tools.pins [--upgrade]`.

One file holds every supported Python and the newest Django of each (`--universal`), every wheel is
named by its hash, and no line names the address of an index: what may be installed is fixed,
where it comes from is the machine's own business.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tools.uv import uv

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
OLDEST_PYTHON = "3.11"
DJANGO_NEEDS = {"5.2": "< '3.12'", "6.1": ">= '3.12'"}  # series: the Python marker of its line

#: Name of a set: the sets that it must agree with, which come before it.
SETS = {
    "test": (),
    "full": ("test",),
    "run": ("test",),
    "lint": ("test",),
    "bench": ("test",),
    "uv": (),
    "django60": (),
}


def main(arguments: list[str]) -> int:
    """Compile all sets and check the Django versions. `--upgrade` takes the newest of all."""
    for name, agrees_with in SETS.items():
        _compile(name, agrees_with, upgrade="--upgrade" in arguments)
    problems = django_problems()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def django_problems() -> list[str]:
    """What is wrong with the Django versions in the compiled files, one sentence each.

    A resolver takes an older Django without a word when some package caps it: hence this look.
    """
    problems = []
    for name in ("test", "full", "run", "lint"):
        pinned = dict(_django_pins(name))
        for series, marker in DJANGO_NEEDS.items():
            if marker not in pinned.get(series, ""):
                problems.append(f"{name}.txt pins no Django {series} for Python {marker}")
    if "6.0" not in dict(_django_pins("django60")):
        problems.append("django60.txt pins no Django 6.0")
    return problems


def _django_pins(name: str) -> list[tuple[str, str]]:
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    pin = re.compile(r"^django==(\d+\.\d+)[.\d]*\s*;?([^\\\n]*)", re.MULTILINE)
    return pin.findall(lines)


def _compile(name: str, agrees_with: tuple[str, ...], *, upgrade: bool) -> None:
    python = "3.12" if name == "django60" else OLDEST_PYTHON
    command = [
        uv(), "pip", "compile", f"{name}.in", "--output-file", f"{name}.txt",
        "--quiet", "--universal", "--generate-hashes", "--python-version", python,
        "--no-emit-index-url", "--no-emit-find-links",
        "--custom-compile-command", "python -m tools.pins",
    ]  # fmt: skip
    for other in agrees_with:
        command += ["--constraints", f"{other}.txt"]
    if name == "django60":
        command.append("--no-deps")  # its dependencies are those of the set below it
    if upgrade:
        command.append("--upgrade")
    print(f"compiling {name}.txt")
    subprocess.run(command, check=True, cwd=FOLDER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
