"""The flows of one port: who its guest may claim to be, where it is found, and which rules judge it. Pure.

A guest's own MAC is always found at its port. Further MACs it may use, and all that an unsecured one uses, are found
where they were last heard from: more than one guest may have the right to them.
"""

import ipaddress

import msgspec

from micronova.network.driver import PortSpec
from micronova.network.drivers.ovs import tables as t
from micronova.network.drivers.ovs.openflow import Flow, Piece
from micronova.network.drivers.ovs.tables import load, to
from micronova.network.drivers.served.filters import link_local
from micronova.network.drivers.served.shaping import HIGHEST_KBPS, USUAL_BURST

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FAMILIES = ("ip", "ipv6")
LEARNED_SECONDS = 300
LEAST_BURST_KBIT = 2_000  # some of the longest segments that guests leave to the kernel, or none would ever pass
LEARN = (
    f"learn(table={t.WHERE},priority=90,idle_timeout={LEARNED_SECONDS},{t.NETWORK},"
    "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15])"
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a port is on the bridge: its number, and that of the port that carries it with a tag; in which network."""

    number: int
    zone: int
    carrier: int | None = None


def port(spec: PortSpec, place: Place, chains: tuple[int, int]) -> Piece:
    """The flows of a port; `chains` judge what it sends and what it gets.

    What the specification holds was checked before.
    """
    if not spec.up:
        return ()
    number, zone = place.number, place.zone
    sends, gets = chains
    mac = spec.mac.lower()
    here = f"{t.MATCH_NETWORK}={zone}"
    flows = [
        Flow(t.WHERE, 100, f"{here},dl_dst={mac}", load(number, t.TARGET)),
        Flow(t.RECEIVER, 100, f"{here},{t.MATCH_TARGET}={number}", f"{load(gets, t.HEARER)},{to(t.GOT)}"),
    ]
    flows += _qos(spec, number)
    priority, source, untagged, named = 100, f"in_port={number}", ",vlan_tci=0x0000", load(zone, t.NETWORK)
    if spec.parent is not None and place.carrier is not None:
        priority, source, untagged = 110, f"in_port={place.carrier},dl_vlan={spec.parent.vlan}", ""
        named = f"pop_vlan,{load(number, 'NXM_OF_IN_PORT[]')},{named}"
        out = f"push_vlan:0x8100,set_field:{0x1000 | spec.parent.vlan}->vlan_vid,output:{place.carrier}"
        flows.append(Flow(t.SEND, 100, f"{here},{t.MATCH_TARGET}={number}", out))
    if not spec.secured:
        return (*flows, Flow(t.CLASSIFY, priority, source, f"{named},{LEARN},{to(t.QOS)}"))
    owned = _owned(spec)
    judged = f"{named},{load(sends, t.SENDER)}"
    for one in sorted({mac, *(other for other, _ in owned)}):
        learned = f"{LEARN}," if one != mac else ""
        flows += [
            Flow(t.CLASSIFY, priority, f"{source},dl_src={one}{untagged}", f"{judged},{learned}{to(t.SPOOF)}"),
            Flow(t.SPOOF, 100, f"in_port={number},dl_src={one},arp,arp_sha={one},arp_spa=0.0.0.0", to(t.QOS)),
        ]
    return (*flows, *(flow for one, net in owned for flow in _claims(number, one, net)))


def meter(spec: PortSpec, number: int) -> str:
    """The meter that limits what the port's guest sends; "" for no limit."""
    rate = spec.qos.egress
    if rate is None or rate.kbps >= HIGHEST_KBPS:
        return ""
    burst = max(rate.burst_kbit or int(rate.kbps * USUAL_BURST), LEAST_BURST_KBIT)
    return f"meter={number},kbps,burst,band=type=drop,rate={rate.kbps},burst_size={burst}"


def _qos(spec: PortSpec, number: int) -> list[Flow]:
    limited = f"meter:{number}," if meter(spec, number) else ""
    marked = "" if spec.qos.dscp is None else f"set_field:{spec.qos.dscp}->ip_dscp,"
    if not limited and not marked:
        return []
    flows = [Flow(t.QOS, 100, f"in_port={number},{family}", f"{limited}{marked}{to(t.TRACK)}") for family in FAMILIES]
    return [*flows, Flow(t.QOS, 90, f"in_port={number}", f"{limited}{to(t.TRACK)}")]


def _owned(spec: PortSpec) -> list[tuple[str, Network]]:
    pairs = [(spec.mac, ip) for ip in spec.ips] + list(spec.allowed_pairs)
    owned = [(mac.lower(), ipaddress.ip_network(text, strict=False)) for mac, text in pairs]
    macs = {spec.mac.lower(), *(mac for mac, _ in owned)}
    return owned + [(mac, ipaddress.ip_network(str(link_local(mac)))) for mac in sorted(macs)]


def _claims(number: int, mac: str, net: Network) -> list[Flow]:
    source = f"in_port={number},dl_src={mac}"
    if isinstance(net, ipaddress.IPv4Network):
        arp, ip = (f",{field}={net}" if net.prefixlen else "" for field in ("arp_spa", "nw_src"))
        return [
            Flow(t.SPOOF, 100, f"{source},arp,arp_sha={mac}{arp}", to(t.QOS)),
            Flow(t.SPOOF, 100, f"{source},ip{ip}", to(t.QOS)),
        ]
    ip, target = (f",{field}={net}" if net.prefixlen else "" for field in ("ipv6_src", "nd_target"))
    return [
        Flow(t.SPOOF, 100, f"{source},ipv6{ip}", to(t.CLAIM)),
        Flow(t.CLAIM, 100, f"in_port={number},icmp6,icmp_type=136{target}", to(t.QOS)),
    ]
