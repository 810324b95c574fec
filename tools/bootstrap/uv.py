"""Find uv, or fetch the pinned one."""

import hashlib
import html.parser
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

from tools.bootstrap import Stop
from tools.bootstrap.commands import output_of, say
from tools.bootstrap.settings import index_url, pip_option

WINDOWS = os.name == "nt"
ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLED_PIP = """
import ensurepip, pathlib
folder = pathlib.Path(ensurepip.__file__).with_name("_bundled")
print(*folder.glob("pip-*.whl"))
"""


def find_uv(python):
    """Path of a uv that works: on PATH, fetched earlier, in a Python, by pip, from the index."""
    private = ROOT / ".cache" / "uv" / ("uv.exe" if WINDOWS else "uv")
    places = (
        lambda: shutil.which("uv"),
        lambda: str(private),
        lambda: uv_in(python),
        lambda: uv_in(sys.executable),
    )
    for look in places:  # one after the other: each costs some time
        path = look()
        if path and output_of([path, "--version"]).startswith("uv "):
            return path
    private.parent.mkdir(parents=True, exist_ok=True)
    for get in (uv_by_pip, uv_from_index):
        try:
            get(private, python)
        except Exception as problem:
            say("%s: %s" % (get.__name__.replace("_", " "), problem))
            continue
        if output_of([str(private), "--version"]):
            return str(private)
    raise Stop("could not get uv (above). Install it (docs.astral.sh/uv), then start again.")


def uv_in(python):
    return output_of([python, "-c", "import uv; print(uv.find_uv_bin())"])


def uv_by_pip(target, python):
    """`pip install --target`: allowed on a Python that the system manages, and harmless to it."""
    with tempfile.TemporaryDirectory() as folder:
        pin = str(ROOT / "requirements" / "uv.txt")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        options += ["--only-binary", ":all:", "--target", folder, "-r", pin]
        for interpreter, environment in pips(python):
            command = [interpreter, "-m", "pip", "install"] + options
            result = subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            if result.returncode == 0:
                found = next(path for path in Path(folder).rglob(target.name) if path.is_file())
                return put(found.read_bytes(), target)
    raise Stop((result.stderr.decode("utf-8", "replace").strip().splitlines() or ["no pip"])[-1])


def pips(python):
    """Interpreters that may have pip, each also with the pip that comes bundled with Python."""
    for interpreter in dict.fromkeys([python, sys.executable]):
        yield interpreter, None
        wheels = output_of([interpreter, "-c", BUNDLED_PIP])
        if wheels:
            yield interpreter, dict(os.environ, PYTHONPATH=wheels)


def uv_from_index(target, python):
    """Fetch the wheel with the standard library alone, check it against the pin, unpack it."""
    pin = (ROOT / "requirements" / "uv.txt").read_text(encoding="utf-8")
    version = re.search(r"^uv==([\w.]+)", pin, re.M).group(1)
    index = index_url()
    if not index:
        raise Stop("neither pip nor a package index is configured here (PIP_INDEX_URL)")
    page_url = index.rstrip("/") + "/uv/"
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
            inside = ".data/scripts/" + target.name
            binary = next(name for name in archive.namelist() if name.endswith(inside))
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
    wanted = ["uv-%s-py3-none-" % version] + platform_words()
    return name.endswith(".whl") and all(part in name for part in wanted)


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
    authorities = os.environ.get("SSL_CERT_FILE") or pip_option("cert")
    context = ssl.create_default_context(cafile=authorities)
    with urllib.request.urlopen(url, timeout=60, context=context) as answer:
        return answer.read()


def put(binary, target):
    partial = target.with_name(target.name + ".part%d" % os.getpid())
    partial.write_bytes(binary)
    partial.chmod(0o755)
    os.replace(str(partial), str(target))
