#!/usr/bin/env python3
"""Clarion in one command, on a machine that has nothing but a Python 3.

    python3 run.py              start the example site and print its address and logins
    python3 run.py --smoke      start it, use it like a person would, stop it; exit code 0 when all is well
    python3 run.py full         the same site on PostgreSQL and Valkey, with several server processes
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

import configparser
import hashlib
import html.parser
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 14)  # interpreters that the pins are known to install on
WINDOWS = os.name == "nt"
PUBLIC_INDEX = "https://pypi.org/simple"

#: First argument: (requirement set, module, arguments before the caller's own).
COMMANDS = {
    "": ("run", "tools.serve", []),
    "--smoke": ("run", "tools.smoke", []),
    "full": ("full", "tools.serve", ["--full"]),
    "test": ("test", "tools.check", []),
    "bench": ("bench", "bench", []),
}
#: A set that is installed also serves those it contains.
CONTAINS = {"run": {"run"}, "full": {"run", "full"}, "test": {"run", "full", "test"}, "bench": {"bench"}}


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


class Stop(Exception):
    """Nothing can be done; the text says what a person can do."""


def hand_over(environment, module, arguments):
    command = [str(environment.python), "-m", module] + arguments
    os.chdir(str(ROOT))
    os.environ["CLARION_UV"] = environment.uv or ""
    sys.stdout.flush()
    if WINDOWS:
        return subprocess.call(command)
    os.execv(command[0], command)


# --- the environment


class Environment:
    """The folder .venv/<Python version> with one requirement set installed; `prepare` makes it so."""

    def __init__(self, wanted, base, version):
        self.wanted = wanted
        self.base = base
        self.django = os.environ.get("CLARION_DJANGO", "")
        if self.django and (self.django != "6.0" or version < (3, 12)):
            raise Stop("CLARION_DJANGO can be 6.0, on Python 3.12 or newer; without it, the newest is used.")
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
        return {"set": name, "requirements": digest.hexdigest(), "root": str(ROOT), "base": self.base}

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
                "`uv %s` failed (above). Without network access to a package index nothing can be installed; "
                "an index of your own is taken from UV_DEFAULT_INDEX, PIP_INDEX_URL or pip's configuration."
                % " ".join(arguments[:2])
            )


def uv_settings():
    """Our environment for uv: the index and certificates that pip would use, and no surprise downloads."""
    settings = dict(os.environ, UV_PYTHON_DOWNLOADS="never")
    if not any(settings.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        index = pip_option("index-url")
        if index:
            settings["UV_DEFAULT_INDEX"] = index
    bundle = pip_option("cert")
    if bundle and not settings.get("SSL_CERT_FILE"):
        settings["SSL_CERT_FILE"] = bundle
    if system_certificates_exist():  # as pip does, so that a company's own authority is trusted
        settings.setdefault("UV_SYSTEM_CERTS", "1")
    if not home_is_writable():
        settings.setdefault("UV_CACHE_DIR", str(ROOT / ".cache" / "uv-cache"))
    return settings


def system_certificates_exist():
    paths = ssl.get_default_verify_paths()
    linux = Path("/etc/ssl/certs")
    return WINDOWS or sys.platform == "darwin" or bool(paths.cafile) or any(linux.glob("*"))


def home_is_writable():
    home = Path(os.path.expanduser("~"))
    return home.is_dir() and os.access(str(home), os.W_OK)


# --- finding a Python


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
        "  anywhere:        uv python install 3.13          or point CLARION_PYTHON at an interpreter"
        % (wanted, platform.python_version(), " Seen: %s." % seen if seen else "")
    )


def python_candidates():
    """Every place an interpreter is usually found in; pyenv's shims are passed over, its versions are not."""
    yield sys.executable
    names = ["python3.%d" % minor for minor in range(NEWEST[1], OLDEST[1] - 1, -1)] + ["python3", "python"]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and Path(folder).name != "shims":
            for name in names:
                path = Path(folder) / (name + (".exe" if WINDOWS else ""))
                if path.is_file():
                    yield str(path)
    for folder in version_folders():
        for path in sorted(folder.glob("*/bin/python3")) + sorted(folder.glob("*/python.exe")):
            yield str(path)


