"""What may pass on this host, as nftables text: pure, from records to rules.

Two tables of ours. Table `bridge` sees each frame with its port: it drops what a guest may not claim to be, and marks
the packet with its port's number, because table `inet`, to which br_netfilter shows bridged packets afterwards, sees
the bridge instead of the port. Table `inet` keeps connections (a conntrack zone per bridge, so that equal addresses
of different networks stay apart) and holds the security groups: what a guest sends is judged in `forward` by its
sender's mark, what it gets in `postrouting` by its receiver's mark. Mark 0 is nobody's port.

All elements of maps follow from their keys alone (an interface's name, a mark), so adding one twice is no conflict,
and add-then-delete removes one that may be missing.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from micronova.network.drivers.linux.filters import anti_spoofing, security_group
from micronova.network.drivers.linux.records import PortRecord

METADATA = "169.254.169.254"
ND_TYPES = "{ 130, 131, 132, 133, 134, 135, 136, 143 }"  # MLD (RFC 2710, 3810) and neighbour discovery (RFC 4861)

_BRIDGE_TABLE = """
table bridge {table} {{
  set ports {{ type ifname; }}
  map sent {{ type ifname : verdict; }}
  map got {{ type ifname : verdict; }}
  chain unmarked {{ meta mark set 0; }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname vmap @sent
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname @ports drop
  }}
  chain forward {{
    type filter hook forward priority 10; policy accept;
    iifname @ports meta mark set 0
    oifname vmap @got
  }}
}}
"""

_INET_TABLE = """
table inet {table} {{
  set bridges {{ type ifname; }}
  set links {{ type ifname; }}
  map zones {{ type ifname : verdict; }}
  map egress {{ type mark : verdict; }}
  map ingress {{ type mark : verdict; }}
  chain zone {{
    type filter hook prerouting priority raw; policy accept;
    iifname vmap @zones
  }}
  chain bridged {{
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    meta mark 0 accept
    udp sport 68 udp dport 67 accept
    udp sport 546 udp dport 547 accept
    ip daddr {metadata} tcp dport 80 accept
    icmpv6 type {nd} accept
    meta mark vmap @egress
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname @bridges goto bridged
    oifname @links ct state established,related accept
    oifname @links drop
    iifname @links ip saddr != {links} drop
    iifname @links meta nfproto ipv6 drop
  }}
  chain delivered {{
    ct state established,related accept
    meta mark 0 accept
    udp sport 67 udp dport 68 accept
    udp sport 547 udp dport 546 accept
    icmpv6 type {nd} accept
    meta mark vmap @ingress
    drop
  }}
  chain postrouting {{
    type filter hook postrouting priority filter; policy accept;
    oifname @bridges goto delivered
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname @links ct state established,related accept
    iifname @links drop
    iifname @bridges drop
  }}
  chain way_out {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {links} oifname != @links oifname != @bridges masquerade
  }}
}}
"""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the tables know it: its interfaces on the host and its conntrack zone."""

    bridge: str
    service: str
    link: str
    zone: int


