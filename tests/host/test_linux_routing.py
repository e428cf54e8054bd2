"""Routers and floating IPs of the Linux network driver with real packets: who reaches whom, as whom, and who not."""

import socket
from contextlib import ExitStack

import msgspec
import pytest
from linux_guests import EGRESS, PING, network, plug, port
from netlab import BRIEF, OUTSIDE, PATIENT, UPLINK, Guest, Lab, arrives, reaches, sh, steady

from micronova.clock import SystemClock
from micronova.network.driver import FloatingSpec, NetworkSpec, PeerSpec, PortSpec, RouterSpec, WayOutSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace

pytestmark = pytest.mark.host
CIDRS = {"net-a": "10.9.0.0/24", "net-b": "10.8.0.0/24", "net-c": "10.9.0.0/24", "net-d": "10.8.0.0/24"}
SNAT, PLAIN = WayOutSpec(network_id="ext", snat=True), WayOutSpec(network_id="ext", snat=False)
FLOATING = "203.0.113.9"
ON_THE_WIRE = "198.51.100.77"


def gateway_of(id: str) -> str:
    return CIDRS[id].replace(".0/24", ".1")


def routed(
    id: str,
    *peers: str,
    way_out: WayOutSpec | None = None,
    floating: dict[str, str] | None = None,
    routes: tuple[tuple[str, str], ...] = (),
) -> NetworkSpec:
    """The network behind a router; `floating`: floating to fixed IP."""
    base = network(id, cidr=CIDRS[id], gateway=gateway_of(id))
    router = RouterSpec(
        id="router",
        addresses=(f"{gateway_of(id)}/24",),
        subnet_ids=(base.subnets[0].id,),
        peers=tuple(PeerSpec(network_id=peer, cidrs=(CIDRS[peer],)) for peer in peers),
        way_out=way_out,
        routes=routes,
    )
    held = tuple(
        FloatingSpec(floating_ip=outer, fixed_ip=inner, port_id="any") for outer, inner in (floating or {}).items()
    )
    return msgspec.structs.replace(base, routers=(router,), floating=held)


def port_on(id: str, name: str, number: int, **more: object) -> PortSpec:
    ip = CIDRS[id].replace(".0/24", f".{number}")
    return msgspec.structs.replace(port(name, number, on=id), ips=(ip,), leases=(), **more)


async def guest_on(lab: Lab, driver: LinuxNetworkDriver, id: str, name: str, number: int, **more: object) -> Guest:
    return await plug(lab, driver, port_on(id, name, number, **more), gateway=gateway_of(id))


def outside(lab: Lab) -> Guest:
    guest = Guest(lab.outside, lab.folder / "none", "")
    for cidr in ("203.0.113.0/24", "10.9.0.0/24", "10.8.0.0/24"):
        guest.run("ip", "route", "replace", cidr, "via", UPLINK)
    return guest


def meets(client: Guest, server: Guest, address: str, number: int = 80, *, wait: float = PATIENT) -> str | None:
    """As whom the client appears to the server in a TCP connection; None when none comes about in time."""
    with server.listens(number) as listener:
        listener.settimeout(PATIENT)
        if not client.connects(address, number, wait=wait):
            return None
        connection, peer = listener.accept()
        connection.close()
        return str(peer[0])


async def test_networks_of_one_router_reach_each_other_both_ways_as_themselves(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12)

    assert a.reaches("10.8.0.12")
    assert b.reaches("10.9.0.11")
    assert "10.9.0.11" == meets(a, b, "10.8.0.12")
    assert "10.8.0.12" == meets(b, a, "10.9.0.11")


async def test_rules_hold_between_networks_of_a_router(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12, rules=(*EGRESS, PING))

    assert a.reaches("10.8.0.12")
    assert meets(a, b, "10.8.0.12", wait=BRIEF) is None
    assert "10.8.0.12" == meets(b, a, "10.9.0.11")


async def test_a_router_without_a_gateway_leads_nowhere_else(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    far = outside(lab)

    assert not a.pings(OUTSIDE)
    assert meets(a, far, OUTSIDE, wait=BRIEF) is None
    assert meets(far, a, "10.9.0.11", wait=BRIEF) is None


async def test_equal_networks_behind_two_routers_never_meet(lab: Lab, driver: LinuxNetworkDriver) -> None:
    for id, peer in (("net-a", "net-b"), ("net-b", "net-a"), ("net-c", "net-d"), ("net-d", "net-c")):
        await driver.ensure_network(routed(id, peer))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12)
    c = await guest_on(lab, driver, "net-c", "c", 11)
    d = await guest_on(lab, driver, "net-d", "d", 13)

    assert "10.9.0.11" == meets(a, b, "10.8.0.12")
    assert "10.9.0.11" == meets(c, d, "10.8.0.13")
    assert c.reaches("10.8.0.13")
    assert not a.pings("10.8.0.13")
    assert not c.pings("10.8.0.12")


