"""The arithmetic of addresses: pools, gateways, gaps, what a MAC becomes."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micronova.errors import BadRequest, Conflict
from micronova.network import ipam

V4 = st.builds(
    lambda at, length: ipaddress.ip_network((at, length), strict=False), st.integers(0, 2**32 - 1), st.integers(8, 32)
)
V6 = st.builds(
    lambda at, length: ipaddress.ip_network((at, length), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(32, 128),
)


@given(V4 | V6)
def test_the_default_pools_hold_all_that_is_usable_but_the_gateway(net):
    gateway = ipam.default_gateway(net)

    pools = ipam.default_pools(net, gateway)

    first, last = ipam.usable(net)
    held = first <= ipam.number(gateway) <= last
    assert last - first + 1 - held == ipam.size(pools)
    assert not any(ipam.number(low) <= ipam.number(gateway) <= ipam.number(high) for low, high in pools)


@given(V4 | V6)
def test_default_pools_pass_the_check_of_pools(net):
    gateway = ipam.default_gateway(net)
    pools = ipam.default_pools(net, gateway)

    assert pools == ipam.check_pools(net, pools[::-1], gateway)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_keys_sort_as_addresses_do(one, two):
    assert (one < two) == (ipam.key(one, 4) < ipam.key(two, 4))
    assert (one < two) == (ipam.key(one, 6) < ipam.key(two, 6))


@given(st.sets(st.integers(10, 60)))
def test_the_free_number_is_the_lowest_that_is_not_taken(taken):
    expected = next(value for value in range(10, 100) if value not in taken)

    assert expected == ipam.free_within(10, sorted(taken))


def test_a_mac_becomes_the_address_that_guests_make_themselves():
    assert "fd00::f816:3eff:fe01:203" == ipam.eui64("fd00::/64", "fa:16:3e:01:02:03")


@pytest.mark.parametrize(
    ("pools", "error", "name"),
    [
        ([("10.0.0.9", "10.0.0.2")], BadRequest, "InvalidAllocationPool"),
        ([("10.0.0.2", "fd00::1")], BadRequest, "InvalidAllocationPool"),
        ([("10.0.0.2", "10.0.1.2")], BadRequest, "OutOfBoundsAllocationPool"),
        ([("10.0.0.0", "10.0.0.9")], BadRequest, "OutOfBoundsAllocationPool"),
        ([("10.0.0.2", "10.0.0.9"), ("10.0.0.9", "10.0.0.20")], BadRequest, "OverlappingAllocationPools"),
        ([("10.0.0.1", "10.0.0.9")], Conflict, "GatewayConflictWithAllocationPools"),
    ],
)
def test_pools_that_cannot_be_are_refused_by_name(pools, error, name):
    with pytest.raises(error) as refused:
        ipam.check_pools(ipaddress.ip_network("10.0.0.0/24"), pools, "10.0.0.1")

    assert name == refused.value.type


@pytest.mark.parametrize("gateway", ["10.0.0.0", "10.0.0.255", "10.0.1.1", "fd00::1"])
def test_a_gateway_that_no_host_can_have_is_refused(gateway):
    with pytest.raises(BadRequest):
        ipam.check_gateway(ipaddress.ip_network("10.0.0.0/24"), gateway)
