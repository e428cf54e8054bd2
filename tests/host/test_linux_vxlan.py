"""VXLAN networks of the Linux network driver on two hosts with real packets: who is reached, and who serves whom."""

from collections.abc import AsyncIterator

import frames
import msgspec
import pytest
from linux_guests import EGRESS, GATEWAY, PING, SSH, network, port
from netlab import BRIEF, PATIENT, Guest, Lab, arrives, steady, until
from netpair import THERE, Pair, Site, tunnel
from test_linux_routing import SNAT, meets, port_on, routed

from micronova.errors import DriverError, Rejected
from micronova.network.driver import NetworkSpec, PortSpec, TunnelPeer
from micronova.network.drivers.served.names import Names, gateway_mac

pytestmark = pytest.mark.host
MARKER = b"micronova-test-marker"
FLOATING = "192.0.2.77"


@pytest.fixture
async def pair(lab: Lab) -> AsyncIterator[Pair]:
    async with Pair(lab).running() as pair:
        yield pair


async def two_guests(pair: Pair, a: PortSpec, b: PortSpec, *specs: NetworkSpec) -> tuple[Guest, Guest]:
    """Guest a here, guest b there."""
    await pair.ensure(*(specs or (network(),)), ports={pair.here: [a], pair.there: [b]})
    gateways = {spec.id: spec.subnets[0].gateway for spec in (*specs, network())}
    one = await pair.here.plug(a, gateway=gateways[a.network_id])
    return one, await pair.there.plug(b, gateway=gateways[b.network_id])


def leads_to(site: Site, network_id: str = "net-a") -> list[str]:
    """The tunnel's entries on this host: MAC and peer."""
    uplink = Names("mn", site.state).uplink(network_id)
    lines = site.run("bridge", "fdb", "show", "dev", uplink).splitlines()
    return sorted(" ".join(line.split()[:3]) for line in lines if " dst " in line)


async def test_guests_of_two_hosts_meet_where_rules_allow(pair: Pair) -> None:
    a, b = await two_guests(pair, port("a", 11), port("b", 12, rules=(*EGRESS, PING, SSH)))

    with b.listens(80):
        assert a.reaches("10.9.0.12")
        assert "10.9.0.11" == meets(a, b, "10.9.0.12", 22)
        assert not a.connects("10.9.0.12", 80)
        assert "10.9.0.12" == meets(b, a, "10.9.0.11")


async def test_large_packets_pass_between_hosts(pair: Pair) -> None:
    a, _ = await two_guests(pair, port("a", 11), port("b", 12))

    told = a.run("busybox", "ping", "-c1", "-W10", "-s", "1372", "10.9.0.12", check=False)

    assert " 0% packet loss" in told


async def test_each_guest_is_served_by_its_own_host(pair: Pair) -> None:
    a, b = port("a", 11), port("b", 12)
    await pair.ensure(network(), ports={pair.here: [a], pair.there: [b]})
    guests = {pair.here: await pair.here.boot(a), pair.there: await pair.there.boot(b)}
    sockets = {site: await site.driver.metadata_socket("net-a") for site in guests}

    with pair.cut():
        for site, spec in ((pair.here, a), (pair.there, b)):
            lease = guests[site].dhcp()
            assert (spec.ips[0], GATEWAY) == (lease["ip"], lease["serverid"])
            assert guests[site].reaches(GATEWAY)
            assert guests[site].reaches("169.254.169.254", 80)
    for listener in sockets.values():
        assert listener is not None
        listener.close()


async def test_a_cut_wire_heals_by_itself(pair: Pair) -> None:
    a, _ = await two_guests(pair, port("a", 11), port("b", 12))

    with pair.cut():
        during = a.pings("10.9.0.12")

    assert not during
    until(lambda: a.pings("10.9.0.12"))


