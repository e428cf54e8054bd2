"""What may cross a network's uplink to other hosts, as nftables rules: pure, from the specification.

Every host is the network's gateway with the same MAC and the same addresses, and its DHCP server. So neither what these
say nor what asks for them may leave a host, or come in. What the gateway forwards to guests of other hosts leaves as
this host's own MAC: no bridge ever sees the gateway's MAC come from elsewhere.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from micronova.network.driver import NetworkSpec, SubnetSpec
from micronova.network.drivers.served.filters import ND_TARGET, link_local
from micronova.network.drivers.served.names import gateway_mac
from micronova.network.drivers.served.tables import METADATA

ADVERTISEMENTS = "133, 134, 137"  # router solicitation, router advertisement, redirect (RFC 4861)


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """The interface by which a network meets other hosts, and what passes it in either direction."""

    name: str
    comes: tuple[str, ...]
    leaves: tuple[str, ...]


def uplink(spec: NetworkSpec, name: str, host_mac: str) -> Uplink:
    """The filters of the network's uplink of this name. `host_mac` is this host's own MAC towards other hosts."""
    mac = gateway_mac(spec.id)
    own = gateways(spec)
    never = [
        f"ether daddr {mac} drop",
        *_ipv4([address for address in own if ":" not in address]),
        *_ipv6([address for address in own if ":" in address], spec.id),
        *_dhcp(spec.subnets),
    ]
    forwarded = [
        f"ether saddr {mac} ether type arp drop",
        f"ether saddr {mac} icmpv6 type {{ {ADVERTISEMENTS}, 135, 136 }} drop",
        f"ether saddr {mac} ether saddr set {host_mac}",
    ]
    return Uplink(
        name=name,
        comes=("meta mark set 0", f"ether saddr {mac} drop", *never),
        leaves=(*never, *forwarded),
    )


def gateways(spec: NetworkSpec) -> list[str]:
    """Every address of the network's gateway and routers here, each once."""
    found = [subnet.gateway for subnet in spec.subnets if subnet.gateway is not None]
    found += [address.split("/")[0] for router in spec.routers for address in router.addresses]
    return list(dict.fromkeys(str(ipaddress.ip_address(address)) for address in found))


def _ipv4(own: list[str]) -> list[str]:
    listed = ", ".join([*own, METADATA])
    return [f"{name} {{ {listed} }} drop" for name in ("arp saddr ip", "arp daddr ip", "ip saddr", "ip daddr")]


def _ipv6(own: list[str], network_id: str) -> list[str]:
    local = link_local(gateway_mac(network_id))
    addresses = [local, *map(ipaddress.IPv6Address, own)]
    listed = ", ".join(map(str, addresses))
    targets = ", ".join(f"0x{int(address):032x}" for address in addresses)
    return [
        f"ip6 saddr {{ {listed} }} drop",
        f"ip6 daddr {{ {listed} }} drop",
        f"icmpv6 type {{ 135, 136 }} {ND_TARGET} {{ {targets} }} drop",
    ]


def _dhcp(subnets: Iterable[SubnetSpec]) -> list[str]:
    """Guests may serve each other what the hosts don't."""
    lines: list[str] = []
    if any(subnet.dhcp and ":" not in subnet.cidr for subnet in subnets):
        lines += [f"ether type ip udp sport {one} udp dport {other} drop" for one, other in ((67, 68), (68, 67))]
    if any(subnet.ipv6_mode is not None for subnet in subnets if ":" in subnet.cidr):
        lines += [f"ether type ip6 udp sport {one} udp dport {other} drop" for one, other in ((546, 547), (547, 546))]
        lines.append(f"icmpv6 type {{ {ADVERTISEMENTS} }} drop")
    return lines
