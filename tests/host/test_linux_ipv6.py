"""IPv6 of the Linux network driver with real packets: how guests come by addresses, and which they may use."""

import ipaddress
import os
import signal
import socket
import struct
from pathlib import Path

import dhcp6
import frames
import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import PATIENT, Guest, Lab, arrives, until

from micronova.errors import Rejected
from micronova.network.driver import Lease, NetworkSpec, PortSpec, SubnetSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.filters import link_local
from micronova.network.drivers.served.names import Names, gateway_mac

pytestmark = pytest.mark.host
PREFIX = "fd00:9::"
MARKER = b"micronova-test-marker"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
CHOSEN = "fe80::1234:5678:9abc:def0"


def with_ipv6(mode: str | None) -> NetworkSpec:
    base = network()
    subnet = SubnetSpec(id="six", cidr=f"{PREFIX}/64", gateway=f"{PREFIX}1", ipv6_mode=mode, dns=("fd00:9::53",))
    return msgspec.structs.replace(base, subnets=(*base.subnets, subnet))


def slaac(mac: str) -> str:
    """The address of this prefix that follows from a MAC."""
    return str(link_local(mac)).replace("fe80::", PREFIX)


def port_with_ipv6(name: str, number: int) -> PortSpec:
    base = port(name, number)
    return msgspec.structs.replace(base, ips=(*base.ips, slaac(base.mac)))


async def booted(lab: Lab, driver: LinuxNetworkDriver, spec: PortSpec) -> Guest:
    """A guest whose interface comes up when its port is there, as a booting machine's does."""
    guest = lab.guest(spec.id, device=spec.device, mac=spec.mac)
    guest.run("ip", "link", "set", "eth0", "down")
    await driver.ensure_port(spec)
    guest.run("ip", "link", "set", "eth0", "up")
    return guest


def has(guest: Guest, *words: str) -> bool:
    told = guest.run("ip", "-6", "addr", "show", "dev", "eth0") + guest.run("ip", "-6", "route")
    return all(word in told for word in words)


def pings6(guest: Guest, address: str) -> bool:
    return " 0% packet loss" in guest.run("busybox", "ping6", "-c1", "-W1", address, check=False)


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
async def test_a_guest_gives_itself_an_address_and_finds_the_gateway(
    lab: Lab, driver: LinuxNetworkDriver, mode: str
) -> None:
    await driver.ensure_network(with_ipv6(mode))
    a, b = port_with_ipv6("a", 11), port_with_ipv6("b", 12)

    guests = [await booted(lab, driver, spec) for spec in (a, b)]

    gateway = str(link_local(gateway_mac("net-a")))
    for guest, spec in zip(guests, (a, b), strict=True):
        until(lambda guest=guest, spec=spec: has(guest, slaac(spec.mac), f"default via {gateway}"), 15)
        until(lambda guest=guest: not has(guest, "tentative"))
        assert not has(guest, "dadfailed")
    until(lambda: pings6(guests[0], f"{PREFIX}1"))
    until(lambda: pings6(guests[0], slaac(b.mac)))
    with guests[1].listens(80, "::"):
        assert guests[0].reaches(slaac(b.mac), 80)


