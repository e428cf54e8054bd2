"""The Linux network driver with real packets: what guests get, may send, may reach, and what they may not."""

import os
import signal
import struct

import frames
import msgspec
import pytest
from linux_guests import EGRESS, GATEWAY, PING, SSH, network, plug, port
from netlab import OUTSIDE, PATIENT, UPLINK, Guest, Lab, arrives, connects, reaches, until

from micronova.network.driver import Lease, RuleSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.filters import link_local
from micronova.network.drivers.served.names import gateway_mac

pytestmark = pytest.mark.host
MARKER = b"micronova-test-marker"


async def test_dhcp_gives_address_routes_mtu_and_names(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a, b = port("a", 11), port("b", 12)
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_ports((a, b))

    lease = guest.dhcp()

    assert "10.9.0.11" == lease["ip"]
    assert GATEWAY == lease["router"]
    assert GATEWAY == lease["dns"]
    assert "1400" == lease["mtu"]
    assert "lab.test" == lease["domain"]
    assert f"169.254.169.254/32 {GATEWAY}" in lease["staticroutes"]
    told = guest.run("busybox", "nslookup", "port-b.lab.test", GATEWAY)
    assert "10.9.0.12" in told


async def test_a_guest_that_has_no_lease_gets_no_address(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = msgspec.structs.replace(port("a", 11), leases=())
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)

    assert {} == guest.dhcp(tries=2)


async def test_a_lease_that_comes_later_is_served_without_a_restart(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a, b = port("a", 11), port("b", 12)
    await driver.ensure_network(network())
    await driver.ensure_port(a)
    guest = lab.guest("b", device=b.device, mac=b.mac)
    [server] = lab.processes("dnsmasq")

    await driver.ensure_port(b)

    assert "10.9.0.12" == guest.dhcp()["ip"]
    assert [server] == lab.processes("dnsmasq")


async def test_another_address_is_served_without_a_restart(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = port("a", 11)
    moved = msgspec.structs.replace(a, ips=("10.9.0.50",), leases=(Lease(ip="10.9.0.50", hostname="renamed"),))
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)
    before = guest.dhcp()["ip"]
    guest.run("ip", "addr", "flush", "dev", "eth0")
    [server] = lab.processes("dnsmasq")

    await driver.ensure_port(moved)

    assert ("10.9.0.11", "10.9.0.50") == (before, guest.dhcp()["ip"])
    assert "10.9.0.50" in guest.run("busybox", "nslookup", "renamed.lab.test", GATEWAY)
    assert [server] == lab.processes("dnsmasq")


async def test_an_address_goes_to_its_next_owner_at_once(lab: Lab, driver: LinuxNetworkDriver) -> None:
    lease = Lease(ip="10.9.0.11", hostname="next")
    first, second = port("a", 11), msgspec.structs.replace(port("b", 12), ips=("10.9.0.11",), leases=(lease,))
    await driver.ensure_network(network())
    guest = lab.guest("a", device=first.device, mac=first.mac)
    await driver.ensure_port(first)
    had = guest.dhcp()["ip"]

    await driver.remove_port(first.id)
    successor = lab.guest("b", device=second.device, mac=second.mac)
    await driver.ensure_port(second)

    assert had == successor.dhcp()["ip"]


async def test_what_rules_allow_passes_and_the_rest_is_silence(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12, rules=(*EGRESS, PING, SSH)))
    c = await plug(lab, driver, port("c", 13, rules=(PING,)))

    with b.listens(22), b.listens(80), a.listens(80):
        assert a.reaches("10.9.0.12")
        assert a.reaches("10.9.0.12", 22)
        assert not a.connects("10.9.0.12", 80)
        assert b.reaches("10.9.0.11", 80)
        assert a.reaches("10.9.0.13")
        assert not c.pings("10.9.0.11")
        assert not c.connects("10.9.0.11", 80)


async def test_without_rules_nothing_passes_but_dhcp_and_metadata(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = port("a", 11, rules=())
    await driver.ensure_network(network())
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)
    metadata = await driver.metadata_socket("net-a")
    assert metadata is not None

    with metadata:
        assert "10.9.0.11" == guest.dhcp()["ip"]
        assert guest.reaches("169.254.169.254", 80)
        assert not guest.pings(GATEWAY)
        assert not guest.connects(OUTSIDE, 53)


async def test_other_rules_take_effect_and_connections_go_on(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12, rules=(*EGRESS, SSH)))
    before = (a.pings("10.9.0.12"), a.reaches("10.9.0.1"))

    await driver.ensure_port(port("b", 12, rules=(*EGRESS, PING)))

    with b.listens(22):
        assert (False, True) == before
        assert a.reaches("10.9.0.12")
        assert not a.connects("10.9.0.12", 22)


