"""What a browser loads for the bell: below 15 kB gzipped, client and element together."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src" / "clarion" / "static" / "clarion"
PARTS = ("clarion.js", "clarion-bell.js")  # clarion-push.js comes only where a site has push
LIMIT = 15_000  # bytes


def sizes() -> dict[str, int]:
    """Bytes of each file as a server sends it."""
    return {name: len(gzip.compress((FOLDER / name).read_bytes(), 9)) for name in PARTS}


def main() -> int:
    found = sizes()
    for name, size in sorted(found.items()):
        print(f"{size:>8} bytes gzipped  {name}")
    total = sum(found.values())
    print(f"bundle: {total} of {LIMIT} bytes gzipped")
    return 0 if found and total <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
