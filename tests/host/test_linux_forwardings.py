"""Port forwardings of the Linux network driver with real packets: some ports of a floating IP lead to guests."""

import socket

import msgspec
import pytest
from netlab import BRIEF, PATIENT, Guest, Lab, arrives
from test_linux_routing import FLOATING, SNAT, guest_on, meets, outside, port_on, routed

from micronova.network.driver import ForwardingSpec, NetworkSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace

pytestmark = pytest.mark.host


def forwarding(outer: tuple[int, int], fixed_ip: str, inner: tuple[int, int], protocol: str = "tcp") -> ForwardingSpec:
    return ForwardingSpec(
        floating_ip=FLOATING, protocol=protocol, outer=outer, fixed_ip=fixed_ip, inner=inner, port_id="any"
    )


def network(*forwardings: ForwardingSpec, floating: dict[str, str] | None = None) -> NetworkSpec:
    return msgspec.structs.replace(routed("net-a", way_out=SNAT, floating=floating), forwardings=forwardings)


def reached(
    client: Guest, server: Guest, outer: int, inner: int, address: str = FLOATING, *, wait: float = PATIENT
) -> bool:
    """Whether who asks for the outer port is connected to the server's inner one in time."""
    with server.listens(inner):
        return client.connects(address, outer, wait=wait)


async def test_ports_of_a_floating_ip_lead_to_different_guests(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(
        network(forwarding((2222, 2222), "10.9.0.11", (22, 22)), forwarding((2223, 2223), "10.9.0.12", (22, 22)))
    )
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-a", "b", 12)
    far = outside(lab)

    assert reached(far, a, 2222, 22)
    assert reached(far, b, 2223, 22)
    assert reached(b, a, 2222, 22)
    assert not reached(far, b, 2222, 22, wait=BRIEF)
    assert not reached(far, a, 22, 22, wait=BRIEF)
    assert not far.pings(FLOATING)
    assert meets(a, far, "198.51.100.2") == "198.51.100.1"


async def test_ranges_lead_port_by_port_or_all_to_one(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(
        network(
            forwarding((3000, 3009), "10.9.0.11", (4000, 4009)),
            forwarding((5000, 5009), "10.9.0.11", (5000, 5009)),
            forwarding((6000, 6009), "10.9.0.11", (80, 80)),
        )
    )
    a = await guest_on(lab, driver, "net-a", "a", 11)
    far = outside(lab)

    assert all(reached(far, a, outer, inner) for outer, inner in ((3000, 4000), (3009, 4009), (5007, 5007), (6004, 80)))
    wrong = ((3010, 4010), (3001, 4002), (6010, 80))
    assert not any(reached(far, a, outer, inner, wait=BRIEF) for outer, inner in wrong)


async def test_udp_and_tcp_of_one_port_are_two_forwardings(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network(forwarding((53, 53), "10.9.0.11", (5353, 5353), "udp")))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    far = outside(lab)

    with a.packets() as wire:
        in_namespace(far.path, lambda: _send(b"forwarded datagram"))

        assert arrives(wire, b"forwarded datagram", wait=PATIENT)
    assert not reached(far, a, 53, 5353, wait=BRIEF)


async def test_a_floating_ip_of_one_guest_and_ports_of_another_share_a_network(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    other = "203.0.113.10"
    await driver.ensure_network(network(forwarding((80, 80), "10.9.0.11", (80, 80)), floating={other: "10.9.0.12"}))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-a", "b", 12)
    far = outside(lab)

    assert reached(far, a, 80, 80)
    assert reached(far, b, 80, 80, other)
    assert far.reaches(other)


async def test_a_forwarding_that_moved_leaves_nothing_behind(lab: Lab, driver: LinuxNetworkDriver) -> None:
    first, second = (forwarding((80, 80), ip, (80, 80)) for ip in ("10.9.0.11", "10.9.0.12"))
    await driver.ensure_network(network(first))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-a", "b", 12)
    far = outside(lab)
    with (
        a.listens(80) as listener,
        in_namespace(far.path, lambda: socket.create_connection((FLOATING, 80), PATIENT)) as client,
    ):
        listener.settimeout(PATIENT)
        server = listener.accept()[0]
        server.settimeout(PATIENT)
        client.send(b"x")
        assert b"x" == server.recv(1)

        await driver.ensure_network(network(second))

        server.settimeout(BRIEF)
        client.send(b"y")
        with server, pytest.raises(TimeoutError):
            server.recv(1)
    assert reached(far, b, 80, 80)
    await driver.ensure_network(network())
    assert not reached(far, b, 80, 80, wait=BRIEF)
    await driver.remove_port(port_on("net-a", "a", 11).id)


def _send(payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(payload, (FLOATING, 53))
