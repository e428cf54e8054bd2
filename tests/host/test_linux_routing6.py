"""IPv6 between networks of a router and towards the world with real packets: routed as who one is, never hidden."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from linux_guests import EGRESS, network, port
from netlab import BRIEF, PATIENT, Guest, Lab, sh, until
from netpair import Pair
from test_linux_ipv6 import pings6

from micronova.network.driver import NetworkSpec, PeerSpec, PortSpec, RouterSpec, SubnetSpec, WayOutSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver

pytestmark = pytest.mark.host
RANGES = {"net-a": "2001:db8:a::", "net-b": "2001:db8:b::"}
HOST6, WORLD6 = "2001:db8:ff::1", "2001:db8:ff::2"
SNAT = WayOutSpec(network_id="ext", snat=True)


def routed(id: str, *peers: str, way_out: WayOutSpec | None = None) -> NetworkSpec:
    """A network with IPv6 only, behind a router."""
    subnet = SubnetSpec(id=f"{id}-six", cidr=f"{RANGES[id]}/64", gateway=f"{RANGES[id]}1")
    router = RouterSpec(
        id="router",
        addresses=(f"{RANGES[id]}1/64",),
        subnet_ids=(subnet.id,),
        peers=tuple(PeerSpec(network_id=peer, cidrs=(f"{RANGES[peer]}/64",)) for peer in peers),
        way_out=way_out,
    )
    return msgspec.structs.replace(network(id), subnets=(subnet,), routers=(router,))


def port_on(id: str, name: str, number: int, **more: object) -> PortSpec:
    ip = f"{RANGES[id]}{number:x}"
    return msgspec.structs.replace(port(name, number, on=id), ips=(ip,), leases=(), **more)


def configured(guest: Guest, spec: PortSpec) -> Guest:
    """The guest with its address and its gateway, set by hand."""
    gateway = f"{RANGES[spec.network_id]}1"
    guest.run("ip", "addr", "add", f"{spec.ips[0]}/64", "dev", "eth0", "nodad")
    guest.run("ip", "route", "add", "default", "via", gateway)
    until(lambda: "tentative" not in guest.run("ip", "-6", "addr"))
    return guest


async def guest_on(lab: Lab, driver: LinuxNetworkDriver, spec: PortSpec) -> Guest:
    guest = lab.guest(spec.id, device=spec.device, mac=spec.mac)
    await driver.ensure_port(spec)
    return configured(guest, spec)


def world(lab: Lab) -> Guest:
    """The outside with IPv6, which knows that the host leads to our ranges."""
    far = Guest(lab.outside, lab.folder / "none", "")
    sh("ip", "addr", "add", f"{HOST6}/64", "dev", "uplink", "nodad")
    sh("ip", "route", "add", "default", "via", WORLD6)
    far.run("ip", "addr", "add", f"{WORLD6}/64", "dev", "eth0", "nodad")
    far.run("ip", "route", "add", "2001:db8::/32", "via", HOST6)
    return far


def meets(client: Guest, server: Guest, address: str, *, wait: float = PATIENT) -> str | None:
    """As whom the client appears to the server; None when it can't in time."""
    with server.listens(80, "::") as listener:
        listener.settimeout(PATIENT)
        if not client.connects(address, 80, wait=wait):
            return None
        connection, peer = listener.accept()
        connection.close()
        return str(peer[0])


async def test_networks_of_one_router_reach_each_other(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    one, two = port_on("net-a", "a", 0xA), port_on("net-b", "b", 0xB)
    a, b = await guest_on(lab, driver, one), await guest_on(lab, driver, two)
    far = world(lab)

    until(lambda: pings6(a, two.ips[0]))
    assert one.ips[0] == meets(a, b, two.ips[0])
    assert two.ips[0] == meets(b, a, one.ips[0])
    assert not pings6(a, WORLD6)
    assert meets(far, a, one.ips[0], wait=BRIEF) is None


async def test_rules_hold_between_networks(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", "net-b"))
    await driver.ensure_network(routed("net-b", "net-a"))
    one, two = port_on("net-a", "a", 0xA), port_on("net-b", "b", 0xB, rules=EGRESS)
    a, b = await guest_on(lab, driver, one), await guest_on(lab, driver, two)

    until(lambda: pings6(b, one.ips[0]))
    assert two.ips[0] == meets(b, a, one.ips[0])
    assert meets(a, b, two.ips[0], wait=BRIEF) is None


async def test_guests_reach_the_world_and_are_reached_as_who_they_are(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", way_out=SNAT))
    spec = port_on("net-a", "a", 0xA)
    a, far = await guest_on(lab, driver, spec), world(lab)

    until(lambda: pings6(a, WORLD6))
    assert spec.ips[0] == meets(a, far, WORLD6)
    assert WORLD6 == meets(far, a, spec.ips[0])


async def test_a_network_without_a_router_stays_on_its_wire(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(routed("net-a", way_out=SNAT))
    spec = port_on("net-a", "a", 0xA)
    a, far = await guest_on(lab, driver, spec), world(lab)
    until(lambda: pings6(a, WORLD6))

    await driver.ensure_network(msgspec.structs.replace(routed("net-a"), routers=()))

    assert not pings6(a, WORLD6)
    assert not pings6(far, spec.ips[0])
    until(lambda: pings6(a, f"{RANGES['net-a']}1"))


async def test_removing_leaves_no_rule_and_no_route(lab: Lab, driver: LinuxNetworkDriver) -> None:
    def told() -> tuple[str, ...]:
        lines = sh("ip", "-6", "route", "show", "table", "all").splitlines()
        return sh("ip", "-6", "rule"), sh("nft", "list", "ruleset"), "\n".join(line for line in lines if "db8" in line)

    before = told()
    for _ in range(2):
        await driver.ensure_network(routed("net-a", "net-b", way_out=SNAT))
        await driver.ensure_network(routed("net-b", "net-a"))
    there = told()

    for id in ("net-a", "net-b"):
        await driver.remove_network(id)

    assert len(there[0].splitlines()) == len(before[0].splitlines()) + 2
    assert before == told()


async def test_the_host_goes_on_learning_its_own_way_out(lab: Lab, driver: LinuxNetworkDriver) -> None:
    sh("sysctl", "-qw", "net.ipv6.conf.uplink.accept_ra=1")

    await driver.ensure_network(routed("net-a", way_out=SNAT))

    assert "2" == sh("sysctl", "-n", "net.ipv6.conf.uplink.accept_ra").strip()
    assert "1" == sh("sysctl", "-n", "net.ipv6.conf.uplink.forwarding").strip()


@pytest.fixture
async def pair(lab: Lab) -> AsyncIterator[Pair]:
    async with Pair(lab).running() as pair:
        yield pair


async def test_a_router_joins_guests_of_two_hosts(pair: Pair) -> None:
    one, two = port_on("net-a", "a", 0xA), port_on("net-b", "b", 0xB)
    await pair.ensure(routed("net-a", "net-b"), routed("net-b", "net-a"), ports={pair.here: [one], pair.there: [two]})
    a, b = configured(await pair.here.boot(one), one), configured(await pair.there.boot(two), two)

    until(lambda: pings6(a, two.ips[0]))
    assert one.ips[0] == meets(a, b, two.ips[0])
    assert two.ips[0] == meets(b, a, one.ips[0])