async def test_a_range_that_nobody_advertises_gives_no_address(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(with_ipv6(None))
    guest = await booted(lab, driver, port_with_ipv6("a", 11))
    until(lambda: has(guest, "fe80::") and not has(guest, "tentative"))

    with guest.packets() as listening:
        assert not arrives(listening, ipaddress.IPv6Address(PREFIX).packed[:8], wait=2)

    assert not has(guest, "default via")
    assert not has(guest, PREFIX)


async def test_stateful_addresses_are_advertised_as_such_and_may_be_used(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(with_ipv6("dhcpv6-stateful"))
    base = port("a", 11)
    lease = Lease(ip=f"{PREFIX}a1", hostname="six")
    spec = msgspec.structs.replace(base, ips=(*base.ips, lease.ip), leases=(*base.leases, lease))

    guest = await booted(lab, driver, spec)
    until(lambda: has(guest, "default via"), 15)
    own = has(guest, PREFIX + "f816")
    guest.run("ip", "addr", "add", f"{PREFIX}a1/64", "dev", "eth0")

    assert not own
    until(lambda: pings6(guest, f"{PREFIX}1"))


async def test_an_address_that_was_chosen_finds_neighbours_and_no_more(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12))
    ours = (a.mac, ALL_NODES_MAC)
    target = socket.inet_pton(socket.AF_INET6, CHOSEN)
    advertised = struct.pack("!I", 0x20000000) + target + MARKER

    with a.packets() as sender, b.packets() as receiver:
        for kind, body in ((135, bytes(4) + target + MARKER), (136, advertised), (133, bytes(4) + MARKER)):
            sender.send(frames.icmp6(ours, (CHOSEN, ALL_NODES), kind, body))
            assert arrives(receiver, MARKER, wait=PATIENT), kind
        sender.send(frames.icmp6(ours, (CHOSEN, ALL_NODES), 128, bytes(4) + MARKER))
        sender.send(frames.icmp6(("fa:16:3e:66:66:66", ALL_NODES_MAC), (CHOSEN, ALL_NODES), 135, bytes(20) + MARKER))
        assert not arrives(receiver, MARKER)


async def test_a_guest_with_a_chosen_link_local_address_passes_duplicate_detection(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(with_ipv6("slaac"))
    spec = port_with_ipv6("a", 11)
    guest = lab.guest(spec.id, device=spec.device, mac=spec.mac)
    guest.run("ip", "link", "set", "eth0", "down")
    guest.run("ip", "link", "set", "eth0", "addrgenmode", "none")
    await driver.ensure_port(spec)
    guest.run("ip", "link", "set", "eth0", "up")
    guest.run("ip", "addr", "add", f"{CHOSEN}/64", "dev", "eth0")

    until(lambda: has(guest, CHOSEN) and not has(guest, "tentative"))

    assert not has(guest, "dadfailed")
    until(lambda: has(guest, slaac(spec.mac), "default via"), 15)
    until(lambda: pings6(guest, f"{PREFIX}1"))


async def test_a_way_that_does_not_exist_is_rejected(driver: LinuxNetworkDriver) -> None:
    with pytest.raises(Rejected):
        await driver.ensure_network(with_ipv6("magic"))


def stateful(name: str, number: int, address: str) -> PortSpec:
    base = port(name, number)
    held = Lease(ip=address, hostname=f"six-{name}")
    return msgspec.structs.replace(base, ips=(*base.ips, address), leases=(*base.leases, held))


async def leasing(lab: Lab, driver: LinuxNetworkDriver, spec: PortSpec) -> Guest:
    guest = await booted(lab, driver, spec)
    until(lambda: has(guest, "fe80::") and not has(guest, "tentative"))
    return guest


async def test_an_ipv6_address_goes_to_its_next_owner_at_once(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(with_ipv6("dhcpv6-stateful"))
    first, second = stateful("a", 11, f"{PREFIX}a1"), stateful("b", 12, f"{PREFIX}a1")
    guest = await leasing(lab, driver, first)
    had = dhcp6.lease(guest)

    await driver.remove_port(first.id)
    successor = await leasing(lab, driver, second)

    assert f"{PREFIX}a1" == had == dhcp6.lease(successor)


async def test_two_ports_exchange_their_ipv6_addresses(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(with_ipv6("dhcpv6-stateful"))
    guests = [await leasing(lab, driver, stateful(name, n, f"{PREFIX}a{n}")) for name, n in (("a", 1), ("b", 2))]
    before = [dhcp6.lease(guest) for guest in guests]

    await driver.ensure_ports((stateful("a", 1, f"{PREFIX}a2"), stateful("b", 2, f"{PREFIX}a1")))

    assert [f"{PREFIX}a1", f"{PREFIX}a2"] == before
    assert [f"{PREFIX}a2", f"{PREFIX}a1"] == [dhcp6.lease(guest) for guest in guests]


async def test_ipv6_leases_outlive_a_server_that_died(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(with_ipv6("dhcpv6-stateful"))
    spec = stateful("a", 11, f"{PREFIX}a1")
    dhcp6.lease(await leasing(lab, driver, spec))
    [file] = Path("/run", Names("mn", lab.folder / "network").cloud).glob("*/leases")
    until(lambda: f"{PREFIX}a1" in file.read_text())
    [server] = lab.processes("dnsmasq")
    os.kill(server, signal.SIGKILL)
    until(lambda: not lab.processes("dnsmasq"))

    await driver.ensure_network(with_ipv6("dhcpv6-stateful"))

    until(lambda: f"{PREFIX}a1" in file.read_text())
