"""What may pass on this host, as nftables text: pure, from records to rules. service_rules.py is for inside.

Two tables of ours. Table `bridge` sees each frame with its port: it drops what a guest may not claim to be, and marks
the packet with its port's number, because table `inet`, to which br_netfilter shows bridged packets afterwards, sees
the bridge instead of the port. Table `inet` keeps connections (a conntrack zone per bridge, so that equal addresses
of different networks stay apart) and holds the security groups: what a guest sends is judged in `forward` by its
sender's mark, what it gets in `postrouting` by its receiver's mark. Mark 0 is nobody's port.

Every packet of the side that opened a connection is judged by the rules as they are now; the other side's pass with
the connection. The first that the rules refuse gives the connection the mark `CUT`, with which the other side's pass no
more: so a tightened rule ends just the connections it no longer allows, whatever their number, in the same step. To
forget them instead would help nobody: the next packet would begin them anew, from whichever side it comes.

Adding an element twice is no conflict, and add-then-delete removes one that may be missing.
"""

from collections.abc import Iterable

import msgspec

from micronova.network.driver import GroupSpec
from micronova.network.drivers.linux.filters import anti_spoofing, members, set_name
from micronova.network.drivers.linux.records import PortRecord
from micronova.network.drivers.linux.usage import Chain

METADATA = "169.254.169.254"
CUT = "0x6d6e6375"
ADDRESS_TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}
ND_TYPES = "{ 130, 131, 132, 133, 134, 135, 136, 143 }"  # MLD (RFC 2710, 3810) and neighbour discovery (RFC 4861)

_BRIDGE_TABLE = """
table bridge {table} {{
  set ports {{ type ifname; }}
  map sent {{ type ifname : verdict; }}
  map got {{ type ifname : mark; }}
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
    meta mark set oifname map @got
  }}
}}
"""

_INET_TABLE = """
table inet {table} {{
  set bridges {{ type ifname; }}
  set links {{ type ifname; }}
  set routed {{ type ifname . ifname; }}
  set reach {{ type ifname . ipv4_addr; flags interval; }}
  set floating {{ type ifname . ipv4_addr; }}
  set plain {{ type ifname . ipv4_addr; flags interval; }}
  map zones {{ type ifname : verdict; }}
  map egress {{ type mark : verdict; }}
  map ingress {{ type mark : verdict; }}
  chain zone {{
    type filter hook prerouting priority raw; policy accept;
    iifname vmap @zones
    iifname . ip daddr @reach notrack
  }}
  chain cut {{
    ct mark set {cut}
    drop
  }}
  chain replies {{
    ct mark {cut} drop
    accept
  }}
  chain bridged {{
    ct state vmap {{ related : accept, invalid : drop }}
    ct direction reply ct state established goto replies
    ct mark {cut} ct mark set 0
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
    iifname . oifname @routed accept
    oifname . ip daddr @floating accept
    oifname . ip daddr @plain accept
    oifname @links ct state established,related accept
    oifname @links drop
    iifname . ip saddr @floating accept
    iifname . ip saddr @plain accept
    iifname @links ip saddr != {links} drop
    iifname @links meta nfproto ipv6 drop
  }}
  chain delivered {{
    ct state related accept
    ct direction reply ct state established goto replies
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
    ip saddr {links} oifname != "{prefix}*" masquerade
  }}
}}
"""


Chains = tuple[Chain, Chain]
"""For what a port sends, and for what it gets."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the tables know it: its interfaces on the host, its conntrack zone, and what routers add.

    `routed` are the links of networks it is routed to and `reach` the ranges behind them; `floating` addresses are
    found behind its link; the ranges `plain` leave and are reached as they are.
    """

    bridge: str
    service: str
    link: str
    zone: int
    routed: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


