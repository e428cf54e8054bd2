"""What guests of two hosts see of the Linux driver's VXLAN, they see of the Open vSwitch driver's: the same tests."""

from collections.abc import AsyncIterator

import frames
import msgspec
import pytest
from linux_guests import GATEWAY, port
from netlab import PATIENT, Lab, arrives
from netpair import Pair
from ovs_lab import need_ovs
from ovs_pair import OvsPair
from test_linux_vxlan import *  # noqa: F403
from test_linux_vxlan import MARKER, two_guests

from micronova.network.drivers.served.names import gateway_mac


@pytest.fixture
async def pair(lab: Lab) -> AsyncIterator[OvsPair]:
    need_ovs()
    async with OvsPair(lab).running() as pair:
        yield pair


async def test_nothing_of_the_gateway_crosses(pair: Pair) -> None:
    """What a guest sends to another by way of the gateway does, as this host: that is forwarding."""
    a, b = (msgspec.structs.replace(port(name, number), secured=False) for name, number in (("a", 11), ("b", 12)))
    one, other = await two_guests(pair, a, b)
    gateway, everybody = gateway_mac("net-a"), frames.BROADCAST
    forged = {
        "as the gateway": frames.udp4((gateway, everybody), (GATEWAY, "10.9.0.12"), (7000, 7001), MARKER),
        "to the gateway": frames.udp4((one.mac, gateway), ("10.9.0.11", GATEWAY), (7000, 7001), MARKER),
        "with its address": frames.udp4((one.mac, other.mac), (GATEWAY, "10.9.0.12"), (7000, 7001), MARKER),
        "a question for it": frames.arp(one.mac, one.mac, "10.9.0.11", GATEWAY) + MARKER,
        "a claim to be it": frames.arp(one.mac, one.mac, GATEWAY, "10.9.0.12") + MARKER,
        "metadata": frames.arp(one.mac, one.mac, "10.9.0.11", "169.254.169.254") + MARKER,
        "a DHCP request": frames.udp4((one.mac, everybody), ("0.0.0.0", "255.255.255.255"), (68, 67), MARKER),
        "a DHCP offer": frames.udp4((one.mac, everybody), ("10.9.0.11", "255.255.255.255"), (67, 68), MARKER),
    }

    with one.packets() as sender, other.packets() as receiver:
        sender.send(frames.udp4((one.mac, other.mac), ("10.9.0.11", "10.9.0.12"), (7000, 7001), b"honest"))
        assert arrives(receiver, b"honest", wait=PATIENT)
        for what, frame in forged.items():
            sender.send(frame)
            assert not arrives(receiver, MARKER, wait=0.2), what
