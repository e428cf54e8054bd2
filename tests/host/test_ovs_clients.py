"""Who asks DHCP for what on the Open vSwitch driver, with real packets."""

import struct

import frames
import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import PATIENT, Guest, Lab, arrives
from ovs_lab import ovs_driver as ovs_driver

from micronova.network.drivers.ovs.driver import OvsNetworkDriver

pytestmark = pytest.mark.host
ANSWER_ME, XID = 0x8000, b"\x6d\x6e\x07\x07"
DISCOVER = b"\x63\x82\x53\x63\x35\x01\x01\xff"  # magic cookie, message type 1 (RFC 2132)


def asking(guest: Guest, client: str) -> bytes:
    """A request of the guest, in the name of `client`, to be answered to everybody."""
    head = struct.pack("!BBBB", 1, 1, 6, 0) + XID + struct.pack("!HH", 0, ANSWER_ME) + bytes(16)
    data = head + frames.mac(client).ljust(16, b"\0") + bytes(192) + DISCOVER
    return frames.udp4((guest.mac, frames.BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), data)


async def test_a_guest_asks_for_itself_only(lab: Lab, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(network())
    a, b = [await plug(lab, driver, port(name, number)) for name, number in (("a", 11), ("b", 12))]

    with a.packets() as card:
        card.send(asking(a, b.mac))
        assert not arrives(card, XID + b"\0\0\x80\0" + bytes(4) + b"\x0a\x09", wait=1)
        card.send(asking(a, a.mac))
        assert arrives(card, XID + b"\0\0\x80\0" + bytes(4) + b"\x0a\x09", wait=PATIENT)


async def test_a_guest_without_security_asks_for_whom_it_likes(lab: Lab, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(network())
    a, b = [await plug(lab, driver, port(name, number)) for name, number in (("a", 11), ("b", 12))]
    await driver.ensure_port(msgspec.structs.replace(port("a", 11), secured=False))

    with a.packets() as card:
        card.send(asking(a, b.mac))
        assert arrives(card, XID + b"\0\0\x80\0" + bytes(4) + b"\x0a\x09", wait=PATIENT)
