"""The built wheel holds what it should, and works beside Django with nothing else."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from tools.throwaway import PROBE, built_wheel, empty_environment

WANTED = (
    "clarion/__init__.py",
    "clarion/py.typed",
    "clarion/migrations/0001_initial.py",
    "clarion/static/clarion/clarion.js",
    "clarion/static/clarion/clarion-bell.js",
    "clarion/templatetags/clarion.py",
)
OPTIONAL = ("channels", "channels_redis", "redis", "uvicorn", "websockets", "psycopg")


def main() -> int:
    with built_wheel() as wheel, empty_environment() as environment:
        problems = content_problems(wheel)
        for problem in problems:
            print(f"  {problem}")
        environment.install_django()
        environment.install_wheel(wheel)
        code = environment.run(PROBE / "alone.py", *OPTIONAL)
        size = wheel.stat().st_size
        print(
            f"wheel: {wheel.name}, {size / 1000:.0f} kB, {'works' if not code else 'FAILS'} alone"
        )
    return 1 if problems or code else 0


def content_problems(wheel: Path) -> list[str]:
    """What is missing in the wheel, and what does not belong there."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [f"missing: {name}" for name in WANTED if name not in names]
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        missing.append("missing: LICENSE")
    ours = ("clarion/", "django_clarion-")
    return missing + [f"stray: {name}" for name in names if not name.startswith(ours)]


if __name__ == "__main__":
    sys.exit(main())
