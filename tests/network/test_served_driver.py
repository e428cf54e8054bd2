"""What drivers with service namespaces are told of this host: the range between, bridges and interfaces, commands."""

import ipaddress
import os

import pytest

from micronova.errors import ConfigError, DriverError
from micronova.network.drivers.served import segments
from micronova.network.drivers.served.driver import links_in, need
from micronova.options import NetworkOptions


def test_a_range_for_links_is_a_network_of_a_size_that_serves() -> None:
    assert ipaddress.IPv4Network("100.64.0.0/16") == links_in("100.64.0.0/16", widest=16)


@pytest.mark.parametrize("wrong", ["", "10.0.0.1/16", "fd00::/64", "10.0.0.0/15", "10.0.0.0/29"])
def test_a_range_that_is_none_or_of_another_size_is_told(wrong: str) -> None:
    with pytest.raises(ConfigError, match="link_range"):
        links_in(wrong, widest=16)


def test_the_configuration_names_bridges_and_interfaces_by_physical_network() -> None:
    wires = segments.configured(NetworkOptions(bridges=("office:br0",), interfaces=("lab:eth1",)))

    assert ({"office": "br0"}, {"lab": "eth1"}) == (wires.bridges, wires.interfaces)


def test_all_that_is_missing_is_told_with_the_packages_that_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(DriverError, match="no-such-a, no-such-b missing on this host: install package-b package-c"):
        need("Linux", {"sh": "dash", "no-such-a": "package-c", "no-such-b": "package-b"})


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(DriverError, match="the Linux network driver needs root"):
        need("Linux", {})