class Ruleset:
    """The text for one cloud's two tables, both called `table`; `links` is the range of all ways out."""

    def __init__(self, table: str, links: str) -> None:
        self._table = table
        self._bridge = f"bridge {table}"
        self._inet = f"inet {table}"
        self._links = links

    def whole(self, networks: Iterable[Wiring], ports: Iterable[PortRecord]) -> str:
        """Both tables anew with all that is in them, whatever there was before."""
        fields = {"table": self._table, "links": self._links, "metadata": METADATA, "nd": ND_TYPES}
        parts = [self.without(), _BRIDGE_TABLE.format(**fields), _INET_TABLE.format(**fields)]
        parts += [self.network(wiring) for wiring in networks]
        parts += [self.port(record) for record in ports]
        return "\n".join(parts)

    def without(self) -> str:
        """Neither table, whether they were there or not."""
        tables = (self._bridge, self._inet)
        return "\n".join(f"add table {table}\ndelete table {table}" for table in tables)

    def network(self, wiring: Wiring) -> str:
        """The network's bridge is judged, and its connections are kept apart."""
        zone = f"zone-{wiring.bridge}"
        return "\n".join(
            [
                *_chain(self._inet, zone, [f"ct zone set {wiring.zone}"]),
                f'add element {self._bridge} got {{ "{wiring.service}" : jump unmarked }}',
                f'add element {self._inet} bridges {{ "{wiring.bridge}" }}',
                f'add element {self._inet} links {{ "{wiring.link}" }}',
                f'add element {self._inet} zones {{ "{wiring.bridge}" : jump {zone} }}',
            ]
        )

    def no_network(self, wiring: Wiring) -> str:
        """Nothing of the network, whether it was there or not."""
        zone = f"zone-{wiring.bridge}"
        return "\n".join(
            [
                f"add chain {self._inet} {zone}",
                *_no_element(self._bridge, "got", f'"{wiring.service}"', "jump unmarked"),
                *_no_element(self._inet, "bridges", f'"{wiring.bridge}"'),
                *_no_element(self._inet, "links", f'"{wiring.link}"'),
                *_no_element(self._inet, "zones", f'"{wiring.bridge}"', f"jump {zone}"),
                f"delete chain {self._inet} {zone}",
            ]
        )

    def port(self, record: PortRecord) -> str:
        """The port's filters, in place of those it had."""
        spec, mark = record.spec, record.mark
        sent, got, egress, ingress = _chains(record)
        ours = f"meta mark set {mark if spec.secured else 0}"
        return "\n".join(
            [
                *_chain(self._bridge, sent, [ours, *anti_spoofing(spec)] if spec.secured else []),
                *_chain(self._bridge, got, [ours]),
                *_chain(self._inet, egress, security_group(spec.rules, "egress")),
                *_chain(self._inet, ingress, security_group(spec.rules, "ingress")),
                f'add element {self._bridge} ports {{ "{spec.device}" }}',
                f'add element {self._bridge} sent {{ "{spec.device}" : jump {sent} }}',
                f'add element {self._bridge} got {{ "{spec.device}" : jump {got} }}',
                f"add element {self._inet} egress {{ {mark} : goto {egress} }}",
                f"add element {self._inet} ingress {{ {mark} : goto {ingress} }}",
            ]
        )

    def no_port(self, record: PortRecord) -> str:
        """Nothing of the port, whether it was there or not."""
        sent, got, egress, ingress = _chains(record)
        device, mark = f'"{record.spec.device}"', str(record.mark)
        return "\n".join(
            [
                f"add chain {self._bridge} {sent}",
                f"add chain {self._bridge} {got}",
                f"add chain {self._inet} {egress}",
                f"add chain {self._inet} {ingress}",
                *_no_element(self._bridge, "ports", device),
                *_no_element(self._bridge, "sent", device, f"jump {sent}"),
                *_no_element(self._bridge, "got", device, f"jump {got}"),
                *_no_element(self._inet, "egress", mark, f"goto {egress}"),
                *_no_element(self._inet, "ingress", mark, f"goto {ingress}"),
                f"delete chain {self._bridge} {sent}",
                f"delete chain {self._bridge} {got}",
                f"delete chain {self._inet} {egress}",
                f"delete chain {self._inet} {ingress}",
            ]
        )


def service_table(cidrs: Iterable[str], *, nat: bool) -> str:
    """The table inside a network's service namespace: what it serves to guests, and its way out.

    Interface `gw` leads to the guests, `out` to the host.
    """
    ipv4 = [cidr for cidr in cidrs if ipaddress.ip_network(cidr).version == 4]
    sources = f"ip saddr {{ {', '.join(ipv4)} }} " if ipv4 else ""
    way_out = f'oifname "out" {sources}masquerade' if nat and ipv4 else ""
    closed = "" if nat else 'iifname "gw" oifname "out" drop'
    return f"""
add table inet service
delete table inet service
table inet service {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    icmpv6 type {ND_TYPES} accept
    icmp type echo-request accept
    icmpv6 type echo-request accept
    iifname "gw" udp dport {{ 53, 67, 547 }} accept
    iifname "gw" tcp dport 53 accept
    iifname "gw" ip daddr {METADATA} tcp dport 80 accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    {closed}
  }}
  chain way_out {{
    type nat hook postrouting priority srcnat; policy accept;
    {way_out}
  }}
}}
"""


def _chains(record: PortRecord) -> tuple[str, str, str, str]:
    device, mark = record.spec.device, f"{record.mark:08x}"
    return f"sent-{device}", f"got-{device}", f"egress-{mark}", f"ingress-{mark}"


def _chain(table: str, name: str, rules: Iterable[str]) -> list[str]:
    head = [f"add chain {table} {name}", f"flush chain {table} {name}"]
    return head + [f"add rule {table} {name} {rule}" for rule in rules]


def _no_element(table: str, group: str, key: str, value: str = "") -> list[str]:
    pair = f"{key} : {value}" if value else key
    return [f"add element {table} {group} {{ {pair} }}", f"delete element {table} {group} {{ {pair} }}"]
