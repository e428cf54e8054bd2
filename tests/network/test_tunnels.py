"""Where a host's tunnels end: at the configured address, or at the one it reaches the world from."""

import ipaddress

import pytest

from micronova.errors import ConfigError
from micronova.network.tunnels import is_reached, own_address


@pytest.mark.parametrize(
    ("configured", "wanted"), [("192.0.2.7", "192.0.2.7"), ("2001:DB8::0:7", "2001:db8::7"), ("127.0.0.1", "127.0.0.1")]
)
def test_a_configured_address_is_taken_as_it_is(configured, wanted):
    assert wanted == own_address(configured)


def test_without_one_it_is_an_address_of_this_host():
    found = ipaddress.ip_address(own_address(""))

    assert 4 == found.version
    assert not found.is_unspecified


def test_what_is_no_address_is_refused():
    with pytest.raises(ConfigError, match=r"network\.tunnel_address: '192\.0\.2' is not an IP address"):
        own_address("192.0.2")


@pytest.mark.parametrize(("address", "reached"), [("127.0.0.1", False), ("::1", False), ("192.0.2.7", True)])
def test_only_the_host_itself_reaches_loopback(address, reached):
    assert reached is is_reached(address)
