#!/usr/bin/env python3
"""Django's commands for the school: `python example/manage.py seed`."""

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    here = str(Path(__file__).resolve().parent)
    if here not in sys.path:  # started as a module or by a tool, not as a script
        sys.path.insert(0, here)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