async def test_remotes_limit_who_may_come(lab: Lab, driver: LinuxNetworkDriver) -> None:
    only_a = RuleSpec(direction="ingress", ethertype="IPv4", remotes=("10.9.0.11/32", "10.9.0.10/31"))
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    c = await plug(lab, driver, port("c", 13))
    await plug(lab, driver, port("b", 12, rules=(*EGRESS, only_a)))

    assert a.reaches("10.9.0.12")
    assert not c.pings("10.9.0.12")


async def test_forged_frames_are_dropped(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12))
    other = "fa:16:3e:66:66:66"
    ports = (7000, 7001)
    forged = {
        "another MAC": frames.udp4((other, b.mac), ("10.9.0.11", "10.9.0.12"), ports, MARKER),
        "another IP": frames.udp4((a.mac, b.mac), ("10.9.0.99", "10.9.0.12"), ports, MARKER),
        "a DHCP server": frames.udp4((a.mac, frames.BROADCAST), ("10.9.0.11", "255.255.255.255"), (67, 68), MARKER),
        "another ethertype": frames.ethernet(a.mac, b.mac, 0x8100, b"\x00\x01\x08\x00" + MARKER),
        "loopback test": frames.ethernet(a.mac, b.mac, 0x9000, MARKER),
    }

    with a.packets() as sender, b.packets() as receiver:
        sender.send(frames.udp4((a.mac, b.mac), ("10.9.0.11", "10.9.0.12"), ports, b"honest"))
        assert arrives(receiver, b"honest", wait=PATIENT)
        for frame in forged.values():
            sender.send(frame)
        assert not arrives(receiver, MARKER)


async def test_forged_arp_is_dropped(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12))
    other = "fa:16:3e:66:66:66"

    with a.packets() as sender, b.packets() as receiver:
        sender.send(frames.arp(a.mac, a.mac, "10.9.0.11", "10.9.0.200"))
        assert arrives(receiver, bytes([10, 9, 0, 200]), wait=PATIENT)
        sender.send(frames.arp(a.mac, a.mac, GATEWAY, "10.9.0.201"))
        sender.send(frames.arp(a.mac, other, "10.9.0.11", "10.9.0.201"))
        sender.send(frames.arp(other, other, "10.9.0.11", "10.9.0.201"))
        assert not arrives(receiver, bytes([10, 9, 0, 201]))