async def test_a_network_that_left_its_router_is_reached_no_more(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12)
    before = a.reaches("10.8.0.12")

    await driver.ensure_network(routed("net-a"))
    await driver.ensure_network(network("net-b", cidr=CIDRS["net-b"], gateway=gateway_of("net-b")))

    assert before
    assert not a.pings("10.8.0.12")
    assert not b.pings("10.9.0.11")
    assert b.reaches(OUTSIDE)


@pytest.mark.parametrize(("way_out", "seen"), [(SNAT, UPLINK), (PLAIN, "10.9.0.11")])
async def test_guests_leave_as_the_router_says(
    lab: Lab, driver: LinuxNetworkDriver, way_out: WayOutSpec, seen: str
) -> None:
    await driver.ensure_network(routed("net-a", way_out=way_out))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    far = outside(lab)

    assert seen == meets(a, far, OUTSIDE)
    assert a.reaches(OUTSIDE)
    assert (OUTSIDE if way_out is PLAIN else None) == meets(
        far, a, "10.9.0.11", wait=PATIENT if way_out is PLAIN else BRIEF
    )


async def test_an_extra_route_leads_through_a_guest_of_another_network(lab: Lab, driver: LinuxNetworkDriver) -> None:
    routes = (("172.16.0.0/16", "10.8.0.12"),)
    await driver.ensure_network(routed("net-a", "net-b", routes=routes))
    await driver.ensure_network(routed("net-b", "net-a", routes=routes))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    mac = port("b", 12).mac
    b = await guest_on(lab, driver, "net-b", "b", 12, allowed_pairs=((mac, "172.16.0.0/16"),))
    b.run("ip", "addr", "add", "172.16.5.5/32", "dev", "lo")
    before = (a.reaches("172.16.5.5"), meets(a, b, "172.16.5.5"))

    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))

    assert (True, "10.9.0.11") == before
    assert not a.pings("172.16.5.5")


async def test_a_floating_ip_is_met_from_everywhere_and_its_guest_leaves_as_it(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(routed("net-a", "net-b", way_out=SNAT, floating={FLOATING: "10.9.0.11"}))
    await driver.ensure_network(routed("net-b", "net-a", way_out=SNAT))
    await driver.ensure_network(network("net-c", cidr="10.7.0.0/24", gateway="10.7.0.1"))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    near = await guest_on(lab, driver, "net-a", "n", 12)
    b = await guest_on(lab, driver, "net-b", "b", 13)
    stranger = msgspec.structs.replace(port("s", 14, on="net-c"), ips=("10.7.0.14",), leases=())
    s = await plug(lab, driver, stranger, gateway="10.7.0.1")
    far = outside(lab)

    for client in (far, near, b, s, a):
        assert meets(client, a, FLOATING) is not None, client.path.name
        assert client.reaches(FLOATING), client.path.name
    with a.listens(80):
        assert reaches(lab.path("host"), FLOATING, 80)
    assert OUTSIDE == meets(far, a, FLOATING)
    assert FLOATING == meets(a, far, OUTSIDE)
    assert UPLINK == meets(near, far, OUTSIDE)


async def test_two_guests_meet_by_floating_ips_of_both(lab: Lab, driver: LinuxNetworkDriver) -> None:
    other = "203.0.113.10"
    await driver.ensure_network(routed("net-a", way_out=SNAT, floating={FLOATING: "10.9.0.11"}))
    await driver.ensure_network(routed("net-b", way_out=SNAT, floating={other: "10.8.0.12"}))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12)

    assert FLOATING == meets(a, b, other)
    assert other == meets(b, a, FLOATING)
    assert not a.pings("10.8.0.12")


