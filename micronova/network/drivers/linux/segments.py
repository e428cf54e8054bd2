"""What joins a network with the same network on other hosts: which bridge it is, and by which uplink it leaves.

Bridges and interfaces that the operator named are used and never changed but for our own ports: what they are is told
in a refusal when it doesn't fit.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from micronova.errors import ConfigError, DriverError, Rejected
from micronova.network.driver import NetworkSpec, SegmentSpec
from micronova.network.drivers.linux import vlans, vxlan
from micronova.network.drivers.linux.links import Link, Links
from micronova.network.drivers.linux.names import Names, check_device, check_mac, host_mac
from micronova.network.drivers.linux.neighbours import settle_behind
from micronova.network.drivers.linux.uplinks import Uplink, is_lan, is_spanning, uplink

HIGHEST_VLAN, HIGHEST_VNI = 4094, 2**24 - 1


class HostWires(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's bridges (for flat networks) and interfaces (for VLANs) by physical network."""

    bridges: Mapping[str, str] = MappingProxyType({})
    interfaces: Mapping[str, str] = MappingProxyType({})


NO_WIRES = HostWires()


class Segments:
    """Uplinks of one cloud's networks on a host with these wires."""

    def __init__(self, names: Names, wires: HostWires) -> None:
        self._names = names
        self._bridges = wires.bridges
        self._interfaces = wires.interfaces

    def check(self, spec: NetworkSpec) -> None:
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
        if is_lan(spec) and segment.physical_network not in self._bridges:
            raise DriverError(f"this host has no bridge for physical network {segment.physical_network}")
        if segment.network_type == "vlan" and segment.physical_network not in self._interfaces:
            raise DriverError(f"this host has no interface for physical network {segment.physical_network}")

    def bridge(self, spec: NetworkSpec) -> str:
        """The network's bridge: the host's where the operator named one, else our own."""
        ours = self._names.bridge(spec.id)
        return self._bridges.get(spec.segment.physical_network or "", ours) if is_lan(spec) else ours

    def lan(self, spec: NetworkSpec, links: Links) -> Link:
        """The host's bridge that the network is. Raises DriverError when it can't serve."""
        link = links.need(self.bridge(spec))
        vlans.check_lan(links, link)
        return link

    def uplink(self, spec: NetworkSpec, links: Links) -> Uplink | None:
        """What passes between hosts; None for a network that has no uplink of ours."""
        if not _has_uplink(spec):
            return None
        identity = spec.segment.local
        if spec.segment.network_type == "vlan":
            link = links.find(self._interface(spec))
            identity = link.mac if link is not None else spec.id
        return uplink(spec, self._names.uplink(spec.id), host_mac(identity))

    def trunk(self, spec: NetworkSpec) -> str:
        """The bridge that carries the network's VLAN where the kernel has no VLAN interfaces; "" for none."""
        return self._names.trunk(self._interface(spec)) if spec.segment.network_type == "vlan" else ""

    def settle(self, spec: NetworkSpec, bridge: Link, links: Links) -> None:
        """The network's uplink is on its bridge and leads to just the peers of the specification."""
        name, segment = self._names.uplink(spec.id), spec.segment
        if not _has_uplink(spec):
            self.unmake(spec.id, links)
            return
        if segment.network_type == "vxlan":
            link = vxlan.ensure(links, name, segment)
        else:
            link = vlans.ensure(links, self._names, spec, self._interface(spec))
        alias = self._names.alias("uplink", spec.id, spec.id)
        if segment.network_type == "vxlan":
            vxlan.settle_peers(links, link, segment)
        links.settle(link, mtu=spec.mtu, master=bridge.index, alias=alias)
        settle_behind(links, link, _macs(segment))

    def unmake(self, network_id: str, links: Links) -> None:
        """The network has no uplink, and what only it used is gone."""
        vlans.unmake(links, self._names, network_id)
        links.delete(self._names.uplink(network_id))

    def _interface(self, spec: NetworkSpec) -> str:
        return self._interfaces.get(spec.segment.physical_network or "", "")


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


def _macs(segment: SegmentSpec) -> set[str]:
    """The guests' MACs on other hosts."""
    told = {mac for peer in segment.peers for mac in peer.macs} | {mac for _, mac in segment.neighbours}
    return {mac.lower() for mac in told}


def _check_number(number: int | None, highest: int) -> None:
    if number is None or not 1 <= number <= highest:
        raise Rejected(f"{number} is no id of a segment: it must be 1 to {highest}")


def _has_uplink(spec: NetworkSpec) -> bool:
    """A host without an end of its own has no tunnels."""
    return is_spanning(spec) and (spec.segment.network_type != "vxlan" or bool(spec.segment.local))


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
