"""Subnets and ports: what fits, what is in use, what depends on what."""

import pytest
from network.network_world import room


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def test_a_subnet_is_completed(r):
    network = await r.make("network")

    subnet = await r.make(
        "subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, dns_nameservers=["192.0.2.1"],
        host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}],
    )  # fmt: skip

    assert "10.0.0.1" == subnet["gateway_ip"]
    assert [{"start": "10.0.0.2", "end": "10.0.0.254"}] == subnet["allocation_pools"]
    assert [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}] == subnet["host_routes"]
    assert [subnet["id"]] == (await r.call("GET", f"/networks/{network['id']}"))["network"]["subnets"]


async def test_a_subnet_without_a_gateway_gives_all_addresses(r):
    network = await r.make("network")

    subnet = await r.make("subnet", network_id=network["id"], cidr="10.0.0.0/24", gateway_ip=None)

    assert subnet["gateway_ip"] is None
    assert [{"start": "10.0.0.1", "end": "10.0.0.254"}] == subnet["allocation_pools"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"cidr": "10.0.0.0/25"}, (400, "InvalidInput")),
        ({"cidr": "10.0.0.0/16"}, (400, "InvalidInput")),
        ({"cidr": "100.64.3.0/24"}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.1/24"}, (400, "HTTPBadRequest")),
        ({"cidr": "10.5.0.0"}, (400, "HTTPBadRequest")),
        ({"cidr": "0.0.0.0/0"}, (400, "HTTPBadRequest")),
        ({"cidr": "224.0.0.0/24"}, (400, "HTTPBadRequest")),
        ({"cidr": "10.5.0.0/31"}, (400, "HTTPBadRequest")),
        ({}, (400, "BadRequest")),
        ({"cidr": "10.5.0.0/24", "ip_version": 6}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.0/24", "ip_version": 5}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.0/24", "gateway_ip": "10.6.0.1"}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.0/24", "gateway_ip": "10.5.0.255"}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.0/24", "dns_nameservers": ["fd00::1"]}, (400, "InvalidInput")),
        ({"cidr": "10.5.0.0/24", "dns_nameservers": ["1.1.1.1", "1.1.1.1"]}, (400, "HTTPBadRequest")),
        ({"cidr": "10.5.0.0/24", "ipv6_ra_mode": "slaac"}, (400, "InvalidInput")),
        ({"cidr": "fd00::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, (400, "InvalidInput")),
        ({"cidr": "fd00::/80", "ipv6_address_mode": "slaac"}, (400, "InvalidInput")),
        ({"cidr": "fd00::/64", "ipv6_address_mode": "slaac", "enable_dhcp": False}, (400, "InvalidInput")),
        (
            {"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.5.0.1", "end": "10.5.0.9"}]},
            (409, "GatewayConflictWithAllocationPools"),
        ),
    ],
)
async def test_a_subnet_that_cannot_be_is_refused_by_name(r, values, expected):
    network, _ = await r.network("10.0.0.0/24")

    assert expected == await r.refused("POST", "/subnets", {"subnet": {"network_id": network, **values}})


async def test_the_same_range_may_be_on_two_networks(r):
    await r.network()

    await r.network()

    assert 2 == len((await r.call("GET", "/subnets?cidr=10.0.0.0/24"))["subnets"])


async def test_a_subnet_changes_within_what_fits(r):
    network, subnet = await r.network()
    path = f"/subnets/{subnet}"
    await r.make("port", network_id=network)

    changed = (await r.call("PUT", path, {"subnet": {"enable_dhcp": False, "gateway_ip": None, "name": "x"}}))["subnet"]

    assert (False, None, "x") == (changed["enable_dhcp"], changed["gateway_ip"], changed["name"])
    for values, expected in (
        ({"gateway_ip": "10.0.0.2"}, (409, "GatewayIpInUse")),
        ({"gateway_ip": "10.0.0.9"}, (409, "GatewayConflictWithAllocationPools")),
        ({"gateway_ip": "10.1.0.1"}, (400, "InvalidInput")),
        ({"allocation_pools": [{"start": "10.0.0.200", "end": "10.0.1.1"}]}, (400, "OutOfBoundsAllocationPool")),
    ):
        assert expected == await r.refused("PUT", path, {"subnet": values})


