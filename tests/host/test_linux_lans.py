"""Flat networks on a bridge of the host with real packets: guests, the machines of a LAN, and a bridge left alone."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from linux_guests import EGRESS, PING, SSH, network, plug, port
from netlab import Guest, Lab, connects, reaches, sh, steady, until
from test_linux_routing import meets

from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError
from micronova.network.driver import NetworkSpec, RuleSpec, SegmentSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.segments import HostWires, mapping

pytestmark = pytest.mark.host
LAN = "br-lan"
MACHINE, HOST = "10.9.0.200", "10.9.0.254"
METADATA = "169.254.169.254"


class Office:
    """A LAN: the host's bridge, on which the host has an address, and a machine behind it."""

    def __init__(self, lab: Lab, driver: LinuxNetworkDriver) -> None:
        self.lab = lab
        self.driver = driver
        self.host = Guest(lab.path("host"), lab.folder / "none", "")
        self.machine = Guest(lab.add_namespace("machine"), lab.folder / "none", "")
        sh("ip", "link", "add", LAN, "type", "bridge")
        sh("ip", "addr", "add", f"{HOST}/24", "dev", LAN)
        sh("ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", self.machine.path.name)
        sh("ip", "link", "set", "cable", "master", LAN, "up")
        sh("ip", "link", "set", LAN, "up")
        self.machine.run("ip", "addr", "add", f"{MACHINE}/24", "dev", "eth0")
        self.machine.run("ip", "link", "set", "eth0", "up")

    def bridge(self) -> str:
        """All the kernel tells of the bridge but its counters and the IPv6 that it gives itself in its own time."""
        told = steady(
            sh("ip", "-d", "link", "show", LAN)
            + sh("ip", "-4", "addr", "show", LAN)
            + sh("ip", "link", "show", "cable")
        )
        return "\n".join(line for line in told.splitlines() if "timer" not in line)

    @contextlib.contextmanager
    def dhcp(self) -> Iterator[None]:
        """The machine is the LAN's DHCP server meanwhile."""
        argv = ["dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--bind-interfaces", "--interface=eth0"]
        argv += ["--except-interface=lo", "--port=0", "--no-ping", "--dhcp-range=10.9.0.11,10.9.0.11,255.255.255.0"]
        argv += [f"--dhcp-option=3,{MACHINE}", "--dhcp-leasefile=/dev/null", "--pid-file="]
        inside = ["nsenter", f"--net={self.machine.path}", "--", *argv]
        with subprocess.Popen(inside, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                yield
            finally:
                server.terminate()


def flat(physical_network: str = "office") -> NetworkSpec:
    base = network(gateway=None)
    subnet = msgspec.structs.replace(base.subnets[0], dhcp=False)
    segment = SegmentSpec(network_type="flat", physical_network=physical_network)
    return msgspec.structs.replace(base, subnets=(subnet,), segment=segment, nat=False)


@pytest.fixture
async def office(lab: Lab, tmp_path: Path) -> AsyncIterator[Office]:
    wires = HostWires(bridges={"office": LAN, "nothing": "br-none", "wrong": "uplink"})
    driver = LinuxNetworkDriver(tmp_path / "network", SystemClock(), wires=wires)
    try:
        await driver.init_host()
        yield Office(lab, driver)
    finally:
        await driver.erase()


async def test_guests_and_machines_meet_where_rules_allow(office: Office) -> None:
    await office.driver.ensure_network(flat())
    a = await plug(office.lab, office.driver, port("a", 11, rules=(*EGRESS, PING, SSH)), gateway=None)
    b = await plug(office.lab, office.driver, port("b", 12), gateway=None)

    with a.listens(80):
        assert office.machine.reaches("10.9.0.11")
        assert "10.9.0.200" == meets(office.machine, a, "10.9.0.11", 22)
        assert not office.machine.connects("10.9.0.11", 80)
        assert not b.connects("10.9.0.11", 80)
    assert "10.9.0.11" == meets(a, office.machine, MACHINE)
    assert "10.9.0.11" == meets(a, b, "10.9.0.12")


async def test_the_host_is_one_machine_more_and_judged_like_others(office: Office) -> None:
    await office.driver.ensure_network(flat())
    only_machine = RuleSpec(direction="egress", ethertype="IPv4", remotes=(f"{MACHINE}/32",))
    a = await plug(office.lab, office.driver, port("a", 11, rules=(*EGRESS, SSH)), gateway=None)
    b = await plug(office.lab, office.driver, port("b", 12, rules=(only_machine,)), gateway=None)

    with a.listens(22), a.listens(80), office.host.listens(8080):
        assert a.reaches(HOST, 8080)
        assert not b.connects(HOST, 8080)
        assert b.reaches(MACHINE)
        assert reaches(office.host.path, "10.9.0.11", 22)
        assert not connects(office.host.path, "10.9.0.11", 80)
        assert not office.host.pings("10.9.0.12")


async def test_what_is_nobodys_port_goes_on_as_before(office: Office) -> None:
    await office.driver.ensure_network(flat())
    await plug(office.lab, office.driver, port("a", 11), gateway=None)

    with office.host.listens(8080), office.machine.listens(8080):
        assert office.machine.reaches(HOST, 8080)
        assert reaches(office.host.path, MACHINE, 8080)


async def test_a_guest_is_served_by_the_lan_and_not_by_us(office: Office) -> None:
    await office.driver.ensure_network(flat())
    a = port("a", 11)
    guest = office.lab.guest("a", device=a.device, mac=a.mac)
    await office.driver.ensure_port(a)

    with office.dhcp():
        lease = guest.dhcp()

    assert ("10.9.0.11", MACHINE, MACHINE) == (lease["ip"], lease["serverid"], lease["router"])
    assert [] == office.lab.processes("dnsmasq")


async def test_forged_frames_do_not_reach_the_lan(office: Office) -> None:
    await office.driver.ensure_network(flat())
    a = await plug(office.lab, office.driver, port("a", 11), gateway=None)
    a.run("ip", "addr", "add", "10.9.0.99/24", "dev", "eth0")

    assert a.reaches(MACHINE)
    assert " 0% packet loss" not in a.run("busybox", "ping", "-I", "10.9.0.99", "-c1", "-W1", MACHINE, check=False)


async def test_metadata_is_for_guests_of_this_host_only(office: Office) -> None:
    await office.driver.ensure_network(flat())
    a = await plug(office.lab, office.driver, port("a", 11), gateway=None)
    listener = await office.driver.metadata_socket("net-a")
    assert listener is not None

    with listener:
        for guest in (a, office.machine):
            guest.run("ip", "route", "add", f"{METADATA}/32", "dev", "eth0")
        assert a.reaches(METADATA, 80)
        assert not office.machine.connects(METADATA, 80)


async def test_the_bridge_is_left_as_it_was(office: Office) -> None:
    until(lambda: "NO-CARRIER" not in office.bridge())
    before = office.bridge()
    await office.driver.ensure_network(flat())
    await plug(office.lab, office.driver, port("a", 11), gateway=None)
    during = office.bridge()

    await office.driver.remove_port(port("a", 11).id)
    await office.driver.remove_network("net-a")
    after = office.bridge()
    await office.driver.ensure_network(flat())
    await office.driver.ensure_port(msgspec.structs.replace(port("b", 12), device="tap-b"))
    await office.driver.erase()

    assert before == during == after == office.bridge()
    assert "tap-b" not in sh("ip", "link")
    assert office.machine.reaches(HOST)


async def test_a_new_driver_completes_and_guests_go_on(office: Office) -> None:
    await office.driver.ensure_network(flat())
    a = await plug(office.lab, office.driver, port("a", 11), gateway=None)
    wires = HostWires(bridges={"office": LAN})
    again = LinuxNetworkDriver(office.lab.folder / "network", SystemClock(), wires=wires)

    await again.init_host()
    await again.ensure_network(flat())
    await again.ensure_port(port("a", 11, rules=EGRESS))

    assert ["net-a"] == await again.list_networks()
    assert a.reaches(MACHINE)
    until(lambda: not office.machine.pings("10.9.0.11"))
    assert not office.host.pings("10.9.0.11")
    await again.close()


@pytest.mark.parametrize(
    ("physical", "said"), [("other", "no bridge for"), ("nothing", "is not there"), ("wrong", "is no bridge")]
)
async def test_a_bridge_that_can_not_be_is_told_and_nothing_is_left(office: Office, physical: str, said: str) -> None:
    before = (steady(sh("ip", "-o", "link")), sh("nft", "list", "ruleset"))

    with pytest.raises(DriverError, match=said):
        await office.driver.ensure_network(flat(physical))

    assert [] == await office.driver.list_networks()
    assert before == (steady(sh("ip", "-o", "link")), sh("nft", "list", "ruleset"))


async def test_a_bridge_that_hides_its_packets_is_refused(office: Office) -> None:
    sh("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")

    with pytest.raises(DriverError, match="bridge-nf-call-iptables"):
        await office.driver.ensure_network(flat())

    assert not Names("mn", office.lab.folder / "network").namespace_path("net-a").exists()


@pytest.mark.parametrize("wrong", ["office", ":br0", "office:", "office:" + "x" * 16])
def test_options_that_map_nothing_are_told(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.bridges"):
        mapping("network.bridges", ("other:br1", wrong))


def test_options_map_physical_networks() -> None:
    assert {"office": "br0", "lab": "br-lab"} == mapping("network.bridges", ("office:br0", "lab:br-lab"))
