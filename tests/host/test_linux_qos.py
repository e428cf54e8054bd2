"""QoS of the Linux network driver with real packets: what a guest sends and gets is limited and marked, also live."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import Guest, Lab, sh, until
from test_linux_routing import FLOATING, SNAT, guest_on, outside, routed

from micronova.network.driver import FloatingSpec, PortSpec, QosSpec, RateSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace

pytestmark = pytest.mark.host
SLOW = RateSpec(kbps=4000, burst_kbit=400)
BYTES = 4_000_000 // 8
SECONDS = 3.0
UNLIMITED = 20 * BYTES


@pytest.fixture(autouse=True)
def able(lab: Lab) -> None:
    """Skip where the kernel has no token bucket."""
    sh("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
    bucket = ("tbf", "rate", "1mbit", "burst", "10kb", "limit", "10kb")
    told = sh("tc", "qdisc", "add", "dev", "probe0", "root", *bucket, check=False)
    there = "tbf" in sh("tc", "qdisc", "show", "dev", "probe0", check=False)
    sh("ip", "link", "delete", "probe0")
    if not there:
        pytest.skip(f"this kernel has no sch_tbf: {told}")


def rate(sender: Guest, receiver: Guest, address: str) -> float:
    """Bytes a second that a TCP connection carries over some seconds."""
    with receiver.listens(5001) as listener, pushing(sender, address):
        listener.settimeout(5)
        with listener.accept()[0] as stream:
            stream.settimeout(0.5)
            got, start = 0, time.monotonic()
            while (past := time.monotonic() - start) < SECONDS:
                try:
                    got += len(stream.recv(1 << 20))
                except TimeoutError:
                    continue
    return got / past


@contextmanager
def pushing(sender: Guest, address: str):  # type: ignore[no-untyped-def]
    """Somebody sends as much as he can."""
    client = in_namespace(sender.path, lambda: socket.create_connection((address, 5001), timeout=5))

    def push() -> None:
        try:
            while True:
                client.send(bytes(1 << 16))
        except OSError:
            return

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):  # the other side may have ended it
            client.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=20)
        client.close()


def with_qos(spec: PortSpec, **qos: object) -> PortSpec:
    return msgspec.structs.replace(spec, qos=QosSpec(**qos))  # type: ignore[arg-type]


async def test_what_a_guest_gets_is_limited_and_set_free_while_it_runs(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, with_qos(port("a", 11), ingress=SLOW), gateway="10.9.0.1")
    b = await plug(lab, driver, port("b", 12), gateway="10.9.0.1")

    limited = rate(b, a, "10.9.0.11")
    other_way = rate(a, b, "10.9.0.12")
    await driver.ensure_port(port("a", 11))
    freed = rate(b, a, "10.9.0.11")

    assert BYTES / 4 < limited < BYTES * 2
    assert other_way > UNLIMITED
    assert freed > UNLIMITED


async def test_what_a_guest_gets_never_waits_behind_much(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    await plug(lab, driver, with_qos(port("a", 11), ingress=SLOW), gateway="10.9.0.1")
    b = await plug(lab, driver, port("b", 12), gateway="10.9.0.1")
    waiting: list[int] = []

    def flood() -> bool:
        in_namespace(b.path, lambda: [_send("10.9.0.11", bytes(1200)) for _ in range(400)])
        waiting.append(_backlog(port("a", 11).device))
        return waiting[-1] > 0

    until(flood)

    assert 0 < waiting[-1] <= 1 << 17


async def test_what_a_guest_sends_is_limited_as_soon_as_it_is_told(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11), gateway="10.9.0.1")
    b = await plug(lab, driver, port("b", 12), gateway="10.9.0.1")
    free = rate(a, b, "10.9.0.12")

    await driver.ensure_port(with_qos(port("a", 11), egress=SLOW))
    limited, other_way = rate(a, b, "10.9.0.12"), rate(b, a, "10.9.0.11")

    assert free > UNLIMITED
    assert BYTES / 10 < limited < BYTES * 2.5
    assert other_way > BYTES * 4  # its acknowledgements are limited too


async def test_what_a_guest_sends_is_marked(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, with_qos(port("a", 11), dscp=26), gateway="10.9.0.1")
    b = await plug(lab, driver, port("b", 12), gateway="10.9.0.1")

    with b.packets() as wire:
        wire.settimeout(5)
        in_namespace(a.path, lambda: _send("10.9.0.12", b"marked datagram"))
        frame = next(frame for frame in iter(lambda: wire.recv(2000), b"") if b"marked datagram" in frame)

    assert 26 == frame[15] >> 2
    assert 0xFFFF == _sum(frame[14:34])


async def test_a_limited_port_is_unlimited_again_when_it_is_given_back(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    await plug(lab, driver, with_qos(port("a", 11), ingress=SLOW, egress=SLOW, dscp=8))
    device = port("a", 11).device
    there = sh("tc", "qdisc", "show", "dev", device)

    await driver.ensure_port(with_qos(port("a", 11), ingress=RateSpec(kbps=8000)))
    changed = sh("tc", "qdisc", "show", "dev", device)
    await driver.remove_port(port("a", 11).id)

    assert (1, 1) == (there.count("tbf"), there.count("rate 4Mbit"))
    assert (1, 1) == (changed.count("tbf"), changed.count("rate 8Mbit"))
    assert "tbf" not in sh("tc", "qdisc", "show", "dev", device)


async def test_what_passes_by_a_floating_ip_is_limited(lab: Lab, driver: LinuxNetworkDriver) -> None:
    base = routed("net-a", way_out=SNAT)
    held = FloatingSpec(
        floating_ip=FLOATING, fixed_ip="10.9.0.11", port_id="any", qos=QosSpec(ingress=SLOW, egress=SLOW)
    )
    await driver.ensure_network(msgspec.structs.replace(base, floating=(held,)))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    near = await guest_on(lab, driver, "net-a", "n", 12)
    far = outside(lab)

    assert BYTES / 10 < rate(far, a, FLOATING) < BYTES * 2.5
    assert rate(near, a, "10.9.0.11") > UNLIMITED


def _backlog(device: str) -> int:
    """Bytes in the interface's queue."""
    return int(json.loads(sh("tc", "-s", "-j", "qdisc", "show", "dev", device))[0]["backlog"])


def _send(address: str, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(payload, (address, 9))


def _sum(header: bytes) -> int:
    """The Internet checksum's sum over a header with its checksum: all ones when that is right."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