async def test_nothing_of_the_gateway_crosses(pair: Pair) -> None:
    open_port = msgspec.structs.replace(port("a", 11), secured=False)
    a, b = await two_guests(pair, open_port, msgspec.structs.replace(port("b", 12), secured=False))
    gateway, other = gateway_mac("net-a"), "fa:16:3e:77:77:77"
    all_nodes = ("ff02::1", "33:33:00:00:00:01")
    forged = {
        "as the gateway": frames.udp4((gateway, b.mac), (GATEWAY, "10.9.0.12"), (7000, 7001), MARKER),
        # To nobody: what is for a guest, the gateway may rightly forward to it.
        "to the gateway": frames.udp4((a.mac, gateway), ("10.9.0.11", "10.9.0.99"), (7000, 7001), MARKER),
        "with its address": frames.udp4((a.mac, b.mac), (GATEWAY, "10.9.0.12"), (7000, 7001), MARKER),
        "a question for it": frames.arp(a.mac, a.mac, "10.9.0.11", GATEWAY) + MARKER,
        "a claim to be it": frames.arp(other, other, GATEWAY, "10.9.0.12") + MARKER,
        "metadata": frames.arp(a.mac, a.mac, "10.9.0.11", "169.254.169.254") + MARKER,
        "a DHCP request": frames.udp4((a.mac, frames.BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), MARKER),
        "a DHCP offer": frames.udp4((a.mac, frames.BROADCAST), ("10.9.0.11", "255.255.255.255"), (67, 68), MARKER),
    }

    with a.packets() as sender, b.packets() as receiver:
        honest = frames.udp4((a.mac, b.mac), ("10.9.0.11", "10.9.0.12"), (7000, 7001), b"honest")
        sender.send(honest)
        assert arrives(receiver, b"honest", wait=PATIENT)
        for what, frame in forged.items():
            sender.send(frame)
            assert not arrives(receiver, MARKER, wait=0.2), what
        solicit = frames.icmp6((a.mac, all_nodes[1]), ("fe80::5", all_nodes[0]), 133, bytes(4) + MARKER)
        sender.send(solicit)
        assert arrives(receiver, MARKER, wait=PATIENT)  # without IPv6 of ours guests may advertise to each other


async def test_no_frame_with_the_gateways_mac_is_on_the_wire(pair: Pair) -> None:
    a, b = port_on("net-a", "a", 11), port_on("net-b", "b", 12)
    far = pair.there
    one, two = await two_guests(pair, a, b, routed("net-a", "net-b"), routed("net-b", "net-a"))
    macs = [frames.mac(gateway_mac(id)) for id in ("net-a", "net-b")]

    with Guest(far.path, pair.lab.folder / "none", "").packets("wire") as wire:
        assert one.reaches("10.8.0.12")
        assert "10.9.0.11" == meets(one, two, "10.8.0.12")
        wire.settimeout(0.3)
        seen = []
        try:
            while True:
                seen.append(wire.recv(65535))
        except TimeoutError:
            pass

    inner = [frame[50:] for frame in seen if frame[36:38] == (4789).to_bytes(2, "big")]
    assert len(inner) > 4
    assert [] == [frame for frame in inner if any(mac in frame[:12] for mac in macs)]


async def test_a_router_joins_guests_of_two_hosts_both_ways(pair: Pair) -> None:
    a, b = port_on("net-a", "a", 11), port_on("net-b", "b", 12)
    one, two = await two_guests(pair, a, b, routed("net-a", "net-b"), routed("net-b", "net-a"))

    assert one.reaches("10.8.0.12")
    assert two.reaches("10.9.0.11")
    assert "10.9.0.11" == meets(one, two, "10.8.0.12")
    assert "10.8.0.12" == meets(two, one, "10.9.0.11")


async def test_rules_hold_between_networks_and_hosts(pair: Pair) -> None:
    a, b = port_on("net-a", "a", 11), port_on("net-b", "b", 12, rules=(*EGRESS, PING))
    one, two = await two_guests(pair, a, b, routed("net-a", "net-b"), routed("net-b", "net-a"))

    assert one.reaches("10.8.0.12")
    assert meets(one, two, "10.8.0.12", wait=BRIEF) is None
    assert "10.8.0.12" == meets(two, one, "10.9.0.11")


async def test_a_floating_ip_is_met_from_another_host(pair: Pair) -> None:
    a, b = port("a", 11), port("b", 12)
    plain = routed("net-a", way_out=SNAT)
    one, two = await two_guests(pair, a, b, plain)
    segment = tunnel(pair.there, pair.here, 1001, [a])
    held = routed("net-a", way_out=SNAT, floating={FLOATING: "10.9.0.12"})

    await pair.there.driver.ensure_network(msgspec.structs.replace(held, segment=segment))

    assert "192.0.2.1" == meets(one, two, FLOATING)
    wire = Guest(pair.here.path, pair.lab.folder / "none", "")
    assert FLOATING == meets(two, wire, "192.0.2.1")
    with two.listens(80):
        assert wire.reaches(FLOATING, 80)


