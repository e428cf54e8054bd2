"""Whole clouds as processes of their own, seen as a user sees them: the command, HTTP, and what is left on the host."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
import msgspec

from micronova.cli import clouds_yaml
from micronova.cli.folder import StateFolder

T = TypeVar("T")
REAL_TOOLS = ("qemu-system-x86_64", "qemu-img", "dnsmasq", "nft", "ip", "nsenter", "apt-get", "dpkg-deb", "setpriv")
PROGRAM = (sys.executable, "-m", "micronova")
START_WAIT = 240
MICROVERSION = {"OpenStack-API-Version": "compute 2.90"}


def why_not_real() -> str:
    """Why no real guests can be had here; "" when they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in REAL_TOOLS if not shutil.which(name)]
    return f"needs the commands {', '.join(missing)}" if missing else ""


def wait_for(what: Callable[[], T], wait: float = 60, every: float = 0.05, said: str = "") -> T:
    """The first true answer of `what`, which is asked again and again for `wait` seconds."""
    end = time.monotonic() + wait
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{said or 'it'} did not happen in {wait:g} s; last: {answer!r}")
        time.sleep(every)


class Cloud:
    """One state folder and the processes on it. Everything of it is below a short path of its own."""

    def __init__(self, folder: Path, *flags: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.state = folder / "s"
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.flags = flags
        self.prefix: tuple[str, ...] = ()
        """What stands before every command: `nsenter …` for a host of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MICRONOVA_", "OS_", "XDG_"))}
        self.environment = {**kept, "HOME": str(self.home), **(environment or {})}
        self._started: list[subprocess.Popen[bytes]] = []
        self._sessions: list[Session] = []

    # -- the command

    def run(self, *words: str, wait: float = START_WAIT) -> subprocess.CompletedProcess[str]:
        """What `micronova WORDS --state …` says."""
        argv = [*self.prefix, *PROGRAM, *words, "--state", str(self.state)]
        return subprocess.run(
            argv, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=wait, check=False
        )

    def up(self, *flags: str) -> Self:
        """The cloud answers, in a process that stays behind."""
        done = self.run("up", "--detach", "--listen", "127.0.0.1:0", *self.flags, *flags)
        if done.returncode:
            raise AssertionError(f"up failed: {done.stderr}{done.stdout}{self.log()[-2000:]}")
        return self

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A process of ours (`up` or `serve …`) that the test may kill; returns when it said that it answers."""
        reading, writing = os.pipe()
        argv = [*self.prefix, *PROGRAM, *words, "--state", str(self.state), *self.flags]
        self.state.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "process.log", "ab") as out:
            process = subprocess.Popen(
                argv,
                env={**self.environment, "MICRONOVA_READY_FD": str(writing)},
                cwd=self.folder,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                pass_fds=(writing,),
                start_new_session=True,
            )
        self._started.append(process)
        os.close(writing)
        with os.fdopen(reading) as told:
            line = told.readline()
        if not line.startswith("ok "):
            process.kill()
            process.wait()
            raise AssertionError(f"{words} did not start: {line!r} {self.said()[-3000:]}")
        return process

    def down(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return self.run("down", *flags)

    @property
    def pid(self) -> int | None:
        return StateFolder(self.state).pid()

    def kill(self) -> None:
        """The process is gone at once, as when the power fails."""
        pid = self.pid
        assert pid is not None, self.log()[-2000:]
        os.kill(pid, signal.SIGKILL)
        for process in self._started:
            if process.pid == pid:
                process.wait()
        wait_for(lambda: self.pid is None, said="the end of the killed process")

    def close(self) -> None:
        """Nothing of the cloud is left, however the test ended."""
        for session in self._sessions:
            session.close()
        for process in self._started:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()
                process.wait()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.down("--erase")
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what it left behind

    def log(self) -> str:
        """The log of the detached process."""
        with contextlib.suppress(OSError):
            return (self.state / "micronova.log").read_text()
        return ""

    def said(self) -> str:
        """What the processes said that the test started itself."""
        with contextlib.suppress(OSError):
            return (self.folder / "process.log").read_text()
        return ""

    def entry(self, name: str = "micronova") -> dict[str, Any]:
        return dict(clouds_yaml.read(self.state / "clouds.yaml")[name])

    def session(self, name: str = "micronova") -> "Session":
        made = Session(self.entry(name))
        self._sessions.append(made)
        return made

    def audit(self) -> list[dict[str, str]]:
        """What `micronova audit` finds."""
        done = self.run("audit", "--json")
        assert done.stdout, done.stderr
        return list(json.loads(done.stdout))

    def idle(self, wait: float = 120) -> None:
        """No task is open any more; read from the state folder's database, which costs no process."""

        def none_open() -> bool:
            with contextlib.closing(sqlite3.connect(self.state / "micronova.db", timeout=30)) as database:
                return bool(database.execute("SELECT count(*) FROM tasks WHERE open").fetchone()[0] == 0)

        wait_for(none_open, wait, said="the end of all tasks")


@contextlib.contextmanager
def cloud(*flags: str, environment: dict[str, str] | None = None) -> Iterator[Cloud]:
    """A folder for a cloud, erased with all that ran on it."""
    made = Cloud(Path(tempfile.mkdtemp(prefix="mn-t-", dir="/tmp")), *flags, environment=environment)
    try:
        yield made
    finally:
        made.close()


class Session:
    """One user over HTTP, without any client library: what is sent is exactly what the test says."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self._auth = entry["auth"]
        self.base = str(self._auth["auth_url"]).removesuffix("/identity/v3")
        self.http = httpx2.Client(base_url=self.base, timeout=60, trust_env=False)
        self.token = ""
        self.log_in()

    def close(self) -> None:
        self.http.close()

    def log_in(self) -> None:
        auth = self._auth
        user = {"name": auth["username"], "domain": {"name": "Default"}, "password": auth["password"]}
        scope = {"project": {"name": auth["project_name"], "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post("/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        self.token = answer.headers["X-Subject-Token"]
        self.headers = {"X-Auth-Token": self.token, **MICROVERSION}

    def ask(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Any:
        """The answer, whatever it is. `raw` is sent as it is, `body` as JSON."""
        content = raw if raw is not None else (msgspec.json.encode(body) if body is not None else None)
        sent = {**self.headers, "Content-Type": "application/json", **headers}
        return self.http.request(method, path, content=content, headers=sent)

    def get(self, path: str) -> Any:
        """The JSON at a path that must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a request that must succeed."""
        answer = self.ask("POST", path, body)
        assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    # -- what most tests need

    def named(self, path: str, key: str, name: str) -> dict[str, Any]:
        return next(one for one in self.get(path)[key] if one["name"] == name)

    def image(self, content: bytes, *, form: str = "raw", name: str = "blank") -> str:
        """An active image with these bytes."""
        made = self.post("/image/v2/images", {"name": name, "disk_format": form, "container_format": "bare"})
        answer = self.upload(made["id"], content)
        assert answer.status_code == 204, answer.text
        return str(made["id"])

    def upload(self, id: str, content: Any) -> Any:
        headers = {**self.headers, "Content-Type": "application/octet-stream"}
        return self.http.put(f"/image/v2/images/{id}/file", content=content, headers=headers)

    def network(self, cidr: str = "10.31.0.0/24", name: str = "net", **subnet: Any) -> str:
        made = self.post("/network/v2.0/networks", {"network": {"name": name}})["network"]
        body = {"network_id": made["id"], "cidr": cidr, "ip_version": 4, **subnet}
        self.post("/network/v2.0/subnets", {"subnet": body})
        return str(made["id"])

    def flavor(self, name: str = "m1.tiny") -> str:
        return str(self.named("/compute/v2.1/flavors", "flavors", name)["id"])

    def boot(self, image: str, network: str, name: str = "s", **more: Any) -> str:
        """The id of a server that was accepted."""
        body = {"name": name, "imageRef": image, "flavorRef": self.flavor(), "networks": [{"uuid": network}], **more}
        return str(self.post("/compute/v2.1/servers", {"server": body})["server"]["id"])

    def server(self, id: str) -> dict[str, Any]:
        return dict(self.get(f"/compute/v2.1/servers/{id}")["server"])

    def settled(self, id: str, wait: float = 120) -> dict[str, Any]:
        """The server once nothing is being done to it."""

        def done() -> dict[str, Any] | None:
            found = self.server(id)
            return found if found["OS-EXT-STS:task_state"] is None and found["status"] != "BUILD" else None

        return wait_for(done, wait, said=f"the end of the work on server {id}")  # type: ignore[return-value]

    def audit(self) -> list[dict[str, str]]:
        """Where rows and hosts differ."""
        return list(self.get("/micronova/v1/audit")["findings"])

    def reaches(self, id: str, status: str, wait: float = 120) -> dict[str, Any]:
        """The server once it has that status."""

        def there() -> dict[str, Any] | None:
            found = self.server(id)
            return found if found["status"] == status and not found["OS-EXT-STS:task_state"] else None

        return wait_for(there, wait, said=f"server {id} becoming {status}")  # type: ignore[return-value]

    def act(self, id: str, action: dict[str, Any]) -> None:
        self.post(f"/compute/v2.1/servers/{id}/action", action)

    def console(self, id: str) -> str:
        """What the server's console shows."""
        return str(self.post(f"/compute/v2.1/servers/{id}/action", {"os-getConsoleOutput": {}})["output"])

    def delete_server(self, id: str, wait: float = 120) -> None:
        """The server is gone."""
        self.ask("DELETE", f"/compute/v2.1/servers/{id}")
        path = f"/compute/v2.1/servers/{id}"
        wait_for(lambda: self.ask("GET", path).status_code == 404, wait, said=f"server {id} going away")


# -- what is on the host


def traces(words: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """What a cloud may leave behind on this host, by kind; processes only those with one of `words` in their line."""
    return {
        "links": _names("ip", "-o", "link", pattern=r"^\d+: ([^:@]+)"),
        "namespaces": _names("ip", "netns", "list", pattern=r"^(\S+)"),
        "tables": _names("nft", "list", "tables", pattern=r"^table (.*)$"),
        "rules": _names("ip", "rule", pattern=r"^(.*)$"),
        "routes": _names("ip", "route", pattern=r"^(.*)$"),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "processes": {line for line in processes() if any(word in line for word in words)},
    }


def processes() -> Iterator[str]:
    """`PID COMMAND LINE` of every process but this one."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            with contextlib.suppress(OSError):
                yield f"{place.name} " + (place / "cmdline").read_text().replace("\0", " ")


def find_processes(*words: str) -> list[int]:
    """Ids of the processes with all these words in their command lines."""
    return [int(line.split()[0]) for line in processes() if all(word in line for word in words)]


def _names(*argv: str, pattern: str) -> set[str]:
    if not shutil.which(argv[0]):
        return set()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return {found[1].strip() for line in done.stdout.splitlines() if (found := re.match(pattern, line))}
