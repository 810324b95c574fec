#!/usr/bin/env python3
"""Clarion in one command, on a machine that has nothing but a Python 3.

    python3 run.py              start the example site and print its address and logins
    python3 run.py --smoke      start it, use it as a person would, stop it; 0 when all is well
    python3 run.py full         the same site on PostgreSQL and Valkey, several server processes
    python3 run.py test         run all tests        (--fast: lint and the fast ones)
    python3 run.py test ARGS    run pytest with ARGS (tests/test_notify.py -k key)
    python3 run.py bench ARGS   run the benchmarks

Options after the command go to it: `python3 run.py --port 9000`, `python3 run.py full --workers 4`.

This file only finds a Python 3.11 or newer and uv, makes an environment in .venv/ from the pinned
requirements, and hands over to a module in it. It runs on Python 3.8 and needs no pip and no venv.

Environment variables:
    CLARION_PYTHON   the interpreter to use: a version (3.13) or a path
    CLARION_DJANGO   6.0 to put Django 6.0 in the place of the newest one (Python 3.12 and newer)
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.bootstrap import Stop
from tools.bootstrap.commands import say
from tools.bootstrap.pythons import choose_python
from tools.bootstrap.settings import uv_settings
from tools.bootstrap.uv import find_uv

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"

#: First argument: (requirement set, module, arguments before the caller's own).
COMMANDS = {
    "": ("run", "tools.serve", []),
    "--smoke": ("run", "tools.smoke", []),
    "full": ("full", "tools.serve", ["--full"]),
    "test": ("test", "tools.check", []),
    "bench": ("bench", "bench", []),
}
#: A set that is installed also serves those it contains.
CONTAINS = {
    "run": {"run"},
    "full": {"run", "full"},
    "test": {"run", "full", "test"},
    "bench": {"bench"},
}


def main(argv):
    if argv[:1] in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    name = argv[0] if argv and argv[0] in COMMANDS else ""
    if not name and argv and not argv[0].startswith("-"):
        return fail("unknown command %r.\n%s" % (argv[0], __doc__))
    wanted, module, arguments = COMMANDS[name]
    python, version = choose_python()
    environment = Environment(wanted, python, version)
    environment.prepare()
    return hand_over(environment, module, arguments + argv[1 if name else 0 :])


def fail(message):
    print("run.py: " + message, file=sys.stderr)
    return 2


def hand_over(environment, module, arguments):
    command = [str(environment.python), "-m", module] + arguments
    os.chdir(str(ROOT))
    os.environ["CLARION_UV"] = environment.uv or ""
    sys.stdout.flush()
    if WINDOWS:
        return subprocess.call(command)
    return os.execv(command[0], command)


# --- the environment


class Environment:
    """The folder .venv/<Python version> with a requirement set; `prepare` makes it so."""

    def __init__(self, wanted, base, version):
        self.wanted = wanted
        self.base = base
        self.django = os.environ.get("CLARION_DJANGO", "")
        if self.django and (self.django != "6.0" or version < (3, 12)):
            raise Stop("CLARION_DJANGO can only be 6.0, and only on Python 3.12 or newer.")
        name = "%d.%d" % version[:2]
        name += "-django60" if self.django else ""
        name += "-bench" if wanted == "bench" else ""
        self.folder = ROOT / ".venv" / name
        self.python = self.folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
        self.stamp = self.folder / "clarion.json"
        self.uv = None

    def prepare(self):
        ready = self.is_ready()
        if not ready or self.wanted == "test":  # the tests make environments of their own
            self.uv = find_uv(self.base)
        if not ready:
            self.build()

    def is_ready(self):
        try:
            stamp = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return (
            self.python.exists()
            and self.wanted in CONTAINS.get(stamp.get("set"), ())
            and stamp == self.describe(stamp["set"])
        )

    def describe(self, name):
        digest = hashlib.sha256()
        for path in self.requirement_files(name):
            digest.update(path.read_bytes())
        return {
            "set": name,
            "requirements": digest.hexdigest(),
            "root": str(ROOT),
        }

    def requirement_files(self, name):
        files = [ROOT / "requirements" / (name + ".txt")]
        if self.django:
            files.append(ROOT / "requirements" / "django60.txt")
        return files

    def build(self):
        started = time.time()
        say("preparing %s with %s ..." % (self.folder.relative_to(ROOT), self.base))
        if not self.python.exists():
            shutil.rmtree(str(self.folder), ignore_errors=True)
            self.call("venv", "--quiet", "--no-project", "--python", self.base, str(self.folder))
        self.stamp.unlink() if self.stamp.exists() else None
        install = ["--quiet", "--require-hashes", "--python", str(self.python)]
        files = [str(path) for path in self.requirement_files(self.wanted)]
        self.call("pip", "sync", *(install + files[:1]))
        if self.django:
            self.call("pip", "install", "--no-deps", *(install + ["-r", files[1]]))
        self.put_package_on_path()
        self.stamp.write_text(json.dumps(self.describe(self.wanted)), encoding="utf-8")
        say("ready after %.1f s" % (time.time() - started))

    def put_package_on_path(self):
        """The checkout itself, as an editable install would do, but with nothing to build."""
        libraries = self.folder / "Lib" if WINDOWS else next((self.folder / "lib").glob("python3*"))
        path_file = libraries / "site-packages" / "clarion-checkout.pth"
        path_file.write_text(str(ROOT / "src") + "\n", encoding="utf-8")

    def call(self, *arguments):
        result = subprocess.run([self.uv] + list(arguments), env=uv_settings())
        if result.returncode != 0:
            raise Stop(
                "`uv %s` failed (above). Without a package index nothing can be installed;\n"
                "  one of your own is taken from UV_DEFAULT_INDEX, PIP_INDEX_URL or pip's files."
                % " ".join(arguments[:2])
            )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit(fail(str(stop)))
    except KeyboardInterrupt:
        sys.exit(130)
