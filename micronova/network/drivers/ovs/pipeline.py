"""The flows that every bridge has, and those of one network. Pure: from what is written down to flows.

What guests may always say and hear is here too: DHCP, metadata, neighbour discovery.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from micronova.network.driver import NetworkSpec
from micronova.network.drivers.ovs import tables as t
from micronova.network.drivers.ovs.openflow import Flow, Group, Piece
from micronova.network.drivers.ovs.tables import FORWARD, load, to
from micronova.network.drivers.served.filters import link_local
from micronova.network.drivers.served.names import gateway_mac
from micronova.network.drivers.served.tables import METADATA

ND_TYPES = (130, 131, 132, 133, 134, 135, 136, 143)  # MLD (RFC 2710, 3810), neighbour discovery (RFC 4861)
FROM_NOBODY = (131, 132, 133, 135, 143)
FROM_LINK_LOCAL = (131, 132, 133, 135, 136, 143)
UNKNOWN_GROUPS = 0x10000
UNSPECIFIED = "::"
LINK_LOCAL = "fe80::/10"
DHCP4_ASKED, DHCP4_TOLD = "udp,tp_src=68,tp_dst=67", "udp,tp_src=67,tp_dst=68"
DHCP6_ASKED, DHCP6_TOLD = "udp6,tp_src=546,tp_dst=547", "udp6,tp_src=547,tp_dst=546"


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """The bridge's port `number` by which a network leaves the host, with VLAN `vlan` where it has one.

    `peers` are the other ends of a `tunnel` that must be told them, each with its MACs; another port knows itself.
    """

    number: int
    vlan: int | None = None
    tunnel: bool = False
    peers: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Wired(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the bridge has it. `service` is the port that leads to its gateway.

    What the gateway forwards to guests of other hosts leaves as `host_mac`: no switch ever sees the gateway's MAC come
    from elsewhere.
    """

    spec: NetworkSpec
    zone: int
    service: int
    uplink: Uplink | None = None
    host_mac: str = ""


def everyone() -> Piece:
    """The flows that depend on no network and no port."""
    return (*_spoof(), *_track(), *_sent(), *_got())


def network(wired: Wired) -> Piece:
    """The flows of a network: its gateway, its way to other hosts."""
    zone, service = wired.zone, wired.service
    here = f"{t.MATCH_NETWORK}={zone}"
    gateway = link_local(gateway_mac(wired.spec.id))
    named = load(zone, t.NETWORK)
    flows = [
        Flow(t.CLASSIFY, 100, f"in_port={service}", f"{named},{to(t.TRACK)}"),
        # The two directions of a routed connection may go through gateways of different hosts.
        Flow(t.STATE, 110, f"in_port={service},ct_state=+trk+inv", to(t.SENT)),
        Flow(t.SPOOF, 200, f"{here},ipv6,ipv6_src={gateway}", "drop"),
        Flow(t.SPOOF, 200, f"{here},icmp6,icmp_type=136,nd_target={gateway}", "drop"),
        Flow(t.SPOOF, 200, f"{here},icmp6,icmp_type=135,ipv6_src=::,nd_target={gateway}", "drop"),
        Flow(t.WHERE, 110, f"{here},dl_dst={gateway_mac(wired.spec.id)}", load(service, t.TARGET)),
        Flow(t.RECEIVER, 100, f"{here},{t.MATCH_TARGET}={service}", to(t.GOT)),
        Flow(t.WHERE, 100, f"{here},{t.MULTICAST}", f"group:{zone}"),
        Flow(t.WHERE, 1, here, f"group:{UNKNOWN_GROUPS + zone}"),
    ]
    if wired.uplink is not None:
        flows += _uplink(wired, wired.uplink)
    return tuple(flows)


def copies(wired: Wired, ports: Iterable[int], unknown: Iterable[int]) -> Piece:
    """Who gets what is for everybody: `ports`, the gateway, other hosts; and what is for somebody unknown."""
    away = _away(wired.uplink) if wired.uplink is not None else []
    every = [load(number, t.TARGET) for number in (*ports, wired.service)] + away
    strangers = [load(number, t.TARGET) for number in unknown] + away
    return (
        Group(wired.zone, tuple(f"{bucket},{to(t.RECEIVER)}" for bucket in every)),
        Group(UNKNOWN_GROUPS + wired.zone, tuple(f"{bucket},{to(t.RECEIVER)}" for bucket in strangers)),
    )


