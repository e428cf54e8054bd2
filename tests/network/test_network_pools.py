"""Subnet pools: ranges cut without overlap; and what their owners may change."""

import asyncio

import pytest
from network.network_world import ALICE, room

from micronova.errors import Conflict
from micronova.network.attributes import for_create
from micronova.network.resources import SUBNET


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def test_a_pool_is_completed(r):
    made = await r.make("subnetpool", name="p", prefixes=["10.88.1.0/24", "10.88.0.7/24", "10.90.0.0/16"])

    assert ["10.88.0.0/23", "10.90.0.0/16"] == made["prefixes"]
    assert (4, "8", "32", "8", None, False, False, None) == tuple(
        made[name]
        for name in (
            "ip_version", "min_prefixlen", "max_prefixlen", "default_prefixlen", "default_quota", "shared",
            "is_default", "address_scope_id",
        )
    )  # fmt: skip


async def test_subnets_are_cut_one_after_the_other_and_given_back(r):
    pool = (await r.make("subnetpool", prefixes=["10.88.0.0/22"], default_prefixlen=24))["id"]
    network = (await r.make("network"))["id"]

    one = await r.make("subnet", network_id=network, subnetpool_id=pool, ip_version=4)
    two = await r.make("subnet", network_id=network, subnetpool_id=pool, prefixlen=23)
    three = await r.make("subnet", network_id=network, subnetpool_id=pool, cidr="10.88.1.0/24")
    body = {"subnet": {"network_id": network, "subnetpool_id": pool}}
    full = await r.refused("POST", "/subnets", body)
    await r.call("DELETE", f"/subnets/{one['id']}")
    four = await r.make("subnet", network_id=network, subnetpool_id=pool)

    assert ["10.88.0.0/24", "10.88.2.0/23", "10.88.1.0/24", "10.88.0.0/24"] == [
        made["cidr"] for made in (one, two, three, four)
    ]
    assert (pool, (409, "SubnetAllocationError")) == (one["subnetpool_id"], full)
    assert (400, "SubnetPoolDeleteError") == await r.refused("DELETE", f"/subnetpools/{pool}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prefixlen": 15}, (400, "MinPrefixSubnetAllocationError")),
        ({"prefixlen": 29}, (400, "MaxPrefixSubnetAllocationError")),
        ({"cidr": "10.89.0.0/24"}, (409, "SubnetAllocationError")),
        ({"cidr": "10.88.0.0/24", "prefixlen": 24}, (400, "BadRequest")),
        ({"ip_version": 6}, (400, "InvalidInput")),
        ({"use_default_subnetpool": True}, (400, "BadRequest")),
        ({"subnetpool_id": "1" * 32}, (404, "SubnetPoolNotFound")),
        ({"subnetpool_id": None}, (400, "BadRequest")),
    ],
)
async def test_what_a_pool_does_not_give_is_refused(r, values, expected):
    pool = await r.make("subnetpool", prefixes=["10.88.0.0/16"], min_prefixlen=16, max_prefixlen=28)
    network = (await r.make("network"))["id"]

    body = {"subnet": {"network_id": network, "subnetpool_id": pool["id"], **values}}

    assert expected == await r.refused("POST", "/subnets", body)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prefixes": []}, (400, "EmptySubnetPoolPrefixList")),
        ({"prefixes": ["10.0.0.0/8", "fd00::/48"]}, (400, "PrefixVersionMismatch")),
        ({"default_prefixlen": 33}, (400, "IllegalSubnetPoolPrefixBounds")),
        ({"min_prefixlen": 24, "max_prefixlen": 20}, (400, "IllegalSubnetPoolPrefixBounds")),
        ({"shared": True}, (403, "PolicyNotAuthorized")),
    ],
)
async def test_pools_that_cannot_be_are_refused(r, values, expected):
    assert expected == await r.refused("POST", "/subnetpools", {"subnetpool": {"prefixes": ["10.0.0.0/8"], **values}})


async def test_a_pool_grows_but_never_shrinks(r):
    pool = await r.make("subnetpool", prefixes=["10.88.0.0/16"])
    path = f"/subnetpools/{pool['id']}"

    grown = await r.call("PUT", path, {"subnetpool": {"prefixes": ["10.88.0.0/15"], "default_prefixlen": 26}})

    assert (["10.88.0.0/15"], "26") == (grown["subnetpool"]["prefixes"], grown["subnetpool"]["default_prefixlen"])
    fewer = {"subnetpool": {"prefixes": ["10.88.0.0/16"]}}
    assert (400, "IllegalSubnetPoolUpdate") == await r.refused("PUT", path, fewer)


async def test_the_default_pool_and_shared_ones_are_for_all(r):
    await r.make("subnetpool", "admin", prefixes=["10.88.0.0/16"], default_prefixlen=24, is_default=True, shared=True)
    network = (await r.make("network"))["id"]

    made = await r.make("subnet", network_id=network, ip_version=4, use_default_subnetpool=True)

    assert "10.88.0.0/24" == made["cidr"]
    second = {"subnetpool": {"prefixes": ["10.99.0.0/16"], "is_default": True}}
    assert (400, "InvalidInput") == await r.refused("POST", "/subnetpools", second, token="admin")


async def test_a_projects_share_is_limited(r):
    pool = await r.make("subnetpool", prefixes=["10.88.0.0/16"], default_prefixlen=26, default_quota=128)
    network = (await r.make("network"))["id"]
    body = {"subnet": {"network_id": network, "subnetpool_id": pool["id"]}}

    for _ in range(2):
        await r.call("POST", "/subnets", body)

    assert (409, "SubnetPoolQuotaExceeded") == await r.refused("POST", "/subnets", body)


async def test_callers_at_once_never_get_the_same_range(r):
    pool = (await r.make("subnetpool", prefixes=["10.88.0.0/20"], default_prefixlen=24))["id"]
    nets = [(await r.make("network"))["id"] for _ in range(5)]
    refused = []

    async def caller(network):
        for _ in range(4):
            try:
                asked = for_create(SUBNET, {"network_id": network, "subnetpool_id": pool})
                await r.manager.subnets.create(ALICE, [asked])
            except Conflict as err:
                refused.append(err)

    await asyncio.gather(*(caller(network) for network in nets))

    cidrs = [subnet["cidr"] for subnet in (await r.call("GET", f"/subnets?subnetpool_id={pool}"))["subnets"]]
    assert (16, 16, 4) == (len(cidrs), len(set(cidrs)), len(refused))