async def test_rules_hold_for_floating_ips(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", way_out=SNAT, floating={FLOATING: "10.9.0.11"}))
    a = await guest_on(lab, driver, "net-a", "a", 11, rules=(*EGRESS, PING))
    far = outside(lab)

    assert far.reaches(FLOATING)
    assert meets(far, a, FLOATING, wait=BRIEF) is None


async def test_a_floating_ip_moves_and_what_went_to_its_old_guest_ends(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", way_out=SNAT, floating={FLOATING: "10.9.0.11"}))
    await driver.ensure_network(routed("net-b", way_out=SNAT))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    n = await guest_on(lab, driver, "net-a", "n", 12)
    b = await guest_on(lab, driver, "net-b", "b", 13)
    far = outside(lab)
    with ExitStack() as stack:
        listener = stack.enter_context(a.listens(80))
        client = stack.enter_context(_dial(far, FLOATING, 80))
        listener.settimeout(PATIENT)
        server = stack.enter_context(listener.accept()[0])
        server.settimeout(PATIENT)
        client.send(b"x")
        before = server.recv(1)

        await driver.ensure_network(routed("net-a", way_out=SNAT, floating={FLOATING: "10.9.0.12"}))

        server.settimeout(BRIEF)
        client.send(b"y")
        assert b"x" == before
        with pytest.raises(TimeoutError):
            server.recv(1)
    assert OUTSIDE == meets(far, n, FLOATING)
    await driver.ensure_network(routed("net-b", way_out=SNAT, floating={FLOATING: "10.8.0.13"}))
    await driver.ensure_network(routed("net-a", way_out=SNAT))
    assert OUTSIDE == meets(far, b, FLOATING)
    assert FLOATING == meets(b, far, OUTSIDE)
    assert UPLINK == meets(n, far, OUTSIDE)
    await driver.ensure_network(routed("net-b", way_out=SNAT))
    assert not far.pings(FLOATING)


async def test_a_floating_ip_from_the_range_of_the_uplink_is_answered_there(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    await driver.ensure_network(routed("net-a", way_out=SNAT, floating={ON_THE_WIRE: "10.9.0.11"}))
    a = await guest_on(lab, driver, "net-a", "a", 11)
    far = outside(lab)

    assert OUTSIDE == meets(far, a, ON_THE_WIRE)
    assert ON_THE_WIRE == meets(a, far, OUTSIDE)
    await driver.remove_port(port("a", 11).id)
    await driver.remove_network("net-a")
    assert "" == sh("ip", "neigh", "show", "proxy")


async def test_connections_live_on_when_all_is_ensured_again_by_a_new_driver(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    specs = (
        routed("net-a", "net-b", way_out=SNAT, floating={FLOATING: "10.9.0.11"}),
        routed("net-b", "net-a", way_out=SNAT),
    )
    for spec in specs:
        await driver.ensure_network(spec)
    a = await guest_on(lab, driver, "net-a", "a", 11)
    b = await guest_on(lab, driver, "net-b", "b", 12)
    far = outside(lab)
    again = type(driver)(lab.folder / "network", SystemClock())
    with ExitStack() as stack:
        listener = stack.enter_context(a.listens(80))
        listener.settimeout(PATIENT)
        clients = [stack.enter_context(_dial(far, FLOATING, 80)), stack.enter_context(_dial(b, "10.9.0.11", 80))]
        servers = [stack.enter_context(listener.accept()[0]) for _ in clients]

        await again.init_host()
        for spec in specs:
            await again.ensure_network(spec)
        await again.ensure_ports((port_on("net-a", "a", 11), port_on("net-b", "b", 12)))

        for client in clients:
            client.send(b"z")
        for server in servers:
            server.settimeout(PATIENT)
            assert b"z" == server.recv(1)
    await again.close()


async def test_removing_what_was_routed_leaves_no_rule_and_no_route(lab: Lab, driver: LinuxNetworkDriver) -> None:
    def told() -> tuple[str, ...]:
        routes = steady(sh("ip", "-4", "route", "show", "table", "all"))
        return sh("ip", "rule"), routes, sh("nft", "list", "ruleset")

    before = told()
    for _ in range(2):
        await driver.ensure_network(routed("net-a", "net-b", way_out=PLAIN, floating={FLOATING: "10.9.0.11"}))
        await driver.ensure_network(routed("net-b", "net-a", routes=(("0.0.0.0/0", "10.9.0.11"),)))
    there = told()

    for id in ("net-a", "net-b"):
        await driver.remove_network(id)

    assert 2 == len(there[0].splitlines()) - len(before[0].splitlines())
    assert before == told()


def _dial(guest: Guest, address: str, number: int) -> socket.socket:
    return in_namespace(guest.path, lambda: socket.create_connection((address, number), timeout=PATIENT))


async def test_a_floating_ip_that_appears_is_announced_once(lab: Lab, driver: LinuxNetworkDriver) -> None:
    spec = routed("net-a", way_out=SNAT, floating={ON_THE_WIRE: "10.9.0.11"})
    address = bytes([198, 51, 100, 77])
    claim = address + bytes(6) + address  # sender and target are the same

    with outside(lab).packets() as wire:
        await driver.ensure_network(spec)
        announced = arrives(wire, claim, wait=PATIENT)
        await driver.ensure_network(spec)
        again = arrives(wire, claim)

    assert announced
    assert not again