def _away(uplink: Uplink) -> list[str]:
    port = load(uplink.number, t.TARGET)
    return [f"{_end(address)},{port}" for address, _ in uplink.peers] if uplink.tunnel else [port]


def _end(address: str) -> str:
    field = "tun_ipv6_dst" if ":" in address else "tun_dst"
    return f"set_field:{ipaddress.ip_address(address)}->{field}"


def _uplink(wired: Wired, uplink: Uplink) -> list[Flow]:
    here, number = f"{t.MATCH_NETWORK}={wired.zone}", uplink.number
    tagged = f"dl_vlan={uplink.vlan}" if uplink.vlan is not None else "vlan_tci=0x0000"
    bare = "pop_vlan," if uplink.vlan is not None else ""
    flows = [
        Flow(t.CLASSIFY, 100, f"in_port={number},{tagged}", f"{bare}{load(wired.zone, t.NETWORK)},{to(t.FOREIGN)}"),
        Flow(t.RECEIVER, 100, f"{here},{t.MATCH_TARGET}={number}", to(t.ABROAD)),
    ]
    if uplink.vlan is not None:
        out = f"push_vlan:0x8100,set_field:{0x1000 | uplink.vlan}->vlan_vid,output:{number}"
        flows.append(Flow(t.SEND, 100, f"{here},{t.MATCH_TARGET}={number}", out))
    for address, macs in uplink.peers:
        actions = f"{_end(address)},{load(number, t.TARGET)}"
        flows += [Flow(t.WHERE, 105, f"{here},dl_dst={mac.lower()}", actions) for mac in sorted(set(macs))]
    mac = f"{here},dl_src={gateway_mac(wired.spec.id)}"
    discovery = [f"icmp6,icmp_type={kind}" for kind in (133, 134, 135, 136, 137)]
    return [
        *flows,
        *(Flow(table, 100, f"{here},{m}", "drop") for m in _local(wired.spec) for table in (t.FOREIGN, t.ABROAD)),
        Flow(t.FOREIGN, 101, mac, "drop"),
        *(Flow(t.ABROAD, 95, f"{mac},{match}", "drop") for match in ("arp", *discovery)),
        Flow(t.ABROAD, 90, mac, f"set_field:{wired.host_mac}->eth_src,{to(t.GOT)}"),
    ]


def _local(spec: NetworkSpec) -> list[str]:
    """What stays on the host: what the gateway and the DHCP server say, and what asks for them."""
    mac = gateway_mac(spec.id)
    gateways = {METADATA, str(link_local(mac)), *(subnet.gateway for subnet in spec.subnets if subnet.gateway)}
    gateways |= {address.split("/")[0] for router in spec.routers for address in router.addresses}
    found = [f"dl_dst={mac}"]
    for address in sorted(str(ipaddress.ip_address(text)) for text in gateways):
        if ":" in address:
            found += [f"icmp6,icmp_type={kind},nd_target={address}" for kind in (135, 136)]
            found += [f"ipv6,ipv6_src={address}", f"ipv6,ipv6_dst={address}"]
        else:
            found += [f"arp,arp_spa={address}", f"arp,arp_tpa={address}"]
            found += [f"ip,nw_src={address}", f"ip,nw_dst={address}"]
    if any(subnet.dhcp and ":" not in subnet.cidr for subnet in spec.subnets):
        found += [DHCP4_ASKED, DHCP4_TOLD]
    if any(subnet.ipv6_mode and ":" in subnet.cidr for subnet in spec.subnets):
        found += ["icmp6,icmp_type=133", "icmp6,icmp_type=134", DHCP6_ASKED, DHCP6_TOLD]
    return found