class Ruleset:
    """The text for one cloud's two tables, both called `table`; `links` is the range of all ways out."""

    def __init__(self, table: str, links: str) -> None:
        self._table = table
        self._bridge = f"bridge {table}"
        self._inet = f"inet {table}"
        self._links = links

    def whole(
        self,
        networks: Iterable[Wiring],
        groups: Iterable[GroupSpec],
        chains: Iterable[Chain],
        ports: Iterable[tuple[PortRecord, Chains]],
    ) -> str:
        """Both tables anew with all that is in them, whatever there was before."""
        fields = {"table": self._table, "links": self._links, "metadata": METADATA, "nd": ND_TYPES, "cut": CUT}
        # Not this cloud's interfaces alone: all clouds of this host get to see the others' bridged packets.
        fields["prefix"] = self._table.partition("_")[0]
        parts = [self.without(), _BRIDGE_TABLE.format(**fields), _INET_TABLE.format(**fields)]
        parts += [self.network(wiring) for wiring in networks]
        parts += [self.group(group) for group in groups]
        parts += [self.chain(chain) for chain in chains]
        parts += [self.port(record, judges) for record, judges in ports]
        return "\n".join(parts)

    def without(self) -> str:
        """Neither table, whether they were there or not."""
        tables = (self._bridge, self._inet)
        return "\n".join(f"add table {table}\ndelete table {table}" for table in tables)

    def network(self, wiring: Wiring, old: Wiring | None = None) -> str:
        """The network's bridge is judged, its connections are kept apart, and its routers forward.

        `old` is how it was wired before.
        """
        zone = f"zone-{wiring.bridge}"
        return "\n".join(
            [
                *_chain(self._inet, zone, [f"ct zone set {wiring.zone}"]),
                f'add element {self._bridge} got {{ "{wiring.service}" : 0 }}',
                f'add element {self._inet} bridges {{ "{wiring.bridge}" }}',
                f'add element {self._inet} links {{ "{wiring.link}" }}',
                f'add element {self._inet} zones {{ "{wiring.bridge}" : jump {zone} }}',
                *self._unrouted(old, wiring),
                *(f"add element {self._inet} {name} {{ {key} }}" for name, key in _routing(wiring)),
            ]
        )

    def _unrouted(self, old: Wiring | None, new: Wiring | None) -> list[str]:
        kept = set(_routing(new)) if new is not None else set()
        gone = [pair for pair in _routing(old) if pair not in kept] if old is not None else []
        return [line for name, key in gone for line in _no_element(self._inet, name, key)]

    def no_network(self, wiring: Wiring) -> str:
        """Nothing of the network, whether it was there or not."""
        zone = f"zone-{wiring.bridge}"
        return "\n".join(
            [
                f"add chain {self._inet} {zone}",
                *_no_element(self._bridge, "got", f'"{wiring.service}"', "0"),
                *_no_element(self._inet, "bridges", f'"{wiring.bridge}"'),
                *_no_element(self._inet, "links", f'"{wiring.link}"'),
                *_no_element(self._inet, "zones", f'"{wiring.bridge}"', f"jump {zone}"),
                *self._unrouted(wiring, None),
                f"delete chain {self._inet} {zone}",
            ]
        )

    def group(self, group: GroupSpec, old: GroupSpec | None = None) -> str:
        """The group's sets hold its members. `old` is what they held before; None when there were none."""
        change = members(group, old)
        lines = []
        for version, kind in ADDRESS_TYPES.items():
            single, wide = (set_name(name, group.id, version) for name in ("single", "wide"))
            if old is None:
                lines.append(f"add set {self._inet} {single} {{ type {kind}; }}")
                lines.append(f"flush set {self._inet} {single}")
                lines.append(f"add set {self._inet} {wide} {{ type {kind}; flags interval; }}")
            lines += self._elements("delete", single, change.gone[version])
            lines += self._elements("add", single, change.come[version])
            ranges = change.wide[version]
            if ranges is not None:
                lines.append(f"flush set {self._inet} {wide}")
                lines += self._elements("add", wide, ranges)
        return "\n".join(lines)

    def no_group(self, group_id: str) -> str:
        """None of the group's sets, whether they were there or not. No chain may name them."""
        lines = []
        for version, kind in ADDRESS_TYPES.items():
            for name, flags in (("single", ""), ("wide", "flags interval; ")):
                title = f"{self._inet} {set_name(name, group_id, version)}"
                lines += [f"add set {title} {{ type {kind}; {flags}}}", f"delete set {title}"]
        return "\n".join(lines)

    def chain(self, chain: Chain) -> str:
        """The chain that ports with these rules share."""
        return "\n".join(_chain(self._inet, chain.name, chain.lines))

    def no_chain(self, chain: Chain) -> str:
        """No such chain, whether it was there or not. No port may use it."""
        return f"add chain {self._inet} {chain.name}\ndelete chain {self._inet} {chain.name}"

    def port(self, record: PortRecord, judges: Chains, had: Chains | None = None) -> str:
        """The port's filters, in place of those it had. `judges` are the chains of its rules, which are there already.

        `had` are the chains of the rules that it had before.
        """
        spec, mark = record.spec, record.mark
        sent = _sent(record)
        ours = f"meta mark set {mark}"
        return "\n".join(
            [
                *_chain(self._bridge, sent, [ours, *anti_spoofing(spec)] if spec.secured else []),
                f'add element {self._bridge} ports {{ "{spec.device}" }}',
                f'add element {self._bridge} sent {{ "{spec.device}" : jump {sent} }}',
                f'add element {self._bridge} got {{ "{spec.device}" : {mark} }}',
                self.judged(mark, judges, had),
            ]
        )

    def judged(self, mark: int, judges: Chains, had: Chains | None = None) -> str:
        """What the port with this mark sends and gets is judged by these chains, no longer by those it had."""
        lines = []
        for name, chain, old in zip(("egress", "ingress"), judges, had or judges, strict=True):
            if old.name != chain.name:
                lines += _no_element(self._inet, name, str(mark), f"goto {old.name}")
            lines.append(f"add element {self._inet} {name} {{ {mark} : goto {chain.name} }}")
        return "\n".join(lines)

    def _elements(self, what: str, name: str, elements: Iterable[str]) -> list[str]:
        listed = ", ".join(elements)
        return [f"{what} element {self._inet} {name} {{ {listed} }}"] if listed else []

    def no_port(self, record: PortRecord, judges: Chains) -> str:
        """Nothing of the port, whether it was there or not, but the chains of its rules."""
        sent = _sent(record)
        egress, ingress = judges
        device, mark = f'"{record.spec.device}"', str(record.mark)
        return "\n".join(
            [
                f"add chain {self._bridge} {sent}",
                f"add chain {self._inet} {egress.name}",
                f"add chain {self._inet} {ingress.name}",
                *_no_element(self._bridge, "ports", device),
                *_no_element(self._bridge, "sent", device, f"jump {sent}"),
                *_no_element(self._bridge, "got", device, mark),
                *_no_element(self._inet, "egress", mark, f"goto {egress.name}"),
                *_no_element(self._inet, "ingress", mark, f"goto {ingress.name}"),
                f"delete chain {self._bridge} {sent}",
            ]
        )


def _routing(wiring: Wiring) -> list[tuple[str, str]]:
    """What routers add for the network: (set, element)."""
    link = f'"{wiring.link}"'
    return [
        *(("routed", f'{link} . "{other}"') for other in wiring.routed),
        *(("reach", f"{link} . {cidr}") for cidr in wiring.reach),
        *(("floating", f"{link} . {ip}") for ip in wiring.floating),
        *(("plain", f"{link} . {cidr}") for cidr in wiring.plain),
    ]


def _sent(record: PortRecord) -> str:
    return f"sent-{record.spec.device}"


def _chain(table: str, name: str, rules: Iterable[str]) -> list[str]:
    head = [f"add chain {table} {name}", f"flush chain {table} {name}"]
    return head + [f"add rule {table} {name} {rule}" for rule in rules]


def _no_element(table: str, group: str, key: str, value: str = "") -> list[str]:
    pair = f"{key} : {value}" if value else key
    return [f"add element {table} {group} {{ {pair} }}", f"delete element {table} {group} {{ {pair} }}"]
