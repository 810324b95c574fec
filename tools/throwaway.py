"""Environments that are made for one check and thrown away, and the built wheel to put in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.uv import uv

ROOT = Path(__file__).resolve().parent.parent
PROBE = Path(__file__).resolve().parent / "probe"


class Environment:
    """An environment with nothing in it, of the Python that runs this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        uv_call("venv", "--no-project", "--python", sys.executable, str(folder))

    def install_set(self, name: str) -> None:
        """The pinned packages of requirements/<name>.txt, with Django as it is here."""
        self._pip("sync", "--require-hashes", str(ROOT / "requirements" / f"{name}.txt"))
        self._put_our_django()

    def install_django(self) -> None:
        """Django as it is here, with what it needs, and nothing else."""
        pins = str(ROOT / "requirements" / "test.txt")
        self._pip("install", "--constraints", pins, *DJANGO_NEEDS)
        self._pip("install", "--no-deps", f"Django=={django_version()}")

    def install_wheel(self, wheel: Path) -> None:
        """The wheel, and nothing on its account."""
        self._pip("install", "--no-deps", str(wheel))

    def remove(self, packages: Iterable[str]) -> None:
        self._pip("uninstall", *packages)

    def run(self, script: Path, *arguments: str) -> int:
        """Run `script` outside the checkout, so that only what is installed is found."""
        command = [str(self.python), "-I", str(script), *arguments]
        clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return subprocess.call(command, cwd=self.folder, env=clean)

    def _put_our_django(self) -> None:
        if os.environ.get("CLARION_DJANGO"):
            override = ROOT / "requirements" / "django60.txt"
            self._pip("install", "--no-deps", "--require-hashes", "-r", str(override))

    def _pip(self, *arguments: str) -> None:
        uv_call("pip", *arguments, "--python", str(self.python))


DJANGO_NEEDS = ("asgiref", "sqlparse", "tzdata; sys_platform == 'win32'")
FOREIGN = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "CLARION_DB", "CLARION_BROKER")


@contextmanager
def empty_environment() -> Iterator[Environment]:
    with tempfile.TemporaryDirectory(prefix="clarion-env-") as folder:
        yield Environment(Path(folder) / "env")


@contextmanager
def built_wheel() -> Iterator[Path]:
    """The wheel of this checkout, built with the pinned hatchling."""
    with tempfile.TemporaryDirectory(prefix="clarion-wheel-") as folder:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(build, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        yield next(Path(folder).glob("*.whl"))


def django_version() -> str:
    import django

    return django.get_version()


def uv_call(*arguments: str) -> None:
    subprocess.run([uv(), *arguments, "--quiet"], check=True, env=uv_environment())


def uv_environment() -> dict[str, str]:
    """The index and certificates that run.py uses."""
    from tools.bootstrap.settings import uv_settings

    return dict(uv_settings())
