"""What is installed where: pins, extras, the bootstrap, the metadata."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import clarion
from tools.extras import DISTRIBUTIONS
from tools.pins import SETS, django_problems

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BOOTSTRAP = [ROOT / "run.py", *sorted((ROOT / "tools" / "bootstrap").glob("*.py"))]
PIN = re.compile(
    r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE
)


def text_of(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> set[tuple[str, str]]:
    """(package, version) of every line of a compiled set."""
    return {(package, version) for package, version, _ in PIN.findall(text_of(name))}


def test_each_python_gets_the_newest_django_that_supports_it() -> None:
    assert django_problems() == []


@pytest.mark.parametrize("name", SETS)
def test_pins_carry_hashes_and_no_address(name: str) -> None:
    text = text_of(name)

    assert "://" not in text
    assert not re.search(r"^--?(i|f|index|extra-index|find-links)\b", text, re.MULTILINE)
    for entry in re.split(r"\n(?=[a-z])", text)[1:]:
        assert "--hash=sha256:" in entry, entry[:60]


@pytest.mark.parametrize("name", SETS)
def test_pins_hold_what_is_asked_for(name: str) -> None:
    source = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8")
    wanted = {match.lower() for match in re.findall(r"^([A-Za-z][\w.-]*)", source, re.MULTILINE)}

    assert wanted <= {package for package, _ in pins(name)}


@pytest.mark.parametrize(
    ("smaller", "larger"), [("run", "full"), ("full", "test"), ("lint", "test")]
)
def test_a_larger_set_holds_the_smaller_one(smaller: str, larger: str) -> None:
    assert pins(smaller) <= pins(larger)


def test_the_core_depends_on_django_alone() -> None:
    assert [re.split(r"\W", entry)[0] for entry in PROJECT["dependencies"]] == ["Django"]


def test_every_extra_is_proven_optional() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"all"}

    assert extras == set(DISTRIBUTIONS)
    [everything] = PROJECT["optional-dependencies"]["all"]
    assert set(re.findall(r"\w+", everything.partition("[")[2])) == extras


def test_every_package_of_an_extra_is_taken_away_in_its_proof() -> None:
    for extra, removed in DISTRIBUTIONS.items():
        asked = {re.split(r"[^\w-]", entry)[0] for entry in PROJECT["optional-dependencies"][extra]}
        assert asked <= set(removed), extra


def test_the_version_is_written_once_in_two_places() -> None:
    assert clarion.__version__ == PROJECT["version"]


def test_types_are_shipped() -> None:
    assert Path(clarion.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("path", BOOTSTRAP, ids=lambda path: path.name)
def test_the_bootstrap_parses_on_python_3_8_and_needs_no_package(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))

    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert imported <= sys.stdlib_module_names | {"tools"}


def old_pythons() -> list[str]:
    """Interpreters of 3.8 to 3.10 on this machine."""
    from tools.bootstrap.pythons import python_candidates, python_version

    found = {}
    for candidate in python_candidates():
        version = python_version(candidate)
        if version and (3, 8) <= version[:2] < (3, 11):
            found.setdefault(version[:2], candidate)
    return list(found.values())


def test_run_py_starts_on_the_oldest_python() -> None:
    for python in old_pythons() or [sys.executable]:
        answer = subprocess.run(
            [python, "run.py", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert answer.returncode == 0, answer.stderr
        assert "run.py test" in answer.stdout


def test_run_py_says_what_to_do_when_there_is_no_python_for_it(tmp_path: Path) -> None:
    environment = {**os.environ, "CLARION_PYTHON": str(tmp_path / "python3.10")}

    answer = subprocess.run(
        [sys.executable, "run.py"], cwd=ROOT, capture_output=True, text=True, env=environment
    )

    assert answer.returncode == 2
    assert "needs Python 3.11 or newer" in answer.stderr
    assert "CLARION_PYTHON" in answer.stderr


def test_run_py_refuses_an_unknown_command() -> None:
    answer = subprocess.run(
        [sys.executable, "run.py", "tset"], cwd=ROOT, capture_output=True, text=True
    )

    assert answer.returncode == 2
    assert "unknown command 'tset'" in answer.stderr