async def test_what_is_in_use_stays(r):
    network, subnet = await r.network()
    port = await r.make("port", network_id=network)

    assert (409, "NetworkInUse") == await r.refused("DELETE", f"/networks/{network}")
    assert (409, "SubnetInUse") == await r.refused("DELETE", f"/subnets/{subnet}")
    await r.call("DELETE", f"/ports/{port['id']}")
    await r.call("DELETE", f"/networks/{network}")
    assert (404, "SubnetNotFound") == await r.refused("GET", f"/subnets/{subnet}")


async def test_a_mac_is_unique_on_its_network(r):
    network, _ = await r.network()
    other, _ = await r.network()
    wish = {"network_id": network, "mac_address": "FA:16:3E:00:00:01"}

    port = (await r.call("POST", "/ports", {"port": wish}))["port"]

    assert "fa:16:3e:00:00:01" == port["mac_address"]
    assert (409, "MacAddressInUse") == await r.refused("POST", "/ports", {"port": wish})
    await r.make("port", network_id=other, mac_address="fa:16:3e:00:00:01")
    for wrong in ("01:00:5e:00:00:01", "00:00:00:00:00:00", "fa:16", 7):
        assert (400, "HTTPBadRequest") == await r.refused("POST", "/ports", {"port": {**wish, "mac_address": wrong}})


async def test_a_bound_port_keeps_its_mac(r):
    network, _ = await r.network()
    port = await r.make("port", network_id=network, token="admin", **{"binding:host_id": "host1"})
    path = f"/ports/{port['id']}"

    refused = await r.refused("PUT", path, {"port": {"mac_address": "fa:16:3e:00:00:02"}}, token="admin")

    assert "bridge" == port["binding:vif_type"]
    assert (409, "PortBound") == refused


async def test_port_security_is_needed_for_groups_and_pairs(r):
    network, _ = await r.network()
    group = (await r.call("GET", "/security-groups"))["security_groups"][0]["id"]
    off = {"network_id": network, "port_security_enabled": False}

    port = (await r.call("POST", "/ports", {"port": off}))["port"]

    assert [] == port["security_groups"]
    for more, name in (
        ({"security_groups": [group]}, "PortSecurityAndIPRequiredForSecurityGroups"),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}, "AddressPairAndPortSecurityRequired"),
    ):
        assert (400, name) == await r.refused("POST", "/ports", {"port": {**off, **more}})
    on = await r.make("port", network_id=network)
    switch = {"port": {"port_security_enabled": False}}
    assert (400, "PortSecurityPortHasSecurityGroup") == await r.refused("PUT", f"/ports/{on['id']}", switch)
    switch["port"]["security_groups"] = []
    assert [] == (await r.call("PUT", f"/ports/{on['id']}", switch))["port"]["security_groups"]


async def test_a_service_port_is_not_deleted_by_hand(r):
    _, subnet = await r.network()
    router = await r.make("router")
    joint = await r.call("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})

    assert (409, "ServicePortInUse") == await r.refused("DELETE", f"/ports/{joint['port_id']}")


async def test_a_port_that_only_claims_to_serve_a_router_is_deleted(r):
    network, _ = await r.network()
    port = await r.make("port", network_id=network, device_owner="network:router_interface")

    await r.call("DELETE", f"/ports/{port['id']}")


async def test_address_pairs_are_shown_with_the_macs_they_have(r):
    network, _ = await r.network()
    pairs = [{"ip_address": "10.0.0.9"}, {"ip_address": "10.1.0.0/24", "mac_address": "fa:16:3e:00:00:09"}]

    port = await r.make("port", network_id=network, mac_address="fa:16:3e:00:00:01", allowed_address_pairs=pairs)

    assert ["fa:16:3e:00:00:01", "fa:16:3e:00:00:09"] == [pair["mac_address"] for pair in port["allowed_address_pairs"]]
