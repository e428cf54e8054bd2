"""DHCP options of one port, seen by guests: theirs alone, in place of the subnet's, served when they come and go."""

import contextlib
import ipaddress
import socket
import struct

import msgspec
import pytest
from linux_guests import GATEWAY, network, port
from netlab import Guest, Lab, until

from micronova.network.driver import DhcpOptionSpec, PortSpec, SubnetSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace

pytestmark = pytest.mark.host
PREFIX = "fd00:9::"
DNS_SERVERS = 23


def with_options(spec: PortSpec, **options: str) -> PortSpec:
    given = tuple(DhcpOptionSpec(name=name.replace("_", "-"), value=value) for name, value in options.items())
    return msgspec.structs.replace(spec, dhcp_options=given)


async def test_a_guest_gets_the_options_of_its_port_and_its_neighbour_does_not(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    a, b = with_options(port("a", 11), dns_server="9.9.9.9", mtu="1300", domain_name="own.test"), port("b", 12)
    await driver.ensure_network(network())
    guest, neighbour = (lab.guest(name, device=spec.device, mac=spec.mac) for name, spec in (("a", a), ("b", b)))
    await driver.ensure_ports((a, b))

    lease, other = guest.dhcp(), neighbour.dhcp()

    assert ("10.9.0.11", "9.9.9.9", "1300", "own.test") == tuple(lease[key] for key in ("ip", "dns", "mtu", "domain"))
    assert ("10.9.0.12", GATEWAY, "1400", "lab.test") == tuple(other[key] for key in ("ip", "dns", "mtu", "domain"))


async def test_options_come_change_and_go(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = port("a", 11)
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)
    seen = [guest.dhcp()["dns"]]
    servers = []

    for spec in (with_options(a, dns_server="9.9.9.9"), with_options(a, dns_server="8.8.4.4"), a):
        await driver.ensure_port(spec)
        seen.append(guest.dhcp()["dns"])
        servers.append(lab.processes("dnsmasq"))

    assert [GATEWAY, "9.9.9.9", "8.8.4.4", GATEWAY] == seen
    assert servers[0] == servers[1]
    assert all(len(running) == 1 for running in servers)


async def test_a_blank_option_holds_back_what_the_subnet_says(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = with_options(port("a", 11), router="", classless_static_route="")
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)

    lease = guest.dhcp()

    assert "10.9.0.11" == lease["ip"]
    assert ("", "") == (lease.get("router", ""), lease.get("staticroutes", ""))


def informed(guest: Guest, mac: str, option: int) -> bytes:
    """What DHCPv6 tells who makes its own addresses and asks for an option (RFC 8415, "Information-request")."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            index = socket.if_nametoindex("eth0")
            asking.bind(("::", 546, 0, index))
            asking.settimeout(2)
            who = struct.pack("!HHHH", 1, 10, 3, 1) + bytes.fromhex(mac.replace(":", ""))
            asking.sendto(
                b"\x0b\0\0\7" + who + struct.pack("!HHHHHH", 6, 2, option, 8, 2, 0), ("ff02::1:2", 547, 0, index)
            )
            return asking.recv(2000)[4:]

    for _ in range(10):
        with contextlib.suppress(TimeoutError):
            reply = in_namespace(guest.path, ask)
            while reply:
                kind, length = struct.unpack("!HH", reply[:4])
                if kind == option:
                    return reply[4 : 4 + length]
                reply = reply[4 + length :]
            return b""
    raise AssertionError("nobody answered")


async def test_a_guest_that_makes_its_own_addresses_gets_its_ports_options(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    subnet = SubnetSpec(id="six", cidr=f"{PREFIX}/64", gateway=f"{PREFIX}1", ipv6_mode="dhcpv6-stateless")
    options = (DhcpOptionSpec(name="dns-server", value="[fd00:9::53]", ip_version=6),)
    a = msgspec.structs.replace(port("a", 11), leases=(), dhcp_options=options)
    b = msgspec.structs.replace(port("b", 12), leases=())
    await driver.ensure_network(msgspec.structs.replace(network(), subnets=(*network().subnets, subnet)))
    guest, neighbour = (lab.guest(spec.id, device=spec.device, mac=spec.mac) for spec in (a, b))
    await driver.ensure_ports((a, b))
    for one in (guest, neighbour):
        until(lambda one=one: "fe80::" in (seen := one.run("ip", "-6", "addr")) and "tentative" not in seen, 15)

    told = informed(guest, a.mac, DNS_SERVERS), informed(neighbour, b.mac, DNS_SERVERS)

    assert ipaddress.IPv6Address("fd00:9::53").packed == told[0]
    assert told[0] != told[1]


async def test_options_that_the_server_does_not_understand_harm_nobody(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a, b = with_options(port("a", 11), nosuch="1", mtu="abc", router='"', dns_server="9.9.9.9"), port("b", 12)
    await driver.ensure_network(network())
    guest, neighbour = (lab.guest(spec.id, device=spec.device, mac=spec.mac) for spec in (a, b))
    await driver.ensure_ports((a, b))

    lease, other = guest.dhcp(), neighbour.dhcp()

    assert ("10.9.0.11", "9.9.9.9") == (lease["ip"], lease["dns"])
    assert ("10.9.0.12", GATEWAY) == (other["ip"], other["router"])