def version_folders():
    home = Path(os.path.expanduser("~"))
    folders = [Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"]
    folders += [Path(p).parent / "versions" for p in os.environ.get("PATH", "").split(os.pathsep) if p.endswith("shims")]
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
    """(major, minor, micro), or None when it does not start (a broken shim, another machine's binary)."""
    code = "import sys; print('%d %d %d' % sys.version_info[:3])"
    answer = output_of([path, "-c", code])
    return tuple(map(int, answer.split())) if answer else None


def output_of(command):
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.decode("utf-8", "replace").strip() if result.returncode == 0 else ""


# --- finding or fetching uv


def find_uv(python):
    """Path of a uv that works: on PATH, fetched earlier, in a Python, by pip, from the index."""
    private = ROOT / ".cache" / "uv" / ("uv.exe" if WINDOWS else "uv")
    for ask in (uv_on_path, lambda: str(private), lambda: uv_in(python), lambda: uv_in(sys.executable)):
        path = ask()
        if path and output_of([path, "--version"]).startswith("uv "):
            return path
    private.parent.mkdir(parents=True, exist_ok=True)
    for fetch in (uv_by_pip, uv_from_index):
        try:
            fetch(private, python)
        except Exception as problem:
            say("%s: %s" % (fetch.__name__.replace("_", " "), problem))
            continue
        if output_of([str(private), "--version"]):
            return str(private)
    raise Stop("could not get uv (above). Install it (https://docs.astral.sh/uv/), then start again.")


def uv_on_path():
    return shutil.which("uv")


def uv_in(python):
    return output_of([python, "-c", "import uv; print(uv.find_uv_bin())"])


def uv_by_pip(target, python):
    """`pip install --target`: allowed on a Python that the system manages, and leaves that one alone."""
    with tempfile.TemporaryDirectory() as folder:
        pin = str(ROOT / "requirements" / "uv.txt")
        install = "install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:"
        for interpreter in dict.fromkeys([python, sys.executable]):
            command = [interpreter, "-m", "pip"] + install.split() + ["--target", folder, "-r", pin]
            result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if result.returncode == 0:
                found = next(path for path in Path(folder).rglob(target.name) if path.is_file())
                return put(found.read_bytes(), target)
    raise Stop((result.stderr.decode("utf-8", "replace").strip().splitlines() or ["no pip"])[-1])


def uv_from_index(target, python):
    """Fetch the wheel with nothing but the standard library, check it against the pin, unpack it."""
    pin = (ROOT / "requirements" / "uv.txt").read_text(encoding="utf-8")
    version = re.search(r"^uv==([\w.]+)", pin, re.M).group(1)
    page_url = index_url().rstrip("/") + "/uv/"
    links = Links()
    links.feed(fetch(page_url).decode("utf-8"))
    link = next((href for href in links.found if fits(href, version)), None)
    if not link:
        raise Stop("the index has no uv %s for %s %s" % (version, sys.platform, platform.machine()))
    wheel = fetch(urllib.parse.urljoin(page_url, link))
    if "sha256:" + hashlib.sha256(wheel).hexdigest() not in pin:
        raise Stop("the uv wheel of the index is not the pinned one")
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        with zipfile.ZipFile(file) as archive:
            binary = next(n for n in archive.namelist() if n.endswith(".data/scripts/" + target.name))
            put(archive.read(binary), target)


class Links(html.parser.HTMLParser):
    """The hrefs of a simple index page: HTML, since not every index also speaks JSON."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a" and dict(attrs).get("href"):
            self.found.append(dict(attrs)["href"])


def fits(href, version):
    name = urllib.parse.unquote(urllib.parse.urlsplit(href).path).rsplit("/", 1)[-1]
    return name.startswith("uv-%s-py3-none-" % version) and all(part in name for part in platform_words())


def platform_words():
    machine = platform.machine().lower()
    arm = machine in ("arm64", "aarch64")
    if WINDOWS:
        return ["win_arm64" if arm else "win_amd64"]
    if sys.platform == "darwin":
        return ["macosx", "arm64" if arm else "x86_64"]
    libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return [libc, "aarch64" if arm else machine]


def fetch(url):
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or pip_option("cert"))
    with urllib.request.urlopen(url, timeout=60, context=context) as answer:
        return answer.read()


def put(binary, target):
    partial = target.with_name(target.name + ".part%d" % os.getpid())
    partial.write_bytes(binary)
    partial.chmod(0o755)
    os.replace(str(partial), str(target))


def index_url():
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
    return next((os.environ[n] for n in names if os.environ.get(n)), None) or pip_option("index-url") or PUBLIC_INDEX


def pip_option(name):
    """An option of pip as its environment variables or files say, without asking pip (there may be none)."""
    from_environment = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if from_environment:
        return from_environment
    for path in pip_files():
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(str(path), encoding="utf-8")
        except configparser.Error:
            continue
        for section in ("install", "global"):
            value = parser.get(section, name, fallback="")
            if value:
                return value
    return None


def pip_files():
    home = Path(os.path.expanduser("~"))
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [os.environ.get("PIP_CONFIG_FILE"), os.environ.get("VIRTUAL_ENV", "") and Path(sys.prefix) / "pip.conf"]
    files += [config / "pip/pip.conf", home / ".pip/pip.conf", home / "Library/Application Support/pip/pip.conf"]
    files += [Path(os.environ.get("APPDATA", home)) / "pip/pip.ini", "/etc/xdg/pip/pip.conf", "/etc/pip.conf"]
    return [path for path in files if path]


def say(text):
    print("run.py: " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit(fail(str(stop)))
    except KeyboardInterrupt:
        sys.exit(130)
