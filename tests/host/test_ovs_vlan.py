"""VLAN networks of the Open vSwitch driver on two hosts with real packets: who is reached, and what stays at home."""

from collections.abc import AsyncIterator

import frames
import msgspec
import pytest
from linux_guests import EGRESS, GATEWAY, PING, SSH, network, port
from netlab import PATIENT, Guest, Lab, arrives, sh, until
from netpair import Pair, Site
from ovs_lab import need_ovs
from ovs_pair import OvsPair
from test_linux_routing import meets

from micronova.errors import DriverError
from micronova.network.driver import NetworkSpec, PortSpec, SegmentSpec
from micronova.network.drivers.served.names import Names, gateway_mac
from micronova.network.drivers.served.segments import HostWires

pytestmark = pytest.mark.host
MARKER = b"micronova-test-marker"
WIRES = HostWires(interfaces={"physnet1": "wire"}, bridges={"lan": "wire"})


@pytest.fixture
async def pair(lab: Lab) -> AsyncIterator[Pair]:
    need_ovs()
    async with OvsPair(lab, WIRES).running() as pair:
        yield pair


def on_vlan(spec: NetworkSpec, vlan: int) -> NetworkSpec:
    segment = SegmentSpec(network_type="vlan", physical_network="physnet1", id=vlan)
    return msgspec.structs.replace(spec, segment=segment)


async def guest(site: Site, spec: NetworkSpec, port: PortSpec, *, gateway: str | None = GATEWAY) -> Guest:
    await site.driver.ensure_network(spec)
    return await site.plug(port, gateway=gateway)


async def test_guests_of_two_hosts_meet_where_rules_allow(pair: Pair) -> None:
    a = await guest(pair.here, on_vlan(network(), 101), port("a", 11))
    b = await guest(pair.there, on_vlan(network(), 101), port("b", 12, rules=(*EGRESS, PING, SSH)))

    with b.listens(80):
        assert a.reaches("10.9.0.12")
        assert "10.9.0.11" == meets(a, b, "10.9.0.12", 22)
        assert not a.connects("10.9.0.12", 80)
        assert "10.9.0.12" == meets(b, a, "10.9.0.11")


async def test_different_vlans_do_not_meet(pair: Pair) -> None:
    a = await guest(pair.here, on_vlan(network(), 101), port("a", 11))
    b = await guest(pair.there, on_vlan(network(), 102), port("b", 12))
    c = await guest(pair.there, on_vlan(network("net-c"), 101), port("c", 13, on="net-c"))

    assert not a.pings("10.9.0.12")
    assert not b.pings("10.9.0.13")
    assert a.reaches("10.9.0.13")
    assert c.reaches("10.9.0.11")


async def test_each_guest_is_served_by_its_own_host(pair: Pair) -> None:
    a, b = port("a", 11), port("b", 12)
    for site in (pair.here, pair.there):
        await site.driver.ensure_network(on_vlan(network(), 101))
    one = await pair.here.boot(a)
    other = await pair.there.boot(b)

    assert "10.9.0.11" == one.dhcp()["ip"]
    assert "10.9.0.12" == other.dhcp()["ip"]
    assert one.reaches(GATEWAY)
    assert other.reaches(GATEWAY)


