"""No address is given twice: one after another, at once, over deletes, until a pool is full."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network.network_world import ADMIN, ALICE, room

from micronova.errors import Conflict, Error
from micronova.network.attributes import for_create
from micronova.network.db import Address, Port
from micronova.network.resources import NETWORK, PORT, SUBNET


def ips(shown):
    return [fixed["ip_address"] for fixed in shown["fixed_ips"]]


async def truth(r):
    """Every port's addresses equal the address rows; returns (subnet, ip) of all."""
    ports = await r.runtime.db.read(lambda tx: tx.find(Port))
    rows = await r.runtime.db.read(lambda tx: tx.find(Address))
    said = sorted((fixed.subnet_id, fixed.ip, port.id) for port in ports for fixed in port.fixed_ips)
    assert said == sorted((row.subnet_id, row.ip, row.port_id) for row in rows)
    assert len({(subnet, ip) for subnet, ip, _ in said}) == len(said)
    return [(subnet, ip) for subnet, ip, _ in said]


async def test_addresses_are_given_in_order_and_the_gateway_never():
    async with room(serve=False) as r:
        network, _ = await r.network("10.0.0.0/29")

        given_ips = [ips(await r.make("port", network_id=network)) for _ in range(5)]

        assert [[f"10.0.0.{n}"] for n in range(2, 7)] == given_ips
        assert (409, "IpAddressGenerationFailure") == await r.refused(
            "POST", "/ports", {"port": {"network_id": network}}
        )


async def test_a_hole_in_a_full_pool_is_found():
    async with room(serve=False) as r:
        network, _ = await r.network("10.0.0.0/28")
        ports = [await r.make("port", network_id=network) for _ in range(13)]
        await r.call("DELETE", f"/ports/{ports[4]['id']}")

        again = await r.make("port", network_id=network)

        assert ips(ports[4]) == ips(again)


async def test_a_hole_is_found_in_a_large_pool_with_an_address_at_its_end():
    async with room(serve=False) as r:
        network, _ = await r.network("10.0.0.0/22")
        await r.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.3.254"}])
        body = {"ports": [{"network_id": network}] * 1020}
        await r.call("POST", "/ports", body)

        assert 1021 == len(await truth(r))
        assert (409, "IpAddressGenerationFailure") == await r.refused(
            "POST", "/ports", {"port": {"network_id": network}}
        )


async def test_two_pools_are_used_one_after_the_other():
    async with room(serve=False) as r:
        network = await r.make("network")
        pools = [{"start": "10.0.0.10", "end": "10.0.0.11"}, {"start": "10.0.0.20", "end": "10.0.0.20"}]
        await r.make("subnet", network_id=network["id"], cidr="10.0.0.0/24", allocation_pools=pools)

        found = [ips(await r.make("port", network_id=network["id"]))[0] for _ in range(3)]

        assert ["10.0.0.10", "10.0.0.11", "10.0.0.20"] == found


async def test_an_address_may_be_asked_for_once():
    async with room(serve=False) as r:
        network, subnet = await r.network()
        wish = {"network_id": network, "fixed_ips": [{"subnet_id": subnet, "ip_address": "10.0.0.50"}]}

        port = (await r.call("POST", "/ports", {"port": wish}))["port"]

        assert ["10.0.0.50"] == ips(port)
        assert (409, "IpAddressAlreadyAllocated") == await r.refused("POST", "/ports", {"port": wish})


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"ip_address": "10.9.0.1"}, (400, "InvalidIpForNetwork")),
        ({"subnet_id": "SUBNET", "ip_address": "10.9.0.1"}, (400, "InvalidIpForSubnet")),
        ({"subnet_id": "SUBNET", "ip_address": "10.0.0.255"}, (400, "InvalidIpForSubnet")),
        ({"subnet_id": "SUBNET", "ip_address": "10.0.0.1"}, (409, "IpAddressAlreadyAllocated")),
        ({"subnet_id": "11111111-1111-1111-1111-111111111111"}, (400, "InvalidInput")),
        ({"ip_address": "nonsense"}, (400, "HTTPBadRequest")),
        ({}, (400, "HTTPBadRequest")),
    ],
)
async def test_an_address_that_cannot_be_is_refused_by_name(wish, expected):
    async with room(serve=False) as r:
        network, subnet = await r.network()
        wish = {key: subnet if value == "SUBNET" else value for key, value in wish.items()}

        refused = await r.refused("POST", "/ports", {"port": {"network_id": network, "fixed_ips": [wish]}})

        assert expected == refused
        assert [] == await truth(r)


