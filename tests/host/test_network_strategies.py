"""Every strategy with every driver, from the manager's call to the packet: two hosts, one cloud, guests on both."""

import os
import signal
from collections.abc import AsyncIterator

import pytest
from netlab import BRIEF, Lab, until
from network.network_world import eventually
from strategy_hosts import GATEWAY, Booted, Strategies, is_alive, need, talk
from test_linux_routing import meets

pytestmark = [pytest.mark.host, pytest.mark.timeout(240)]
PATIENCE = 60
PAIRS = [
    ("flat", "linux"),
    ("flat_dhcp", "linux"),
    ("flat_dhcp", "ovs"),
    ("vxlan", "linux"),
    ("vxlan", "ovs"),
    ("vlan", "ovs"),
    ("vlan", "linux"),
]
SHARED = "10.8.0.99"
COMBINED = pytest.mark.parametrize("cloud", PAIRS, indirect=True, ids="-".join)


@pytest.fixture
async def cloud(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[Strategies]:
    strategy, driver = request.param
    need(strategy, driver)
    async with Strategies(lab, strategy, driver).running() as made:
        yield made


async def settled(cloud: Strategies) -> None:
    """Every host has heard of everything."""
    await eventually(cloud.idle)


def reached(one: Booted, other: Booted) -> None:
    """Pings and TCP pass, perhaps after a while."""
    until(lambda: one.guest.pings(other.ip), wait=PATIENCE)
    until(lambda: meets(one.guest, other.guest, other.ip) == one.ip, wait=PATIENCE)


@COMBINED
async def test_guests_meet_where_groups_allow_and_again_after_a_partition(cloud: Strategies) -> None:
    network = await cloud.network()
    ssh = await cloud.ssh_only()
    one = await cloud.boot(cloud.h1, network, "one")
    two = await cloud.boot(cloud.beside, network, "two")
    closed = await cloud.boot(cloud.beside, network, "closed", ssh)
    await settled(cloud)

    reached(one, two)
    reached(two, one)
    until(lambda: meets(one.guest, closed.guest, closed.ip, 22) == one.ip, wait=PATIENCE)
    assert not one.guest.pings(closed.ip)
    assert meets(one.guest, closed.guest, closed.ip, 80, wait=BRIEF) is None
    assert not closed.guest.pings(one.ip)
    with talk(one, two, 8080) as connection:
        late = await cut_while_a_guest_comes(cloud, network, one, two)
        if cloud.spans:
            reached(late, one)
            reached(one, late)
        assert connection.goes_on()


async def cut_while_a_guest_comes(cloud: Strategies, network: str, one: Booted, two: Booted) -> Booted:
    """A guest that came to the second host while that was cut off; who is not on one wire never meets."""
    with cloud.cut():
        late = await cloud.boot(cloud.h2, network, "late")
        await settled(cloud)
        if cloud.spans:
            reached(late, two)
            assert not one.guest.pings(two.ip)
    if not cloud.spans:
        until(lambda: late.guest.pings(GATEWAY), wait=PATIENCE)
        assert not late.guest.pings(one.ip)
    return late


@COMBINED
async def test_a_host_s_service_that_begins_anew_heals_what_broke_and_drops_no_connection(cloud: Strategies) -> None:
    network = await cloud.network()
    one = await cloud.boot(cloud.h1, network, "one", dhcp=cloud.served)
    two = await cloud.boot(cloud.beside, network, "two")
    await settled(cloud)
    if cloud.served:
        assert one.ip == one.guest.dhcp().get("ip")
    reached(one, two)

    with talk(one, two, 8080) as connection:
        await cloud.h1.stop()
        killed = kill(cloud.h1.dnsmasq(network))
        assert bool(killed) == cloud.served
        late = await cloud.boot(cloud.h2, network, "late")
        assert connection.goes_on()
        await cloud.h1.start()
        if cloud.served:
            kill(cloud.h1.dnsmasq(network))
            await cloud.h1.tick()
            assert one.ip == one.guest.dhcp().get("ip")
        assert connection.goes_on()
    if cloud.spans:
        reached(one, late)


@pytest.mark.parametrize("cloud", [("vxlan", "linux"), ("vxlan", "ovs")], indirect=True, ids="-".join)
async def test_an_address_that_a_guest_elsewhere_may_use_besides_is_reached_by_a_router(cloud: Strategies) -> None:
    left, right = await cloud.network(), await cloud.network("10.8.0.0/24")
    await cloud.join(left, right)
    one = await cloud.boot(cloud.h1, left, "one")
    two = await cloud.boot(cloud.h2, right, "two")
    await settled(cloud)
    until(lambda: one.guest.pings(two.ip), wait=PATIENCE)
    assert not one.guest.pings(SHARED)

    await cloud.share(two, SHARED)
    await settled(cloud)

    until(lambda: one.guest.pings(SHARED), wait=PATIENCE)
    until(lambda: meets(one.guest, two.guest, SHARED) == one.ip, wait=PATIENCE)


def kill(pids: list[int]) -> list[int]:
    """These processes, which are no more."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in pids), wait=PATIENCE)
    return pids