async def test_peers_come_and_go_and_the_tunnel_follows(pair: Pair) -> None:
    a, b = port("a", 11), port("b", 12)
    one, _ = await two_guests(pair, a, b)
    segment = tunnel(pair.here, pair.there, 1001, [b])
    before = leads_to(pair.here)
    third = TunnelPeer(address="192.0.2.9", macs=("fa:16:3e:00:00:63",))

    await pair.here.driver.ensure_network(
        msgspec.structs.replace(network(), segment=msgspec.structs.replace(segment, peers=(*segment.peers, third)))
    )
    more = leads_to(pair.here)
    reached = one.reaches("10.9.0.12")
    await pair.here.driver.ensure_network(
        msgspec.structs.replace(network(), segment=msgspec.structs.replace(segment, peers=()))
    )

    assert [f"00:00:00:00:00:00 dst {THERE}", f"{b.mac} dst {THERE}"] == before
    assert sorted([*before, "00:00:00:00:00:00 dst 192.0.2.9", "fa:16:3e:00:00:63 dst 192.0.2.9"]) == more
    assert reached
    assert [] == leads_to(pair.here)
    until(lambda: not one.pings("10.9.0.12"))


async def test_a_guest_that_moved_is_found_on_its_new_host(pair: Pair) -> None:
    a, b = port("a", 11), port("b", 12)
    one, two = await two_guests(pair, a, b)
    before = one.reaches("10.9.0.12")
    await pair.there.driver.remove_port(b.id)
    pair.there.run("ip", "link", "delete", b.device)

    await pair.ensure(network(), ports={pair.here: [a, b], pair.there: []})
    moved = await pair.here.plug(msgspec.structs.replace(b, id="port-moved"), gateway=GATEWAY)

    assert before
    assert moved.mac == two.mac
    until(lambda: one.pings("10.9.0.12"))


async def test_a_segment_that_somebody_else_has_is_told_and_nothing_is_left(pair: Pair, lab: Lab) -> None:
    site = pair.here
    spec = msgspec.structs.replace(network(), segment=tunnel(site, pair.there, 77, []))
    site.run("ip", "link", "add", "theirs", "type", "vxlan", "id", "77", "dstport", "4789", "local", site.address)
    before = (steady(site.run("ip", "-o", "link")), site.run("nft", "list", "ruleset"), steady(site.run("ip", "route")))

    with pytest.raises(DriverError, match="VXLAN 77 is in use"):
        await site.driver.ensure_network(spec)

    assert [] == await site.driver.list_networks()
    assert before == (
        steady(site.run("ip", "-o", "link")),
        site.run("nft", "list", "ruleset"),
        steady(site.run("ip", "route")),
    )
    assert not Names("mn", site.state).namespace_path("net-a").exists()


@pytest.mark.parametrize("wrong", [{"id": None}, {"id": 2**24}, {"local": "x"}, {"network_type": "gre"}])
async def test_a_segment_that_can_not_be_is_rejected(pair: Pair, wrong: dict[str, object]) -> None:
    segment = msgspec.structs.replace(tunnel(pair.here, pair.there, 5, []), **wrong)

    with pytest.raises(Rejected):
        await pair.here.driver.ensure_network(msgspec.structs.replace(network(), segment=segment))

    assert [] == await pair.here.driver.list_networks()


async def test_removing_leaves_nothing_of_the_tunnel(pair: Pair) -> None:
    site = pair.here
    before = (steady(site.run("ip", "-br", "link")), site.run("nft", "list", "ruleset"))
    spec = msgspec.structs.replace(network(), segment=tunnel(site, pair.there, 5, [port("b", 12)]))
    for _ in range(2):
        await site.driver.ensure_network(spec)

    await site.driver.remove_network("net-a")

    assert before == (steady(site.run("ip", "-br", "link")), site.run("nft", "list", "ruleset"))
