"""Trunk ports of the Open vSwitch driver: tagged frames of one guest are other ports' own, on any kernel."""

import frames
import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import PATIENT, Lab, arrives
from ovs_lab import ovs_driver as ovs_driver
from test_linux_trunks import carried

from micronova.errors import DriverError, Rejected
from micronova.network.drivers.ovs.driver import OvsNetworkDriver

pytestmark = pytest.mark.host
MARKER = b"micronova-test-marker"


def tagged(frame: bytes, vlan: int) -> bytes:
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


async def test_tagged_frames_are_of_the_port_with_that_tag(lab: Lab, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(network("net-a"))
    await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
    parent = port("a", 11)
    guest = await plug(lab, driver, parent, gateway="10.9.0.1")
    neighbour = msgspec.structs.replace(port("n", 14, on="net-b"), ips=("10.8.0.14",), leases=())
    other = await plug(lab, driver, neighbour, gateway="10.8.0.1")
    sub = carried(parent)
    hello = frames.udp4((sub.mac, other.mac), ("10.8.0.13", "10.8.0.14"), (7000, 7001), MARKER)
    back = frames.udp4((other.mac, sub.mac), ("10.8.0.14", "10.8.0.13"), (7001, 7000), b"an answer")
    forged = frames.udp4((sub.mac, other.mac), ("10.8.0.99", "10.8.0.14"), (7000, 7001), MARKER)

    await driver.ensure_port(sub)

    with guest.packets() as sender, other.packets() as receiver:
        sender.send(tagged(hello, 5))
        assert arrives(receiver, MARKER, wait=PATIENT)
        receiver.send(back)
        assert arrives(sender, b"an answer", wait=PATIENT)
        for what, frame in {"address": tagged(forged, 5), "tag": tagged(hello, 6), "none": hello}.items():
            sender.send(frame)
            assert not arrives(receiver, MARKER), what
        assert guest.reaches("10.9.0.1")
        assert {parent.id, sub.id, neighbour.id} == {facts.id for facts in await driver.list_ports()}
        await driver.remove_port(sub.id)
        sender.send(tagged(hello, 5))
        assert not arrives(receiver, MARKER)


async def test_a_port_is_not_carried_by_nothing_and_under_no_tag(lab: Lab, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(network("net-a"))
    await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
    missing = port("a", 11)

    with pytest.raises(DriverError, match="not on this host"):
        await driver.ensure_port(carried(missing))
    with pytest.raises(Rejected, match="VLAN"):
        await driver.ensure_port(carried(missing, 4095))

    assert [] == await driver.list_ports()
