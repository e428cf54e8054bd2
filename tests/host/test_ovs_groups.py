"""What guests see of the Linux driver's security groups, they see of the Open vSwitch driver's: the same tests."""

import socket

import pytest
from linux_guests import EGRESS, PING, network, plug, port
from netlab import BRIEF, PATIENT, Lab
from ovs_lab import ovs_driver as ovs_driver
from test_linux_groups import *  # noqa: F403
from test_linux_groups import UDP

from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace


async def test_a_tightened_rule_ends_udp_too(lab: Lab, driver: OvsNetworkDriver) -> None:
    """The first refused packet ends it, and packets of two sides don't overtake each other only on a bridge."""
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12, rules=(*EGRESS, UDP, PING)))
    server = in_namespace(b.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client = in_namespace(a.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    with server, client:
        server.bind(("10.9.0.12", 5000))
        server.settimeout(PATIENT)
        client.settimeout(PATIENT)
        client.connect(("10.9.0.12", 5000))
        client.send(b"hello")
        peer = server.recvfrom(10)[1]
        server.sendto(b"world", peer)
        answered = client.recv(10)
        await driver.ensure_port(port("b", 12, rules=(*EGRESS, PING)))
        server.settimeout(BRIEF)
        client.settimeout(BRIEF)
        client.send(b"again")

        assert b"world" == answered
        with pytest.raises(TimeoutError):
            server.recv(10)
        server.sendto(b"never", peer)
        with pytest.raises(TimeoutError):
            client.recv(10)
