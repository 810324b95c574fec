"""Find a Python that Clarion runs on."""

import os
import platform
import sys
from pathlib import Path

from tools.bootstrap import Stop
from tools.bootstrap.commands import output_of

WINDOWS = os.name == "nt"
OLDEST, NEWEST = (3, 11), (3, 14)  # interpreters that the pins are known to install on


def choose_python():
    """(path, (major, minor)) of the interpreter to use. Raise `Stop` when there is none."""
    wish = os.environ.get("CLARION_PYTHON", "")
    if not wish and OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable, sys.version_info[:2]
    found = {}
    for candidate in [wish] if is_path(wish) else python_candidates():
        version = python_version(candidate)
        if version and (not wish or is_path(wish) or matches(wish, version)):
            found.setdefault(version, candidate)
    usable = [version for version in found if OLDEST <= version[:2] <= NEWEST]
    if not usable:
        raise Stop(no_python(wish, found))
    best = max(usable)
    return found[best], best[:2]


def is_path(wish):
    return os.sep in wish or "/" in wish


def matches(wish, version):
    return ".".join(map(str, version)).startswith(wish) and wish.count(".") <= 2


def no_python(wish, found):
    seen = ", ".join("%s (%s)" % (".".join(map(str, v)), p) for v, p in sorted(found.items()))
    wanted = "CLARION_PYTHON=%s names no usable interpreter" % wish if wish else "found none"
    return (
        "Clarion needs Python 3.11 or newer; %s. This is Python %s.%s\n"
        "  Debian, Ubuntu:  sudo apt install python3.11    macOS:  brew install python@3.13\n"
        "  anywhere:  uv python install 3.13    or set CLARION_PYTHON to the path of an interpreter"
        % (wanted, platform.python_version(), " Seen: %s." % seen if seen else "")
    )


def python_candidates():
    """Where interpreters usually are. pyenv's shims may be broken: its versions are looked at."""
    yield sys.executable
    names = ["python3.%d" % minor for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    names += ["python3", "python"]
    for folder in folders_of_path():
        if folder.name != "shims":
            for name in names:
                path = folder / (name + (".exe" if WINDOWS else ""))
                if path.is_file():
                    yield str(path)
    for folder in version_folders():
        for path in sorted(folder.glob("*/bin/python3")) + sorted(folder.glob("*/python.exe")):
            yield str(path)


def folders_of_path():
    return [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]


def version_folders():
    home = Path(os.path.expanduser("~"))
    folders = [Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"]
    folders += [path.parent / "versions" for path in folders_of_path() if path.name == "shims"]
    executable = Path(sys.executable)
    if len(executable.parents) > 2 and executable.parents[2].name == "versions":
        folders.append(executable.parents[2])
    folders.append(Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python"))
    return [folder for folder in folders if is_folder(folder)]


def is_folder(path):
    try:
        return path.is_dir()
    except OSError:  # another user's home
        return False


def python_version(path):
    """(major, minor, micro), or None when it does not start: a broken shim, a foreign binary."""
    code = "import sys; print('%d %d %d' % sys.version_info[:3])"
    answer = output_of([path, "-c", code])
    return tuple(map(int, answer.split())) if answer else None
