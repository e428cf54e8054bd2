"""What a network implementation must be able to do on one host. Knows no database, project or other host."""

import re
import socket
from typing import Protocol

import msgspec


class SubnetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One address range of a network. `gateway` is None when the network has no way out.

    `ipv6_mode` is how guests come by IPv6 addresses: "slaac", "dhcpv6-stateless" or "dhcpv6-stateful"; None when the
    host neither advertises nor serves the range.
    """

    id: str
    cidr: str
    gateway: str | None
    dhcp: bool = True
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    ipv6_mode: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """An address that DHCP hands to the guest of a port, under a host name that DNS knows too."""

    ip: str
    hostname: str


class PeerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Another network of the same router: its ranges are reached through the router."""

    network_id: str
    cidrs: tuple[str, ...]


class WayOutSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A router's gateway to an external network. `snat`: guests without a floating IP leave as somebody else.

    `addresses` are the router's own on the external network; every host has this router, so replies to them can't
    find the right one from outside: towards the world the host's own address is the safe one to leave as.
    """

    network_id: str
    snat: bool
    addresses: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    """Subnets whose addresses are known there, so that they leave as they are in any case."""

    def hides(self, subnet_id: str) -> bool:
        """Whether guests of the subnet leave as somebody else."""
        return self.snat and subnet_id not in self.direct


class RouterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a router does for one network on this host; every host with the network is the router.

    `addresses` are the router's on this network, with prefix length ("10.0.0.1/24"). `subnet_ids` are subnets that
    belong to the router: they reach `peers`, `routes` (destination, next hop) and, only when there is a `way_out`, the
    world; what NetworkSpec.nat says doesn't hold for them. An `up` False router forwards nothing.
    """

    id: str
    addresses: tuple[str, ...]
    subnet_ids: tuple[str, ...]
    peers: tuple[PeerSpec, ...] = ()
    way_out: WayOutSpec | None = None
    routes: tuple[tuple[str, str], ...] = ()
    up: bool = True


class RateSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How much may pass: so many kilobits (1000) a second, and so many at once; `burst_kbit` 0 leaves that open."""

    kbps: int
    burst_kbit: int = 0


class QosSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to a guest's packets: `egress` limits what it sends, `ingress` what it gets; what it sends is
    marked `dscp`."""

    egress: RateSpec | None = None
    ingress: RateSpec | None = None
    dscp: int | None = None


NO_QOS = QosSpec()
"""No limit and no mark."""


class FloatingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A floating IP of a port on this host: who asks for `floating_ip` meets `fixed_ip`, which leaves as it.

    `qos` limits what passes by it; nothing is marked.
    """

    floating_ip: str
    fixed_ip: str
    port_id: str
    qos: QosSpec = NO_QOS


class ForwardingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Some ports of a floating IP that stand for ports of a guest here: who asks for those meets `fixed_ip`.

    `outer` and `inner` are first and last ports; either there are as many of both, each standing for its own one, or
    `inner` is one port. `protocol` is "tcp", "udp" or "sctp". The guest doesn't leave as the floating IP.
    """

    floating_ip: str
    protocol: str
    outer: tuple[int, int]
    fixed_ip: str
    inner: tuple[int, int]
    port_id: str


class TunnelPeer(msgspec.Struct, frozen=True, kw_only=True):
    """Another host of the network: its end of the tunnel, and the MACs that are reached by it."""

    address: str
    macs: tuple[str, ...] = ()


class SegmentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What carries a network's packets between hosts.

    `network_type` "flat": the host's bridge of `physical_network`, or a bridge that ends at this host when that is
    None. "vlan": VLAN `id` on `physical_network`. "vxlan": VNI `id`, from this host's address `local` to `peers`;
    packets for everybody go to each of them, those for one MAC to the peer that has it.

    `neighbours` are (address, MAC) of the network's ports on other hosts: since nothing of the gateway here leaves this
    host, it can't ask for them and has to know them.
    """

    network_type: str = "flat"
    physical_network: str | None = None
    id: int | None = None
    local: str = ""
    peers: tuple[TunnelPeer, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A network as this host must have it: one bridge, gateway addresses, DHCP and DNS.

    Where the host is a subnet's gateway, DHCP, DNS and metadata are served from the gateway's address.
    `segment` joins it with the same network on other hosts; each host is the gateway and DHCP server of its own ports
    only, so neither what these say nor what asks for them leaves by it. A subnet of none of the `routers` has the way
    out that `nat` says. The networks that are peers in `routers` are ensured on this host too. `floating` and
    `forwardings` are of ports here.
    """

    id: str
    mtu: int
    subnets: tuple[SubnetSpec, ...]
    domain: str = ""
    segment: SegmentSpec = SegmentSpec()
    nat: bool = True
    routers: tuple[RouterSpec, ...] = ()
    floating: tuple[FloatingSpec, ...] = ()
    forwardings: tuple[ForwardingSpec, ...] = ()


class RuleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may pass. `direction`: "ingress" or "egress"; `ethertype`: "IPv4" or "IPv6".

    `protocol` is a lower-case name, a number as text, or None for any. `port_min`/`port_max` are ports, or
    ICMP type and code. `remotes` are CIDRs, any of which matches; empty means from or to anywhere. `remote_group`
    limits the other side to the members of a group; a group of which nothing is known has none.
    """

    direction: str
    ethertype: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remotes: tuple[str, ...] = ()
    remote_group: str | None = None


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A group that rules name as the other side: `addresses` are addresses and CIDRs of all its members, anywhere."""

    id: str
    addresses: tuple[str, ...] = ()


DHCP_OPTION = re.compile(r"(tag:!?[A-Za-z0-9_-]+,)*[A-Za-z0-9-]+", re.ASCII)


class DhcpOptionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A DHCP option of one port. `name` matches DHCP_OPTION: as in dnsmasq's tables or a number, after tags
    ("tag:!ipxe,67") that further limit who gets it.

    `value` is as dnsmasq's configuration has it, one line; "" holds back what the subnet says.
    """

    name: str
    value: str
    ip_version: int = 4


class ParentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The port that carries this one: its guest's frames with the tag `vlan` are this one's. Both are on this host."""

    port_id: str
    device: str
    vlan: int


class PortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A port on this host: the guest's MAC and addresses, and what may pass.

    `device` is the host interface to make (1 to 15 letters, digits, `-`, `_`, `.`); one that is there already
    is taken over, and given back on removal. `secured` False switches off filters and anti-spoofing, but not `qos`.
    `allowed_pairs` are further (MAC, CIDR) the guest may use. `leases` are what DHCP gives to its MAC, with
    `dhcp_options` beside what the subnet says or in place of it.
    One with a `parent` has no guest of its own: `device` leads to the parent's guest, who tags its frames.
    """

    id: str
    network_id: str
    device: str
    mac: str
    ips: tuple[str, ...]
    rules: tuple[RuleSpec, ...] = ()
    secured: bool = True
    allowed_pairs: tuple[tuple[str, str], ...] = ()
    leases: tuple[Lease, ...] = ()
    dhcp_options: tuple[DhcpOptionSpec, ...] = ()
    parent: ParentSpec | None = None
    qos: QosSpec = NO_QOS
    up: bool = True


class PortFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A port as this host has it."""

    id: str
    network_id: str
    device: str


class NetworkDriver(Protocol):
    """Networks and ports on this host. Each method is safe to repeat; every failure is DriverError."""

    async def init_host(self) -> None:
        """Prepare the host (modules, sysctls, our own tables).

        Raises DriverError in one sentence when it can't serve.
        """

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """Make the network exist as described, gateway, DHCP, NAT, and the route to metadata included.

        Repeating changes nothing; a spec with other subnets or routers is applied without a gap in service.
        A DHCP server that died is started again.
        """

    async def metadata_socket(self, network_id: str) -> socket.socket | None:
        """A listening TCP socket that guests of this network reach as 169.254.169.254:80; None for none.

        Peers of its connections appear with the guest's own (anti-spoofed) address. The caller closes it;
        there is one at a time. Raises DriverError when the network is not on this host.
        """

    async def remove_network(self, network_id: str) -> None:
        """Make the network and everything that served it not exist on this host. A missing one is success.

        Raises DriverError while it has ports.
        """

    async def ensure_port(self, spec: PortSpec, groups: tuple[GroupSpec, ...] = ()) -> PortFacts:
        """Make the port's interface exist on its network's bridge, with filters applied atomically.

        Its network was ensured before. Repeating changes nothing; other rules or addresses are applied in one
        step. Raises DriverError when the network is not on this host, Rejected when the port can never be.
        """

    async def ensure_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...] = ()) -> None:
        """`ensure_port` for many, filters of all of them and the members of `groups` in one atomic change.

        Groups not given keep the members they had; one that no port's rules name any more is forgotten. Without
        `specs` only members change. Connections that rules and members no longer allow end, others go on.
        """

    async def remove_port(self, port_id: str) -> None:
        """Make the port's interface and filters not exist, and its addresses free for others to lease.

        A missing one is success.
        """

    async def list_ports(self) -> list[PortFacts]:
        """Every port this driver has on this host, in order of id."""

    async def list_networks(self) -> list[str]:
        """Ids of every network this driver has on this host, in order."""

    async def close(self) -> None:
        """Let go of connections; networks and ports stay as they are."""

    async def erase(self) -> None:
        """Remove all this driver ever made on this host: interfaces, tables, processes, files."""
