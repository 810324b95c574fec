"""The uv that `run.py` found or fetched, for tools that make throwaway environments."""

from __future__ import annotations

import os
import shutil


def uv() -> str:
    """The path of a uv executable. Raise `SystemExit` with a hint when there is none."""
    found = os.environ.get("CLARION_UV") or shutil.which("uv")
    if not found:
        raise SystemExit("no uv found: start this through `python3 run.py`, or put uv on PATH")
    return found
