"""Ask other programs, speak to the person."""

import subprocess
import sys


def output_of(command):
    """What it printed; "" when it can't be started or failed."""
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.decode("utf-8", "replace").strip() if result.returncode == 0 else ""


def say(text):
    print("run.py: " + text, file=sys.stderr, flush=True)
