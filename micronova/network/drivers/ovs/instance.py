"""Which Open vSwitch serves this host: the system's where it runs, else one that we start.

Ours switches in user space and needs no kernel module. A network namespace can have one such switch, whoever starts it,
so all clouds of this host share it: the first starts it, any starts it again when it died, the last to go ends it. It
is told to leave unfinished checksums and long segments to the kernel, as guests do; without that ping works and TCP
doesn't.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from micronova.command import run
from micronova.errors import DriverError
from micronova.network.drivers.ovs import processes
from micronova.network.drivers.ovs.processes import Home
from micronova.network.drivers.served import namespace
from micronova.network.drivers.served.links import refused

LOG = logging.getLogger(__name__)
SYSTEM = Path("/var/run/openvswitch")
KERNEL_MODULE = Path("/sys/module/openvswitch")
SCHEMAS = (Path("/usr/share/openvswitch/vswitch.ovsschema"), Path("/usr/local/share/openvswitch/vswitch.ovsschema"))
WAIT = 20.0
LOCK_TRIES, LOCK_PAUSE = 600, 0.05


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A running Open vSwitch: the folder of its sockets, and what carries its packets, "netdev" or "system"."""

    folder: Path
    datapath: str

    @property
    def database(self) -> str:
        """Where its configuration is reached."""
        return f"unix:{self.folder / 'db.sock'}"

    def bridge(self, name: str) -> Path:
        """Where a bridge's flows are reached."""
        return self.folder / f"{name}.mgmt"


class Instance:
    """The Open vSwitch of a network namespace. `run_folder` is empty after a reboot."""

    def __init__(self, run_folder: Path, system: Path = SYSTEM) -> None:
        self._run_folder = run_folder
        self._system = system

    async def ensure(self, home: Home) -> Switch:
        """One runs. Raises DriverError when none can be started."""
        if self._system_serves(home):
            kernel = KERNEL_MODULE.exists()
            return Switch(folder=self._system, datapath="system" if kernel else "netdev")
        ours = self._ours(home)
        if not self._ours_lives(ours.folder):
            async with self._alone(ours.folder):
                await self._start(ours, home)
        return ours

    async def running(self, home: Home) -> Switch | None:
        """The one that serves; None when there is none that could have anything of ours."""
        return await self.ensure(home) if self._system_serves(home) or self._ours(home).folder.exists() else None

    async def leave(self, home: Home) -> None:
        """The one that we started has ended, unless somebody still has a bridge of it."""
        ours = self._ours(home)
        if self._system_serves(home) or not ours.folder.exists():
            return
        async with self._alone(ours.folder):
            if self._ours_lives(ours.folder) and (await _vsctl(ours, "list-br")).strip():
                return
            for name in ("ovs-vswitchd", "ovsdb-server"):
                await asyncio.to_thread(processes.end, ours.folder / f"{name}.pid")
            shutil.rmtree(ours.folder, ignore_errors=True)
            ours.folder.with_suffix(".lock").unlink(missing_ok=True)

    def _ours(self, home: Home) -> Switch:
        return Switch(folder=self._run_folder / f"mn-ovs-{home.number}", datapath="netdev")

    def _system_serves(self, home: Home) -> bool:
        """A daemon in another network namespace sees none of this one's interfaces."""
        pid = processes.living(self._system / "ovs-vswitchd.pid", named=False)
        return pid is not None and processes.lives_in(home, pid) and (self._system / "db.sock").exists()

    def _ours_lives(self, folder: Path) -> bool:
        return all(processes.living(folder / f"{name}.pid") for name in ("ovsdb-server", "ovs-vswitchd"))

    @contextlib.asynccontextmanager
    async def _alone(self, folder: Path) -> AsyncIterator[None]:
        """Nobody else starts or ends the daemons meanwhile."""
        fd = await _locked(folder.with_suffix(".lock"))
        try:
            yield
        finally:
            os.close(fd)

    async def _start(self, switch: Switch, home: Home) -> None:
        """Both daemons run; each only if it doesn't already."""
        folder = switch.folder
        with refused("making the folder of Open vSwitch"):
            folder.mkdir(mode=0o750, exist_ok=True)
        if processes.living(folder / "ovsdb-server.pid") is None:
            await self._start_database(switch, home)
        if processes.living(folder / "ovs-vswitchd.pid") is None:
            LOG.info("starting Open vSwitch in %s", folder)
            await _daemon(switch, home, "ovs-vswitchd", switch.database)

    async def _start_database(self, switch: Switch, home: Home) -> None:
        folder, file = switch.folder, switch.folder / "conf.db"
        if not file.exists():
            schema = next((path for path in SCHEMAS if path.exists()), SCHEMAS[0])
            fresh = folder / "new.db"
            fresh.unlink(missing_ok=True)
            await run(["ovsdb-tool", "create", str(fresh), str(schema)], wait=WAIT)
            fresh.replace(file)
        await _daemon(switch, home, "ovsdb-server", str(file), f"--remote=punix:{folder / 'db.sock'}")
        await _vsctl(switch, "--no-wait", "init")
        await _vsctl(switch, "--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")


async def _daemon(switch: Switch, home: Home, name: str, *words: str) -> None:
    """The daemon runs and serves."""
    folder = switch.folder
    argv = [name, *words, f"--pidfile={folder / f'{name}.pid'}"]
    argv += [
        "--detach",
        "--no-chdir",
        f"--log-file={folder / f'{name}.log'}",
        "-vconsole:off",
        "-vsyslog:off",
        "-vfile:warn",
    ]
    (folder / f"{name}.pid").unlink(missing_ok=True)
    await run(namespace.inside(home.path, argv), wait=WAIT, env={"OVS_RUNDIR": str(folder)})


async def _vsctl(switch: Switch, *words: str) -> bytes:
    return await run(["ovs-vsctl", f"--db={switch.database}", f"--timeout={WAIT:.0f}", *words], wait=WAIT + 1)


async def _locked(path: Path) -> int:
    """The file, open and locked by us alone. Whoever had it before may have removed it."""
    for _ in range(LOCK_TRIES):
        with refused("locking Open vSwitch"):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _take(fd) and _is(path, fd):
                return fd
            os.close(fd)
        await asyncio.sleep(LOCK_PAUSE)
    raise DriverError("another process keeps Open vSwitch locked")


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
