"""Subnets that are kept for some kinds of ports: who gets addresses from them, and who gets none."""

import pytest
from network.network_world import ALICE, room

from micronova.network.contract import NicRequest


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def furnished(r, *kinds):
    """A network with a subnet for each, which is a list of service types."""
    network = (await r.make("network"))["id"]
    for number, kind in enumerate(kinds):
        await r.make("subnet", network_id=network, cidr=f"10.{number}.0.0/24", service_types=kind)
    return network


async def first_ip(r, network, owner):
    port = await r.make("port", "admin", network_id=network, device_owner=owner)
    return port["fixed_ips"][0]["ip_address"]


async def test_a_port_gets_its_address_from_a_subnet_for_its_kind(r):
    network = await furnished(r, ["compute:nova"], ["network:dhcp", "compute:lab"])

    given = [await first_ip(r, network, owner) for owner in ("compute:nova", "network:dhcp", "compute:lab")]

    assert ["10.0.0.2", "10.1.0.2", "10.1.0.3"] == given


async def test_a_subnet_for_every_kind_is_for_the_rest(r):
    network = await furnished(r, ["network:dhcp"], [])

    given = [await first_ip(r, network, owner) for owner in ("", "compute:nova", "compute:nova:1")]

    assert ["10.1.0.2", "10.1.0.3", "10.1.0.4"] == given


async def test_a_port_of_another_kind_gets_none_and_is_told_why(r):
    network = await furnished(r, ["compute:nova"])

    refused = [
        await r.refused("POST", "/ports", {"port": {"network_id": network, "device_owner": owner}}, token="admin")
        for owner in ("", "network:dhcp", "compute:nova2", "compute:")
    ]

    assert [(409, "IpAddressGenerationFailureNoMatchingSubnet")] * 4 == refused


async def test_who_asks_for_a_subnet_by_name_gets_an_address_of_it(r):
    network = await furnished(r, ["compute:nova"])
    subnet = (await r.call("GET", "/subnets"))["subnets"][0]["id"]

    port = await r.make("port", network_id=network, fixed_ips=[{"subnet_id": subnet}])

    assert "10.0.0.2" == port["fixed_ips"][0]["ip_address"]


async def test_a_server_is_of_the_kind_of_its_zone(r):
    network = await furnished(r, ["network:dhcp"], ["compute:nova"])

    requests = (NicRequest(network_id=network),)
    [nic] = await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", requests, ())

    assert "10.1.0.2" == nic.fixed_ips[0][1]


async def test_the_kinds_of_a_subnet_change_and_must_be_some(r):
    network = await furnished(r, ["compute:nova"])
    path = f"/subnets/{(await r.call('GET', '/subnets'))['subnets'][0]['id']}"

    changed = await r.call("PUT", path, {"subnet": {"service_types": ["network:dhcp"]}})
    wrong = await r.refused("PUT", path, {"subnet": {"service_types": ["volume:x"]}})
    body = {"subnet": {"network_id": network, "cidr": "10.9.0.0/24", "service_types": ["x"]}}

    assert ["network:dhcp"] == changed["subnet"]["service_types"]
    assert (400, "InvalidSubnetServiceType") == wrong == await r.refused("POST", "/subnets", body)
