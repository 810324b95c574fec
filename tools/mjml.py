"""The HTML of mails: written as MJML in design/email, compiled before a release, and committed.

    python -m tools.mjml            compile
    python -m tools.mjml --check    only say whether the compiled templates are up to date

Django tags pass through the compiler; tags that would break the markup stand inside attributes or
between elements. What a person wrote meets the compiled template only, so it can't break a mail.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "design" / "email"
TEMPLATES = ROOT / "src" / "clarion" / "templates" / "clarion" / "email"
PAGES = ("default", "digest")  # the other files are parts of these
HEAD = "{{# Compiled from design/email/{name}.mjml: change that, then `python -m tools.mjml`. #}}"


def compiled() -> dict[Path, str]:
    """What each template should be."""
    return {TEMPLATES / name / "body.html": compile_page(name) for name in PAGES}


def compile_page(name: str) -> str:
    """The Django template of an MJML page. Raise `OSError` for what is not well-formed."""
    import mrml

    parts = {path.name: path.read_text(encoding="utf-8") for path in SOURCES.glob("*.mjml")}
    output = mrml.to_html(
        parts[f"{name}.mjml"],
        mrml.ParserOptions(include_loader=mrml.memory_loader(parts)),
        mrml.RenderOptions(disable_comments=True, fonts={}),  # so that readers fetch no font
    )
    assert not output.warnings, [warning.kind for warning in output.warnings]
    return f"{HEAD.format(name=name)}{{% load i18n %}}{output.content}\n"


def main(arguments: list[str]) -> int:
    """Write what has changed; with --check only name it, and return 1 if anything has."""
    changed = [
        path
        for path, text in compiled().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in changed:
        print(f"{path.relative_to(ROOT)} is not up to date")
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(compiled()[path], encoding="utf-8")
    print(f"mjml: {len(PAGES)} templates, {len(changed)} changed")
    return 1 if changed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
