"""Three hosts, each a network namespace with a process of its own, on one broker and one database: one cloud."""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from netlab import enter, sh
from outside import Cloud, Session, find_processes, wait_for, why_not_real
from volume_client import TLS, Volumes, cut_power, daemons, layers, make_keys
from volume_user import use

from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError
from micronova.guestimage import tiny
from micronova.testing.servers import PostgresServer, find_nats_server, find_postgres

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_not_real()), reason=why_not_real() or "possible"),
    pytest.mark.skipif(find_nats_server() is None or find_postgres() is None, reason="needs NATS and PostgreSQL"),
]
HOSTS = ("n1", "n2", "n3")
QUICK = {
    "MICRONOVA_TASKS_SWEEP_SECONDS": "1",
    "MICRONOVA_SERVICE_REPORT_SECONDS": "2",
    "MICRONOVA_SERVICE_DOWN_SECONDS": "15",
    "MICRONOVA_COMPUTE_ACCEL": "tcg",
}
HUB = "10.250.0.1"
BUS = f"nats://{HUB}:4222"


class Region:
    """Broker and API on a switch in a namespace, in which the test's own thread is too; a cable to every host.

    The database is reached by its unix socket, which namespaces of the network do not part.
    """

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.tag = SystemClock().new_id()[:6]
        self.folder = folder
        make_keys(folder / "keys", *HOSTS)
        config = folder / "micronova.toml"
        config.write_text(TLS.format(keys=folder / "keys"))
        self._wires = ("--bus", BUS, "--db", postgres.dsn(), "--config", str(config))
        self.api = self._cloud("api")
        self.hosts = {name: self._cloud(name) for name in HOSTS}
        for name, host in self.hosts.items():
            host.prefix = ("nsenter", f"--net=/run/netns/{self.space(name)}", "--")

    def _cloud(self, name: str) -> Cloud:
        return Cloud(self.folder / name, *self._wires, environment={**QUICK, "MICRONOVA_HOST": name})

    def space(self, name: str) -> str:
        return f"mh-{self.tag}-{name}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Region"]:
        try:
            self._build()
            with enter(Path("/run/netns") / self.space("hub")), self._broker():
                try:
                    self.api.start("serve", "api", "--listen", "127.0.0.1:0")
                    for name in HOSTS:
                        self.start(name)
                    self.session: Session = self.api.session()
                    yield self
                finally:
                    for cloud in (*self.hosts.values(), self.api):
                        cloud.close()
        finally:
            for name in ("hub", *HOSTS):
                sh("ip", "netns", "delete", self.space(name), check=False)

    def _build(self) -> None:
        hub = self.space("hub")
        sh("ip", "netns", "add", hub)
        sh("ip", "-n", hub, "link", "set", "lo", "up")
        sh("ip", "-n", hub, "link", "add", "switch", "type", "bridge")
        sh("ip", "-n", hub, "addr", "add", f"{HUB}/24", "dev", "switch")
        sh("ip", "-n", hub, "link", "set", "switch", "up")
        for number, name in enumerate(HOSTS, 11):
            space = self.space(name)
            sh("ip", "netns", "add", space)
            sh("ip", "-n", space, "link", "set", "lo", "up")
            sh("ip", "-n", hub, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", space)
            sh("ip", "-n", hub, "link", "set", f"to-{name}", "master", "switch", "up")
            sh("ip", "-n", space, "addr", "add", f"10.250.0.{number}/24", "dev", "eth0")
            sh("ip", "-n", space, "link", "set", "eth0", "up")
            sh("ip", "-n", space, "route", "add", "default", "via", HUB)

    @contextlib.contextmanager
    def _broker(self) -> Iterator[None]:
        argv = [str(find_nats_server()), "-a", HUB, "-p", "4222"]
        with open(self.folder / "nats.log", "wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
            try:
                yield
            finally:
                process.terminate()

    def start(self, name: str) -> None:
        """The host's services run in its namespace."""
        self.hosts[name].start("serve", "compute", "network", "volume")

    def states(self) -> dict[str, str]:
        """Every compute service, up or down."""
        services = self.session.get("/compute/v2.1/os-services")["services"]
        return {one["host"]: one["state"] for one in services if one["binary"] == "nova-compute"}

    def findings(self) -> list[dict[str, str]]:
        return list(self.session.get("/micronova/v1/audit")["findings"])


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mn-h-", dir="/tmp")))
        try:
            image = asyncio.run(tiny.build(folder / "tiny"))
            postgres = stack.enter_context(PostgresServer())
        except (ConfigError, DriverError) as err:
            pytest.skip(str(err))
        made = stack.enter_context(Region(folder, postgres).running())
        upload(made.session, image)
        made.session.network("10.60.0.0/24", "private")
        yield made


def upload(session: Session, image: tiny.TinyImage) -> None:
    """The guest image as its three parts."""
    ids = {}
    for name, form, file in (("kernel", "aki", image.kernel), ("initrd", "ari", image.initrd)):
        body = {"name": name, "disk_format": form, "container_format": form}
        ids[name] = session.post("/image/v2/images", body)["id"]
        assert session.upload(ids[name], Path(file).read_bytes()).status_code == 204
    body = {"name": "tiny", "disk_format": "ami", "container_format": "ami", "os_command_line": image.cmdline}
    body |= {"kernel_id": ids["kernel"], "ramdisk_id": ids["initrd"]}
    made = session.post("/image/v2/images", body)["id"]
    assert session.upload(made, Path(image.disk).read_bytes()).status_code == 204


def qemu(id: str) -> list[int]:
    return find_processes("qemu-system", id)


@pytest.fixture(scope="module")
def servers(region: Region) -> dict[str, str]:
    """A server for each host: host -> id."""
    session = region.session
    wait_for(
        lambda: set(region.states().values()) == {"up"} and len(region.states()) == len(HOSTS), said="three hosts up"
    )
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    ids = [session.boot(image, network, f"web{number}") for number in range(len(HOSTS))]
    built = [session.settled(id, 300) for id in ids]
    assert ["ACTIVE"] * len(HOSTS) == [server["status"] for server in built], built
    return {server["OS-EXT-SRV-ATTR:host"]: server["id"] for server in built}


def test_three_hosts_are_one_cloud(region: Region, servers: dict[str, str]) -> None:
    assert dict.fromkeys(HOSTS, "up") == region.states()
    assert set(HOSTS) == set(servers)
    for name, id in servers.items():
        [pid] = qemu(id)
        assert str(region.hosts[name].state) in os.readlink(f"/proc/{pid}/cwd")


def test_guests_of_every_host_come_up_with_what_the_metadata_service_says(
    region: Region, servers: dict[str, str]
) -> None:
    for id in servers.values():
        name = region.session.server(id)["name"]
        path = f"/compute/v2.1/servers/{id}/action"

        def console(path: str = path) -> str:
            return str(region.session.post(path, {"os-getConsoleOutput": {}})["output"])

        wait_for(lambda name=name: f"{name} login:" in console(), 300, every=0.5, said=f"the login prompt of {name}")
        assert "metadata from metadata service" in console()


def test_a_host_that_dies_is_told_and_reconciled_when_it_is_back(region: Region, servers: dict[str, str]) -> None:
    session, id = region.session, servers["n2"]
    [pid] = qemu(id)
    process = region.hosts["n2"].pid
    assert process is not None

    os.kill(process, signal.SIGKILL)
    wait_for(lambda: region.states()["n2"] == "down", 60, every=0.2, said="the host being down")
    told = session.server(id)
    refused = session.ask("POST", f"/compute/v2.1/servers/{id}/action", {"os-stop": None})

    assert told["host_status"] in ("DOWN", "UNKNOWN")
    assert refused.status_code == 409
    assert {"n1": "up", "n3": "up"} == {name: state for name, state in region.states().items() if name != "n2"}
    assert any(one["host"] == "n2" for one in region.findings())
    assert qemu(id) == [pid]

    os.kill(pid, signal.SIGKILL)
    region.start("n2")
    wait_for(lambda: region.states()["n2"] == "up", 60, every=0.2, said="the host being up")

    assert session.settled(id)["status"] in ("ACTIVE", "SHUTOFF")
    if session.server(id)["status"] == "SHUTOFF":
        session.act(id, {"os-start": None})
    session.reaches(id, "ACTIVE")
    assert len(qemu(id)) == 1
    wait_for(lambda: region.findings() == [], 60, every=1, said="agreement")


def test_a_volume_is_used_from_another_host_and_moves_there_though_its_own_dies_meanwhile(region: Region) -> None:
    old, new = region.hosts["n1"], region.hosts["n3"]
    volumes = Volumes(region.session)
    wait_for(lambda: len(volumes.pools()) == len(HOSTS), 60, every=0.2, said="three back ends up")
    for name in ("n2", "n3"):
        volumes.ask("PUT", "/os-services/freeze", {"host": f"{name}@file"})
    id = volumes.ask("POST", "/volumes", {"volume": {"size": 1}})["volume"]["id"]
    volumes.until(id, "available", "n1@")
    for name in ("n2", "n3"):
        volumes.ask("PUT", "/os-services/thaw", {"host": f"{name}@file"})

    attachment, connection = volumes.attached(id, "n3", "10.250.0.13")
    assert ("psk", "n3", "10.250.0.11") == (connection.tls_kind, connection.tls_name, connection.host)
    with enter(Path("/run/netns") / region.space("n3")):
        asyncio.run(use(connection, "write -P 7 0 128M", "write -P 8 900M 1M", "flush"))
    volumes.detach(id, attachment)

    volumes.ask("POST", f"/volumes/{id}/action", {"os-migrate_volume": {"host": "n3@file#file"}})
    wait_for(lambda: find_processes("qemu-img", "10.250.0.11"), 60, every=0.005, said="the volume being read")
    cut_power(old)
    wait_for(lambda: not find_processes("qemu-img", "10.250.0.11"), 60, said="the end of the reading")
    told = volumes.get(id)
    region.start("n1")
    moved = volumes.until(id, "available", "n3@")

    assert ("retyping", "n1@file#file") == (told["status"], told["os-vol-host-attr:host"])
    assert "success" == moved["migration_status"]
    attachment, connection = volumes.attached(id, "n3", "10.250.0.13")
    asyncio.run(use(connection, "read -P 7 0 128M", "read -P 0 128M 1M", "read -P 8 900M 1M"))
    volumes.detach(id, attachment)
    wait_for(lambda: layers(old) == [], 60, said="the old place being empty")
    assert ([], []) == (daemons(old), daemons(new))
    volumes.ask("DELETE", f"/volumes/{id}")
    wait_for(lambda: layers(new) == [], 60, said="the volume being gone")
    wait_for(lambda: region.findings() == [], 60, every=1, said="agreement")


def test_deleting_leaves_nothing_on_any_host(region: Region, servers: dict[str, str]) -> None:
    for id in servers.values():
        region.session.delete_server(id)

    assert [] == [pid for id in servers.values() for pid in qemu(id)]
    wait_for(lambda: region.findings() == [], 60, every=1, said="agreement")
    for name in HOSTS:
        links = sh("ip", "-n", region.space(name), "-o", "link")
        assert "tap" not in links
