"""Documentation is code: links lead somewhere, examples run, references are complete."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User

from clarion.conf import Settings

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])

LINK = re.compile(
    r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<img[^>]+src=\"([^\"]+)\""
)
FENCE = re.compile(
    r"(?P<before>^[^\n]*\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *```",
    re.M | re.S,
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
CHECK_ID = re.compile(r"clarion\.[EWI]\d{3}")
#: A Python block under this line is run, with `user` and `teacher` being users.
RUN_MARK = "<!-- run -->"


def pages() -> list[object]:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The page without its code, where brackets mean other things."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text_of(page)))


def anchors_of(page: Path) -> set[str]:
    """The fragments that a rendered page has."""
    headings = HEADING.findall(FENCE.sub("", text_of(page)))
    plain = (re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", text)).lower() for text in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for found in LINK.finditer(prose_of(page)):
        target = unquote(found[1] or found[2])
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if not other.exists() or (
            fragment and other.suffix == ".md" and fragment not in anchors_of(other)
        ):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", pages())
def test_python_examples_are_python(page: Path) -> None:
    for block in FENCE.finditer(text_of(page)):
        if block["language"] == "python":
            ast.parse(dedented(block))


def marked_examples() -> Iterator[object]:
    for page in PAGES:
        for block in FENCE.finditer(text_of(page)):
            if block["language"] == "python" and (block["before"] or "").strip() == RUN_MARK:
                line = text_of(page)[: block.start()].count("\n") + 1
                yield pytest.param(dedented(block), id=f"{page.relative_to(ROOT)}:{line}")


def dedented(block: re.Match[str]) -> str:
    return re.sub(rf"^{block['indent']}", "", block["code"], flags=re.MULTILINE)


@pytest.mark.parametrize("code", list(marked_examples()))
def test_examples_run(code: str, alice: User, bob: User) -> None:
    exec(compile(code, "example", "exec"), {"user": alice, "teacher": bob})


def test_the_readme_shows_an_example_that_is_run() -> None:
    assert RUN_MARK in text_of(ROOT / "README.md")


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z][A-Z_]+)`", text_of(REFERENCE / "settings.md")))
    known = {field.name for field in dataclasses.fields(Settings)}

    assert known - documented == set()


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^(?:\||#+)\s*`([A-Z][A-Z_]+)`", text_of(REFERENCE / "settings.md"), re.M)
    known = {field.name for field in dataclasses.fields(Settings)}

    assert rows
    assert set(rows) - known == set()


def test_every_system_check_is_documented() -> None:
    raised = set(CHECK_ID.findall(text_of(ROOT / "src" / "clarion" / "checks.py")))
    documented = set(CHECK_ID.findall(text_of(REFERENCE / "checks.md")))

    assert raised == documented


def test_the_changelog_is_in_the_form_it_names() -> None:
    text = text_of(ROOT / "CHANGELOG.md")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

    assert "\n## [Unreleased]\n" in text
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