async def test_forged_ipv6_is_dropped(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    b = await plug(lab, driver, port("b", 12))
    gateway = link_local(gateway_mac("net-a")).packed
    own, all_nodes, ours = str(link_local(a.mac)), "ff02::1", (a.mac, "33:33:00:00:00:01")
    forged = [
        frames.icmp6(ours, (own, all_nodes), 134, bytes(12) + MARKER),
        frames.icmp6(ours, ("fe80::bad", all_nodes), 128, bytes(4) + MARKER),
        frames.icmp6(ours, ("fd00::5", all_nodes), 128, bytes(4) + MARKER),
        frames.icmp6(ours, (own, all_nodes), 137, bytes(36) + MARKER),
        frames.icmp6(ours, (own, all_nodes), 136, struct.pack("!I", 0x20000000) + gateway + MARKER),
        frames.icmp6(ours, (own, all_nodes), 136, struct.pack("!I", 0x20000000) + b"\xfd" + bytes(15) + MARKER),
        frames.icmp6(ours, (str(link_local(gateway_mac("net-a"))), all_nodes), 135, bytes(20) + MARKER),
        frames.icmp6(ours, ("::", all_nodes), 135, bytes(4) + gateway + MARKER),
    ]

    with a.packets() as sender, b.packets() as receiver:
        sender.send(frames.icmp6(ours, (own, all_nodes), 128, bytes(4) + b"honest"))
        assert arrives(receiver, b"honest", wait=PATIENT)
        for frame in forged:
            sender.send(frame)
        assert not arrives(receiver, MARKER)
    ping = ("busybox", "ping6", "-c1", "-W1", f"{link_local(b.mac)}%eth0")
    until(lambda: " 0% packet loss" in a.run(*ping, check=False))


async def test_an_unsecured_port_may_send_what_it_likes(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, msgspec.structs.replace(port("a", 11, rules=()), secured=False))
    b = await plug(lab, driver, msgspec.structs.replace(port("b", 12, rules=()), secured=False))

    with a.packets() as sender, b.packets() as receiver:
        sender.send(frames.udp4(("fa:16:3e:66:66:66", b.mac), ("10.9.0.99", "10.9.0.12"), (1, 2), MARKER))
        assert arrives(receiver, MARKER, wait=PATIENT)
    assert a.reaches("10.9.0.12")


async def test_an_allowed_pair_may_be_used(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    spec = port("a", 11)
    pairs = ((spec.mac, "10.9.0.64/26"), ("fa:16:3e:77:77:77", "10.9.0.200/32"))
    a = await plug(lab, driver, msgspec.structs.replace(spec, allowed_pairs=pairs))
    b = await plug(lab, driver, port("b", 12))

    with a.packets() as sender, b.packets() as receiver:
        for source, ip in ((a.mac, "10.9.0.70"), ("fa:16:3e:77:77:77", "10.9.0.200")):
            sender.send(frames.udp4((source, b.mac), (ip, "10.9.0.12"), (1, 2), MARKER))
            assert arrives(receiver, MARKER, wait=PATIENT)
        sender.send(frames.udp4(("fa:16:3e:77:77:77", b.mac), ("10.9.0.70", "10.9.0.12"), (1, 2), MARKER))
        assert not arrives(receiver, MARKER)


async def test_guests_reach_the_outside_as_the_host(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    outside = Guest(lab.outside, lab.folder / "none", "")

    assert a.reaches(GATEWAY)
    assert a.reaches(OUTSIDE)
    with outside.listens(80) as listener:
        assert a.reaches(OUTSIDE, 80)
        listener.settimeout(PATIENT)
        connection, peer = listener.accept()
        connection.close()
        assert UPLINK == peer[0]


async def test_the_host_reaches_guests_as_rules_allow_but_guests_not_the_host(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11, rules=(*EGRESS, SSH)))
    host = Guest(lab.path("host"), lab.folder / "none", "")

    with a.listens(22), a.listens(80), host.listens(9999):
        assert reaches(lab.path("host"), "10.9.0.11", 22)
        assert not connects(lab.path("host"), "10.9.0.11", 80)
        assert not a.connects(UPLINK, 9999)
        assert not a.pings(UPLINK)


async def test_the_outside_does_not_reach_guests(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    outside = Guest(lab.outside, lab.folder / "none", "")
    outside.run("ip", "route", "add", "10.9.0.0/24", "via", UPLINK)

    with a.listens(22):
        assert not outside.connects("10.9.0.11", 22)
        assert not outside.pings("10.9.0.11")


async def test_networks_do_not_reach_each_other(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
    a = await plug(lab, driver, port("a", 11))
    b = msgspec.structs.replace(port("b", 12, on="net-b"), ips=("10.8.0.12",))
    other = await plug(lab, driver, b, gateway="10.8.0.1")

    with other.listens(22):
        assert reaches(lab.path("host"), "10.8.0.12", 22)
        assert not a.pings("10.8.0.12")
        assert not a.connects("10.8.0.12", 22)
        assert other.reaches("10.8.0.1")


async def test_networks_with_the_same_addresses_live_side_by_side(lab: Lab, driver: LinuxNetworkDriver) -> None:
    guests, sockets = [], []
    for name in ("a", "b"):
        await driver.ensure_network(network(f"net-{name}"))
        guests.append(await plug(lab, driver, port(f"{name}1", 11, on=f"net-{name}")))
        await plug(lab, driver, port(f"{name}2", 12, on=f"net-{name}"))
        sockets.append(await driver.metadata_socket(f"net-{name}"))

    for guest, mine, other in ((guests[0], *sockets), (guests[1], *reversed(sockets))):
        assert mine is not None
        assert other is not None
        assert guest.reaches("10.9.0.12")
        assert guest.reaches(OUTSIDE)
        assert guest.reaches("169.254.169.254", 80)
        mine.settimeout(PATIENT)
        other.settimeout(0.1)
        connection, peer = mine.accept()
        connection.close()
        assert "10.9.0.11" == peer[0]
        with pytest.raises(TimeoutError):
            other.accept()
    for socket in sockets:
        assert socket is not None
        socket.close()


async def test_the_route_passes_on_when_the_first_of_two_equal_networks_goes(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    for name in ("a", "b"):
        await driver.ensure_network(network(f"net-{name}"))
    guest = await plug(lab, driver, port("b1", 11, on="net-b"))

    with guest.listens(22):
        before = connects(lab.path("host"), "10.9.0.11", 22)
        await driver.remove_network("net-a")
        await driver.ensure_network(network("net-b"))

        assert not before
        assert reaches(lab.path("host"), "10.9.0.11", 22)


async def test_a_dead_dhcp_server_is_healed_while_connections_go_on(lab: Lab, driver: LinuxNetworkDriver) -> None:
    a = port("a", 11)
    spec = network()
    await driver.ensure_network(spec)
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)
    for pid in lab.processes("dnsmasq"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not lab.processes("dnsmasq"))

    await driver.ensure_network(spec)

    assert "10.9.0.11" == guest.dhcp()["ip"]


async def test_a_network_without_a_gateway_has_dhcp_and_metadata_and_no_way_out(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    a = port("a", 11)
    await driver.ensure_network(network(gateway=None))
    guest = lab.guest("a", device=a.device, mac=a.mac)
    await driver.ensure_port(a)
    metadata = await driver.metadata_socket("net-a")
    assert metadata is not None

    with metadata:
        lease = guest.dhcp()

        assert "10.9.0.11" == lease["ip"]
        assert "router" not in lease
        assert guest.reaches("169.254.169.254", 80)
        assert not guest.pings(OUTSIDE)


async def test_a_network_without_nat_stays_inside(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(msgspec.structs.replace(network(), nat=False))
    a = await plug(lab, driver, port("a", 11))

    with a.listens(22):
        assert not a.pings(OUTSIDE)
        assert reaches(lab.path("host"), "10.9.0.11", 22)


async def test_a_port_that_is_down_hears_nothing(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network())
    a = await plug(lab, driver, port("a", 11))
    await plug(lab, driver, port("b", 12))

    await driver.ensure_port(msgspec.structs.replace(port("b", 12), up=False))
    down = a.pings("10.9.0.12")
    await driver.ensure_port(port("b", 12))

    assert not down
    until(lambda: a.pings("10.9.0.12"))
