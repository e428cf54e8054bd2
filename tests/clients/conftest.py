"""One real cloud for the whole walk, and the unmodified client in an environment of its own."""

import concurrent.futures
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from outside import Cloud, cloud, traces, wait_for, why_not_real

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"
VENV = ROOT / ".venv-clients"
CLIENT_WAIT = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clients)
            item.add_marker(pytest.mark.timeout(600))


class Said(NamedTuple):
    """What a command of the client did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def client_python() -> Path:
    """The interpreter of the client's environment, which is made once and kept."""
    python = VENV / "bin" / "python"
    stamp = VENV / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = Path(sys.executable).parent / "uv"
    made = [str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV)]
    filled = [str(uv), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    for argv in (made, [*filled, "-r", str(REQUIREMENTS)]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"the client can't be installed from the package registry: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted)
    return python


@pytest.fixture(scope="session")
def stage() -> Iterator[Cloud]:
    """A cloud with its demo: real where this host can, pretended elsewhere. `real` says which."""
    reason = why_not_real()
    flags = ("--simulate",) if reason else ()
    with cloud(*flags) as made:
        (made.home / ".config" / "openstack").mkdir(parents=True)
        (made.home / ".config" / "openstack" / "clouds.yaml").write_text(MINE)
        made.up()
        wait_for(lambda: shown(made), 300, every=0.2, said="the demo")
        if "the demo ended early" in made.log():
            raise AssertionError(made.log()[-3000:])
        if reason:
            print(f"\nthe cloud of this walk is simulated: {reason}")
        yield made


def shown(made: Cloud) -> bool:
    return "Ctrl-C stops the services" in made.log()


MINE = """\
# my clouds, by hand
clouds:
  work:   # the big one
    auth:
      auth_url: https://keystone.example.org/v3
      username: "me"
"""


class Openstack:
    """The command `openstack` for one user, in forks of one process that has imported it."""

    def __init__(self, path: Path, cloud: Cloud, name: str) -> None:
        self._path = path
        self.environment = {**cloud.environment, "OS_CLOUD": name}
        self.folder = cloud.folder

    def __call__(self, line: str, *more: str, code: int | None = 0, json: bool = False) -> Said:
        """Run `openstack LINE MORE`; words of `line` are separated by spaces. It must end with `code`, None: any."""
        argv = [*line.split(), *more, *(("-f", "json") if json else ())]
        said = self._run(argv)
        if code is not None:
            assert said.code == code, f"openstack {' '.join(argv)} ended with {said.code}: {said.err}{said.out}"
        return said

    def json(self, line: str, *more: str) -> Any:
        """What a successful command prints as JSON."""
        return self(line, *more, json=True).json

    def fails(self, line: str, *more: str) -> str:
        """The complaint of a command that must end with code 1."""
        said = self(line, *more, code=1)
        assert "Traceback" not in said.err, said.err
        return said.err

    def all(self, *lines: str, json: bool = False) -> list[Any]:
        """Run independent commands at the same time; their JSON, or what they said, in the order of `lines`."""
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            return list(pool.map(self.json if json else self, lines))

    def _run(self, argv: list[str]) -> Said:
        wanted = {"argv": argv, "environment": self.environment, "folder": str(self.folder)}
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(CLIENT_WAIT)
            asked.connect(str(self._path))
            asked.sendall(json.dumps(wanted).encode() + b"\n")
            parts = []
            while part := asked.recv(65536):
                parts.append(part)
        return Said(**json.loads(b"".join(parts)))


@pytest.fixture(scope="session")
def shell(client_python: Path, stage: Cloud) -> Iterator[Path]:
    """The socket on which the client's process takes commands."""
    path = stage.folder / "client.sock"
    environment = {**stage.environment, "PYTHONWARNINGS": "ignore", "COLUMNS": "300"}
    with subprocess.Popen(
        [client_python, HERE / "shell.py", path],
        env=environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield path
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def openstack(shell: Path, stage: Cloud) -> Openstack:
    """The client as the cloud's administrator."""
    return Openstack(shell, stage, "micronova")


@pytest.fixture(scope="session")
def member(shell: Path, stage: Cloud) -> Openstack:
    """The client as a plain member of project demo."""
    return Openstack(shell, stage, "micronova-demo")


@pytest.fixture(scope="session")
def executable(client_python: Path, stage: Cloud) -> Any:
    """Runs the installed program `openstack` itself."""

    def run(line: str, *more: str) -> Said:
        argv = [str(client_python.parent / "openstack"), *line.split(), *more]
        done = subprocess.run(
            argv, env=stage.environment, cwd=stage.folder, capture_output=True, text=True, timeout=300, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def ssh(stage: Cloud, address: str, *words: str, key: Path | None = None) -> str:
    """What a command prints that runs in a guest."""
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20")
    options += ("-o", "BatchMode=yes", "-o", "LogLevel=ERROR")
    argv = ["ssh", "-i", str(key or stage.state / "ssh" / "mykey"), *options, f"root@{address}", *words]
    argv = [*way_to(stage, address), *argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr} {done.stdout}"
    return done.stdout.strip()


def way_to(stage: Cloud, address: str) -> tuple[str, ...]:
    """Nothing: guests are reached from the host. Where another cloud on it has the same addresses, their namespace."""
    session = stage.session()
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    [space] = [name for name in traces()["namespaces"] if network in name]
    tag = space.split("-")[1]
    told = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=False).stdout
    return () if f" dev mn{tag}" in told else ("nsenter", f"--net=/run/netns/{space}", "--")


@pytest.fixture
def real(stage: Cloud) -> Cloud:
    """The cloud, where its guests are real."""
    if "--simulate" in stage.flags:
        pytest.skip(f"guests are pretended: {why_not_real()}")
    if not os.path.exists("/usr/bin/ssh"):
        pytest.skip("needs the command ssh")
    return stage
