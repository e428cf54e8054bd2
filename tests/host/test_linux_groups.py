"""Security groups of the Linux network driver with real packets: members come and go, connections end or go on."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
from linux_guests import EGRESS, PING, SSH, network, plug, port
from netlab import BRIEF, PATIENT, Guest, Lab, sh, until

from micronova.network.driver import GroupSpec, RuleSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace

pytestmark = pytest.mark.host
FROM_FRIENDS = RuleSpec(direction="ingress", ethertype="IPv4", remote_group="friends")
WEB = RuleSpec(direction="ingress", ethertype="IPv4", protocol="tcp", port_min=80, port_max=80)
UDP = RuleSpec(direction="ingress", ethertype="IPv4", protocol="udp", port_min=5000, port_max=5000)

Ends = tuple[socket.socket, socket.socket]


def friends(*addresses: str) -> GroupSpec:
    return GroupSpec(id="friends", addresses=addresses)


@contextmanager
def connection(server: Guest, client: Guest, address: str, number: int) -> Iterator[Ends]:
    """Both ends of a TCP connection, the client's first."""
    with ExitStack() as stack:
        listener = stack.enter_context(server.listens(number))
        ours = in_namespace(client.path, lambda: socket.create_connection((address, number), timeout=PATIENT))
        stack.enter_context(ours)
        listener.settimeout(PATIENT)
        theirs = stack.enter_context(listener.accept()[0])
        yield ours, theirs


def passes(sender: socket.socket, receiver: socket.socket, *, wait: float = PATIENT) -> bool:
    """Whether a byte comes through in time."""
    receiver.settimeout(wait)
    sender.send(b"x")
    try:
        return receiver.recv(1) == b"x"
    except TimeoutError:
        return False


async def test_only_members_may_come_and_the_list_may_change(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    c = await plug(lab, driver, port("c", 13))
    b = port("b", 12, rules=(*EGRESS, FROM_FRIENDS))
    lab_guest = lab.guest(b.id, device=b.device, mac=b.mac)
    await driver.ensure_port(b, (friends("10.9.0.11"),))
    lab_guest.set_address("10.9.0.12/24")
    first = (a.reaches("10.9.0.12"), c.pings("10.9.0.12"))

    await driver.ensure_ports((), (friends("10.9.0.12/31"),))
    second = (a.pings("10.9.0.12"), c.reaches("10.9.0.12"))
    await driver.ensure_ports((), (friends(),))
    third = (a.pings("10.9.0.12"), c.pings("10.9.0.12"))

    assert [(True, False), (False, True), (False, False)] == [first, second, third]


async def test_members_are_kept_over_a_restart_and_a_flush(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = port("b", 12, rules=(*EGRESS, FROM_FRIENDS))
    lab.guest(b.id, device=b.device, mac=b.mac).set_address("10.9.0.12/24")
    await driver.ensure_port(b, (friends("10.9.0.11"),))
    sh("nft", "flush", "ruleset")

    await driver.init_host()

    assert a.reaches("10.9.0.12")


async def test_a_tightened_rule_ends_connections_it_does_not_allow_and_no_others(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12, rules=(*EGRESS, SSH, WEB)))

    with connection(b, a, "10.9.0.12", 22) as doomed, connection(b, a, "10.9.0.12", 80) as kept:
        before = [passes(*ends) for ends in (doomed, doomed[::-1], kept)]
        await driver.ensure_port(port("b", 12, rules=(*EGRESS, WEB)))

        assert [True, True, True] == before
        assert not passes(*doomed, wait=BRIEF)
        assert not passes(*reversed(doomed), wait=BRIEF)
        assert passes(*kept)
        assert passes(*reversed(kept))


async def test_the_side_that_answers_can_not_go_on_sending(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12, rules=(*EGRESS, SSH)))

    with connection(b, a, "10.9.0.12", 22) as (ours, theirs):
        await driver.ensure_port(port("b", 12, rules=EGRESS))
        passes(theirs, ours)  # the first comes through; that it came is what nobody may tell any more

        assert not passes(theirs, ours, wait=BRIEF)


async def test_a_member_that_leaves_loses_its_connections_and_a_reopened_rule_gives_them_back(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = port("b", 12, rules=(*EGRESS, FROM_FRIENDS))
    guest = lab.guest(b.id, device=b.device, mac=b.mac)
    guest.set_address("10.9.0.12/24")
    await driver.ensure_port(b, (friends("10.9.0.11", "10.9.0.13"),))

    with connection(guest, a, "10.9.0.12", 22) as (ours, theirs):
        await driver.ensure_ports((), (friends("10.9.0.13"),))
        came = passes(ours, theirs, wait=BRIEF)
        await driver.ensure_ports((), (friends("10.9.0.11"),))

        assert not came
        until(lambda: passes(ours, theirs, wait=BRIEF))
        until(lambda: passes(theirs, ours, wait=BRIEF))


async def test_a_tightened_rule_ends_udp_too(lab: Lab, driver: LinuxNetworkDriver) -> None:
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
        server.sendto(b"never", peer)

        assert b"world" == answered
        with pytest.raises(TimeoutError):
            server.recv(10)
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert a.reaches("10.9.0.12")


async def test_an_egress_rule_taken_away_ends_what_the_guest_began(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12))

    with connection(b, a, "10.9.0.12", 22) as ends:
        await driver.ensure_port(port("a", 11, rules=(PING,)))

        assert not passes(*ends, wait=BRIEF)
        assert not passes(*reversed(ends), wait=BRIEF)


async def test_what_no_rule_names_leaves_no_set_and_no_chain(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    before = sh("nft", "list", "ruleset")
    b = port("b", 12, rules=(*EGRESS, FROM_FRIENDS))
    await driver.ensure_port(b, (friends("10.9.0.11", "10.9.0.64/26", "fd00::1"),))
    await driver.ensure_port(port("b", 12, rules=EGRESS))
    await driver.ensure_port(b, (friends("10.9.0.11"),))

    await driver.remove_port(b.id)

    assert before == sh("nft", "list", "ruleset")


async def test_security_is_switched_off_and_on_again(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    closed = port("b", 12, rules=EGRESS)
    await plug(lab, driver, closed)
    before = a.pings("10.9.0.12")

    await driver.ensure_port(msgspec.structs.replace(closed, secured=False))
    off = a.reaches("10.9.0.12")
    await driver.ensure_port(msgspec.structs.replace(closed, secured=True))

    assert (False, True) == (before, off)
    assert not a.pings("10.9.0.12")
