"""What joins a network with the same network on other hosts: what a host has for it, and which segments can be.

Bridges and interfaces that the operator named are used and never changed but for our own ports: what they are is told
in a refusal when it doesn't fit.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from micronova.errors import ConfigError, DriverError, Rejected
from micronova.network.driver import NetworkSpec, SegmentSpec
from micronova.network.drivers.served.names import check_device, check_mac
from micronova.options import NetworkOptions

HIGHEST_VLAN, HIGHEST_VNI = 4094, 2**24 - 1
SPANNING = frozenset({"vlan", "vxlan"})


class HostWires(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's bridges (for flat networks) and interfaces (for VLANs) by physical network."""

    bridges: Mapping[str, str] = MappingProxyType({})
    interfaces: Mapping[str, str] = MappingProxyType({})


NO_WIRES = HostWires()


def configured(options: NetworkOptions) -> HostWires:
    """What the configuration names. Raises ConfigError for what can't be."""
    return HostWires(
        bridges=mapping("network.bridges", options.bridges),
        interfaces=mapping("network.interfaces", options.interfaces),
    )


def mapping(option: str, pairs: Iterable[str]) -> dict[str, str]:
    """What `option` maps, from texts "physical network:name". Raises ConfigError for one that is no such pair."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, colon, name = pair.partition(":")
        try:
            check_device(name)
        except Rejected:
            colon = ""
        if not key or not colon:
            raise ConfigError(f"configuration: {option}: {pair!r} is not PHYSICAL_NETWORK:NAME")
        if key in found:
            raise ConfigError(f"configuration: {option}: physical network {key} stands there twice")
        found[key] = name
    return found


def is_spanning(spec: NetworkSpec) -> bool:
    """Whether the network is on one wire with the same network on other hosts, behind gateways of their own."""
    return spec.segment.network_type in SPANNING


def is_lan(spec: NetworkSpec) -> bool:
    """Whether the network is a bridge of this host that is not ours."""
    return spec.segment.network_type == "flat" and spec.segment.physical_network is not None


def check(spec: NetworkSpec, wires: HostWires) -> None:
    """Raises Rejected for a segment that can't be, DriverError for one that this host doesn't carry."""
    segment = spec.segment
    if segment.network_type not in ("flat", "vlan", "vxlan"):
        raise Rejected(f"network {spec.id}: {segment.network_type!r} is no network type of this driver")
    if segment.network_type == "vxlan":
        _check_number(segment.id, HIGHEST_VNI)
        _check_tunnel(segment)
    if segment.network_type == "vlan":
        _check_number(segment.id, HIGHEST_VLAN)
    for address, mac in segment.neighbours:
        _check_address(address)
        check_mac(mac)
    if is_lan(spec) and segment.physical_network not in wires.bridges:
        raise DriverError(f"this host has no bridge for physical network {segment.physical_network}")
    if segment.network_type == "vlan" and segment.physical_network not in wires.interfaces:
        raise DriverError(f"this host has no interface for physical network {segment.physical_network}")


def _check_number(number: int | None, highest: int) -> None:
    if number is None or not 1 <= number <= highest:
        raise Rejected(f"{number} is no id of a segment: it must be 1 to {highest}")


def _check_tunnel(segment: SegmentSpec) -> None:
    if not segment.local and not segment.peers:
        return
    local = _check_address(segment.local)
    for peer in segment.peers:
        if _check_address(peer.address).version != local.version:
            raise Rejected(f"no tunnel leads from {local} to {peer.address}: they must be of one IP version")
        for mac in peer.macs:
            check_mac(mac)


def _check_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as err:
        raise Rejected(f"{text[:80]!r} is no address") from err
