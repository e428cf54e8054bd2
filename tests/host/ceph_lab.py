"""A Ceph cluster of one monitor and one OSD below one folder, on loopback only; it keeps its data in files."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from micronova.clock import SystemClock

NEEDED = ("ceph", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "rbd", "rados", "qemu-img", "qemu-io")
POOL = "volumes"
USER = "cinder"
QUOTA = 2 << 30
_OSD_BYTES = 4 << 30
_CONF = """[global]
paxos_propose_interval = 0.05
fsid = {fsid}
mon_host = {monitors}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {first_port}
ms_bind_port_max = {last_port}
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
mon_data = {folder}/mon
osd_data = {folder}/osd
keyring = {folder}/admin.keyring

[osd]
keyring = {folder}/osd/keyring

[global]
osd_pool_default_size = 1
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
bluestore_block_size = {osd_bytes}
bluestore_block_create = true
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_osd_down_out_interval = 0
mon_warn_on_pool_no_redundancy = false
osd_objectstore = bluestore
osd_heartbeat_grace = 4
debug_default = 0
"""


def missing() -> str:
    """Which program this host lacks, or that we are not root; empty when a cluster can be made."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    return f"needs {', '.join(lacking)} (ceph-mon ceph-osd ceph-common qemu-utils qemu-block-extra)" if lacking else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class CephLab:
    """The cluster. Its pool is `volumes`; its user `cinder` may do what Ceph's documentation lets such a one."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.conf = folder / "ceph.conf"
        self.keyring = folder / "cinder.keyring"
        self.monitors = (f"127.0.0.1:{free_port()}",)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    # -- life

    def begin(self) -> None:
        """It runs, and has an empty pool. Raises subprocess.SubprocessError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        first = min(free_port(), 60000)
        clock = SystemClock()
        fsid, osd_id = clock.new_id(), clock.new_id()
        words = {"fsid": fsid, "monitors": f"v2:{self.monitors[0]}", "first_port": first, "last_port": first + 400}
        self.conf.write_text(_CONF.format(folder=self.folder, osd_bytes=_OSD_BYTES, **words))
        self._make_keys()
        monmap, mon_keys = str(self.folder / "monmap"), str(self.folder / "mon.keyring")
        address = f"[v2:{self.monitors[0]}]"
        self._run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap)
        self._run("ceph-mon", "-c", str(self.conf), "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", mon_keys)
        self.start("mon")
        self.ceph(
            f"osd new {osd_id}",
            f"osd pool create {POOL}",
            f"osd pool set-quota {POOL} max_bytes {QUOTA}",
            f"osd pool application enable {POOL} rbd",
        )
        self._run("ceph-osd", "-c", str(self.conf), "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        self.start("osd")

    def _make_keys(self) -> None:
        """Keyrings with what their users may do; the monitor takes all of them in."""
        everything = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
        ours = {"mon": "profile rbd", "osd": f"profile rbd pool={POOL}", "mgr": f"profile rbd pool={POOL}"}
        of_osd = {"mon": "allow profile osd", "osd": "allow *"}
        (self.folder / "osd").mkdir()
        mon = self.folder / "mon.keyring"
        self._make_key(mon, "mon.", {"mon": "allow *"})
        for path, name, rights in (
            (self.folder / "admin.keyring", "client.admin", everything),
            (self.folder / "osd" / "keyring", "osd.0", of_osd),
            (self.keyring, f"client.{USER}", ours),
        ):
            self._make_key(path, name, rights)
            self._run("ceph-authtool", str(mon), "--import-keyring", str(path))

    def _make_key(self, path: pathlib.Path, name: str, rights: dict[str, str]) -> None:
        words = [word for kind, right in rights.items() for word in ("--cap", kind, right)]
        self._run("ceph-authtool", "--create-keyring", str(path), "--gen-key", "-n", name, *words)

    def start(self, kind: str) -> None:
        """The daemon, "mon" or "osd", runs and is known to the cluster."""
        name = {"mon": "a", "osd": "0"}[kind]
        with (self.folder / f"{kind}.out").open("ab") as out:
            argv = [f"ceph-{kind}", "-c", str(self.conf), "-i", name, "-f"]
            self._daemons[kind] = subprocess.Popen(argv, stdout=out, stderr=out)
        if kind == "osd":
            self.rados("ls")
            return
        socket_path = self.folder / "mon.a.asok"
        for _ in range(1200):
            if self._daemons[kind].poll() is not None:
                raise ChildProcessError(f"Ceph's {kind} ended: {self._said(kind)}")
            if socket_path.exists():
                return
            time.sleep(0.1)
        raise TimeoutError(f"Ceph's {kind} did not come up: {self._said(kind)}")

    def kill(self, kind: str) -> None:
        """The daemon died by SIGKILL."""
        self._daemons[kind].kill()
        self._daemons[kind].wait(60)

    def pause(self, kind: str) -> None:
        """The daemon is there and does nothing, as one that is cut off."""
        self._daemons[kind].send_signal(signal.SIGSTOP)

    def resume(self, kind: str) -> None:
        self._daemons[kind].send_signal(signal.SIGCONT)

    def end(self) -> None:
        """No daemon lives and no file is left."""
        for daemon in self._daemons.values():
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
            daemon.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- asked as its administrator

    def ceph(self, *orders: str) -> str:
        """What the monitor answers to the orders; one program asks them all, for it is slow to start."""
        return self._run("ceph", "-c", str(self.conf), "--connect-timeout", "60", stdin="\n".join(orders))

    def rbd(self, *words: str) -> str:
        return self._run("rbd", "-c", str(self.conf), "-p", POOL, *words)

    def rados(self, *words: str) -> str:
        return self._run("rados", "-c", str(self.conf), "-p", POOL, *words)

    def _said(self, kind: str) -> str:
        return (self.folder / f"{kind}.out").read_text(errors="replace")[-400:]

    def _run(self, *argv: str, stdin: str = "") -> str:
        done = subprocess.run(argv, input=stdin.encode(), capture_output=True, timeout=100, check=False)
        told = done.stderr.decode(errors="replace")
        if done.returncode or "Error E" in told:
            raise ChildProcessError(f"{argv[0]} {argv[1:4]}: {told[-400:]}")
        return done.stdout.decode()