def _spoof() -> list[Flow]:
    """What no guest may say, whoever it is, and what each may before it has an address."""
    drops = ["icmp6,icmp_type=134", "icmp6,icmp_type=137", DHCP4_TOLD, DHCP6_TOLD]
    nobody = [f"icmp6,icmp_type={kind},ipv6_src={UNSPECIFIED}" for kind in FROM_NOBODY]
    near = [f"icmp6,icmp_type={kind},ipv6_src={LINK_LOCAL}" for kind in FROM_LINK_LOCAL]
    allowed = [f"{DHCP4_ASKED},nw_src=0.0.0.0", f"{DHCP6_ASKED},ipv6_src={LINK_LOCAL}", *nobody, *near]
    return [
        *(Flow(t.SPOOF, 210, match, "drop") for match in drops),
        *(Flow(t.SPOOF, 150, match, to(t.CLAIM)) for match in allowed),
        Flow(t.CLAIM, 150, f"icmp6,icmp_type=136,nd_target={LINK_LOCAL}", to(t.QOS)),
        Flow(t.CLAIM, 50, "icmp6,icmp_type=136", "drop"),
        Flow(t.CLAIM, 0, "", to(t.QOS)),
        Flow(t.QOS, 0, "", to(t.TRACK)),
        Flow(t.FOREIGN, 0, "", to(t.TRACK)),
        Flow(t.ABROAD, 200, "vlan_tci=0x1000/0x1000", "drop"),
        Flow(t.ABROAD, 0, "", to(t.GOT)),
    ]


def _track() -> list[Flow]:
    """Neighbour discovery and what is for many belong to no connection."""
    passes = f"{load(1, t.JUDGED)},{FORWARD}"
    flows = [Flow(t.TRACK, 95, f"icmp6,icmp_type={kind}", passes) for kind in ND_TYPES]
    for family in ("ip", "ipv6"):
        flows += [
            Flow(t.TRACK, 90, f"{family},{t.MULTICAST}", to(t.SENT)),
            Flow(t.TRACK, 80, family, f"ct(table={t.STATE},zone={t.ZONE})"),
        ]
    return [
        *flows,
        Flow(t.TRACK, 0, "", FORWARD),
        Flow(t.STATE, 100, "ct_state=+trk+inv", "drop"),
        Flow(t.STATE, 90, "ct_state=+trk+rel", passes),
        Flow(t.STATE, 80, f"ct_state=+trk+est+rpl,ct_mark={t.CUT:#x}", "drop"),
        Flow(t.STATE, 70, "ct_state=+trk+est+rpl", passes),
        Flow(t.STATE, 0, "", to(t.SENT)),
    ]


def _sent() -> list[Flow]:
    always = [DHCP4_ASKED, DHCP6_ASKED, f"tcp,nw_dst={METADATA},tp_dst=80"]
    return [
        *(Flow(t.SENT, 200, match, FORWARD) for match in always),
        Flow(t.SENT, 150, f"{t.MATCH_SENDER}=0", FORWARD),
        Flow(t.SENT, 0, "", to(t.REFUSED)),
    ]


def _got() -> list[Flow]:
    delivered = to(t.DELIVER)
    flows = [
        Flow(t.GOT, 250, f"{t.MATCH_JUDGED}=1", delivered),
        *(Flow(t.GOT, 200, match, delivered) for match in ("arp", DHCP4_TOLD, DHCP6_TOLD)),
        Flow(t.GOT, 150, f"{t.MATCH_HEARER}=0", delivered),
        Flow(t.GOT, 0, "", delivered),
        Flow(t.DELIVER, 0, "", to(t.SEND)),
        Flow(t.SEND, 0, "", f"output:{t.TARGET}"),
    ]
    for family in ("ip", "ipv6"):
        again = f"{family},ct_state=+trk+est-rpl"
        flows += [
            Flow(t.GOT, 10, family, to(t.REFUSED)),
            Flow(t.REFUSED, 100, again, _commit(t.CUT)),
            Flow(t.DELIVER, 100, f"{family},ct_state=+trk+new", f"{_commit(0)},{to(t.SEND)}"),
            Flow(t.DELIVER, 100, f"{again},ct_mark={t.CUT:#x}", f"{_commit(0)},{to(t.SEND)}"),
        ]
    return flows


def _commit(mark: int) -> str:
    return f"ct(commit,zone={t.ZONE},exec({load(mark, 'NXM_NX_CT_MARK[]')}))"