async def test_a_changed_port_keeps_what_it_keeps_and_gives_back_the_rest():
    async with room(serve=False) as r:
        network, subnet = await r.network()
        port = await r.make("port", network_id=network)
        wish = [{"subnet_id": subnet, "ip_address": ips(port)[0]}, {"subnet_id": subnet, "ip_address": "10.0.0.99"}]

        both = (await r.call("PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": wish}}))["port"]
        one = (await r.call("PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": wish[1:]}}))["port"]

        assert ["10.0.0.2", "10.0.0.99"] == ips(both)
        assert [(subnet, "10.0.0.99")] == await truth(r)
        assert ["10.0.0.99"] == ips(one)


async def test_ports_on_a_slaac_subnet_have_the_address_their_mac_makes():
    async with room(serve=False) as r:
        network = await r.make("network")
        early = await r.make("port", network_id=network["id"], mac_address="fa:16:3e:01:02:03")
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnet = await r.make("subnet", network_id=network["id"], cidr="fd00::/64", ip_version=6, **modes)

        late = await r.make("port", network_id=network["id"], mac_address="fa:16:3e:01:02:04")
        early = (await r.call("GET", f"/ports/{early['id']}"))["port"]

        assert ["fd00::f816:3eff:fe01:203"] == ips(early)
        assert ["fd00::f816:3eff:fe01:204"] == ips(late)
        wish = {"fixed_ips": [{"subnet_id": subnet["id"], "ip_address": "fd00::99"}]}
        assert (400, "AllocationOnAutoAddressSubnet") == await r.refused("PUT", f"/ports/{late['id']}", {"port": wish})
        await r.call("DELETE", f"/subnets/{subnet['id']}")
        assert [] == ips((await r.call("GET", f"/ports/{early['id']}"))["port"])


async def test_a_port_has_one_address_of_each_version():
    async with room(serve=False) as r:
        network, _ = await r.network()
        await r.make("subnet", network_id=network, cidr="fd00::/64", ip_version=6)

        port = await r.make("port", network_id=network)

        assert ["10.0.0.2", "fd00::2"] == ips(port)


async def test_callers_at_once_never_get_the_same_address():
    async with room(serve=False) as r:
        network, _ = await r.network("10.0.0.0/26")
        asked = for_create(PORT, {"network_id": network})
        held = []

        async def caller(seed):
            chance = random.Random(seed)
            for _ in range(12):
                with contextlib.suppress(Conflict):
                    held.append((await r.manager.ports.create(ALICE, [asked])).rows[0].id)
                if held and chance.random() < 0.4:
                    await r.manager.ports.delete(ALICE, held.pop(chance.randrange(len(held))))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for seed in range(8):
                group.create_task(caller(seed))

        assert len(held) == len(await truth(r))


ACTIONS = st.lists(
    st.one_of(
        st.just(("any", 0)),
        st.tuples(st.just("ip"), st.integers(0, 17)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_whatever_is_asked_rows_agree_and_no_address_is_given_twice(actions):
    asyncio.run(play(actions))


async def play(actions):
    async with room(serve=False) as r:
        network = (await r.manager.networks.create(ADMIN, [for_create_network()])).rows[0]
        await r.manager.subnets.create(ADMIN, [for_create(SUBNET, {"network_id": network.id, "cidr": "10.0.0.0/28"})])
        held, refused = [], []
        for action, number in actions:
            values = {"network_id": network.id}
            if action == "ip":
                values["fixed_ips"] = [{"ip_address": f"10.0.0.{number}"}]
            try:
                if action == "delete":
                    if held:
                        await r.manager.ports.delete(ADMIN, held.pop(number % len(held)))
                else:
                    held.append((await r.manager.ports.create(ADMIN, [for_create(PORT, values)])).rows[0].id)
            except Error as err:
                refused.append(err.status)
        assert {400, 409} >= set(refused)
        assert len(held) == len(await truth(r))


def for_create_network():
    return for_create(NETWORK, {"name": "n"})