async def test_nothing_of_the_gateway_crosses(pair: Pair) -> None:
    unsecured = [msgspec.structs.replace(port(name, number), secured=False) for name, number in (("a", 11), ("b", 12))]
    a = await guest(pair.here, on_vlan(network(), 101), unsecured[0])
    b = await guest(pair.there, on_vlan(network(), 101), unsecured[1])
    gateway, everybody = gateway_mac("net-a"), frames.BROADCAST
    forged = {
        "as the gateway": frames.udp4((gateway, everybody), (GATEWAY, "10.9.0.12"), (7000, 7001), MARKER),
        "to the gateway": frames.udp4((a.mac, gateway), ("10.9.0.11", GATEWAY), (7000, 7001), MARKER),
        "a question for it": frames.arp(a.mac, a.mac, "10.9.0.11", GATEWAY) + MARKER,
        "a claim to be it": frames.arp(a.mac, a.mac, GATEWAY, "10.9.0.12") + MARKER,
        "a DHCP request": frames.udp4((a.mac, everybody), ("0.0.0.0", "255.255.255.255"), (68, 67), MARKER),
        "a DHCP offer": frames.udp4((a.mac, everybody), ("10.9.0.11", "255.255.255.255"), (67, 68), MARKER),
    }

    with a.packets() as sender, b.packets() as receiver:
        sender.send(frames.udp4((a.mac, b.mac), ("10.9.0.11", "10.9.0.12"), (7000, 7001), b"honest"))
        assert arrives(receiver, b"honest", wait=PATIENT)
        for what, frame in forged.items():
            sender.send(frame)
            assert not arrives(receiver, MARKER, wait=0.2), what


async def test_a_cut_wire_heals_by_itself(pair: Pair) -> None:
    a = await guest(pair.here, on_vlan(network(), 101), port("a", 11))
    await guest(pair.there, on_vlan(network(), 101), port("b", 12))
    before = a.reaches("10.9.0.12")

    with pair.cut():
        assert not a.pings("10.9.0.12")

    assert before
    until(lambda: a.pings("10.9.0.12"), wait=20)


async def test_a_flat_network_is_on_the_wire_as_it_is(pair: Pair) -> None:
    segment = SegmentSpec(network_type="flat", physical_network="lan")
    flat = msgspec.structs.replace(network(gateway=None), segment=segment)
    a = await guest(pair.here, flat, port("a", 11), gateway=None)
    b = await guest(pair.there, flat, port("b", 12, rules=(*EGRESS, SSH)), gateway=None)

    with b.listens(80):
        assert "10.9.0.11" == meets(a, b, "10.9.0.12", 22)
        assert not a.connects("10.9.0.12", 80)
        assert not a.pings("10.9.0.12")


async def test_a_tag_that_a_guest_puts_on_does_not_lead_to_another_vlan(pair: Pair) -> None:
    segment = SegmentSpec(network_type="flat", physical_network="lan")
    flat = msgspec.structs.replace(network(gateway=None), segment=segment)
    a = await guest(pair.here, flat, msgspec.structs.replace(port("a", 11), secured=False), gateway=None)
    b = await guest(pair.there, on_vlan(network("net-b"), 101), port("b", 12, on="net-b"))
    plain = frames.udp4((a.mac, b.mac), ("10.9.0.11", "10.9.0.12"), (7000, 7001), MARKER)

    with a.packets() as sender, b.packets() as receiver:
        sender.send(plain[:12] + b"\x81\x00\x00\x65" + plain[12:])

        assert not arrives(receiver, MARKER)


async def test_the_last_network_gives_the_interface_back(pair: Pair) -> None:
    await pair.here.driver.ensure_network(on_vlan(network(), 101))
    await pair.here.driver.ensure_network(on_vlan(network("net-b"), 102))
    held = pair.here.run("ip", "-d", "link", "show", "wire")

    await pair.here.driver.remove_network("net-a")
    shared = pair.here.run("ip", "-d", "link", "show", "wire")
    await pair.here.driver.remove_network("net-b")

    assert "promiscuity 1" in held
    assert "promiscuity 1" in shared
    assert "promiscuity 0" in pair.here.run("ip", "-d", "link", "show", "wire")


async def test_an_interface_that_is_not_there_is_told_and_nothing_is_left(pair: Pair) -> None:
    pair.here.run("ip", "link", "set", "wire", "down")
    pair.here.run("ip", "link", "set", "wire", "name", "elsewhere")

    with pytest.raises(DriverError):
        await pair.here.driver.ensure_network(on_vlan(network(), 101))

    assert [] == await pair.here.driver.list_networks()
    assert Names("mn", pair.here.state).namespace("net-a") not in sh("ip", "netns", "list")
    pair.here.run("ip", "link", "set", "elsewhere", "name", "wire")
