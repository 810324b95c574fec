"""Where packages come from and whom to trust: as pip would decide on this machine."""

import configparser
import os
import ssl
import sys
from pathlib import Path

WINDOWS = os.name == "nt"
ROOT = Path(__file__).resolve().parent.parent.parent


def uv_settings():
    """The environment for uv: pip's index and certificates, and no surprising downloads."""
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


def index_url():
    """The configured package index; None leaves the choice to pip."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
    named = next((os.environ[name] for name in names if os.environ.get(name)), None)
    return named or pip_option("index-url")


def pip_option(name):
    """An option of pip by its environment variables and files; pip itself may be absent."""
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
    return [
        os.environ.get("PIP_CONFIG_FILE") or os.devnull,
        Path(sys.prefix) / "pip.conf",
        config / "pip/pip.conf",
        home / ".pip/pip.conf",
        home / "Library/Application Support/pip/pip.conf",
        Path(os.environ.get("APPDATA", str(home))) / "pip/pip.ini",
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
    ]
