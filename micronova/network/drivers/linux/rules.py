"""What may pass on this host, as nftables text: pure, from records to rules.

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

import ipaddress
from collections.abc import Iterable

from micronova.network.driver import GroupSpec
from micronova.network.drivers.linux.tables import BRIDGE_TABLE, CUT, JUDGED_TABLE, MARK_OF_GATEWAY
from micronova.network.drivers.linux.wirings import BRIDGE
from micronova.network.drivers.served import shaping
from micronova.network.drivers.served.filters import anti_spoofing, members, set_name
from micronova.network.drivers.served.host_rules import HostRules, chain_anew, no_element
from micronova.network.drivers.served.passages import INET
from micronova.network.drivers.served.records import PortRecord
from micronova.network.drivers.served.tables import METADATA, ND_TYPES
from micronova.network.drivers.served.usage import Chain

ADDRESS_TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}

Chains = tuple[Chain, Chain]
"""For what a port sends, and for what it gets."""


class Ruleset(HostRules):
    """The text for one cloud's two tables, both called `table`; `links` is the range of all ways out."""

    families = (BRIDGE, INET)

    def __init__(self, table: str, links: str) -> None:
        super().__init__(table, links)
        self._bridge = f"{BRIDGE} {table}"
        self._inet = f"{INET} {table}"

    def empty(self) -> str:
        """Both tables with nothing in them, where there are none."""
        fields = {"table": self._table, "metadata": METADATA, "nd": ND_TYPES, "cut": CUT, "gateway": MARK_OF_GATEWAY}
        return "\n".join([BRIDGE_TABLE.format(**fields), JUDGED_TABLE.format(**fields), super().empty()])

    def judges(
        self,
        groups: Iterable[GroupSpec],
        chains: Iterable[Chain],
        ports: Iterable[tuple[PortRecord, Chains]],
    ) -> str:
        """These groups, chains and ports in tables that have none yet."""
        parts = [self.group(group) for group in groups]
        parts += [self.chain(chain) for chain in chains]
        parts += [self.port(record, judges) for record, judges in ports]
        return "\n".join(parts)

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
        return "\n".join(chain_anew(self._inet, chain.name, chain.lines))

    def no_chain(self, chain: Chain) -> str:
        """No such chain, whether it was there or not. No port may use it."""
        return f"add chain {self._inet} {chain.name}\ndelete chain {self._inet} {chain.name}"

    def port(self, record: PortRecord, judges: Chains, had: Chains | None = None) -> str:
        """The port's filters, in place of those it had. `judges` are the chains of its rules, which are there already.

        `had` are the chains of the rules that it had before.
        """
        spec, mark = record.spec, record.mark
        sent = _sent(record)
        judged_here = [f"meta mark set {mark}", *anti_spoofing(spec)] if spec.secured else []
        return "\n".join(
            [
                *chain_anew(self._bridge, sent, [*shaping.rules_for(spec.qos), *judged_here]),
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
                lines += no_element(self._inet, name, str(mark), f"goto {old.name}")
            lines.append(f"add element {self._inet} {name} {{ {mark} : goto {chain.name} }}")
        return "\n".join(lines)

    def on_lan(self, record: PortRecord, lan: str, old: PortRecord | None = None) -> str:
        """The port is on bridge `lan`, which isn't ours: the host meets it by the addresses it has.

        `old` is the port as it was before.
        """
        lines = [f'add element {self._bridge} on_lans {{ "{record.spec.device}" }}']
        lines += self._addresses("delete", old, lan) if old is not None else []
        return "\n".join([*lines, *self._addresses("add", record, lan)])

    def off_lan(self, record: PortRecord, lan: str) -> str:
        """Nothing of the port on bridge `lan`, whether it was there or not."""
        lines = no_element(self._bridge, "on_lans", f'"{record.spec.device}"')
        return "\n".join([*lines, *self._addresses("delete", record, lan)])

    def _addresses(self, what: str, record: PortRecord, lan: str) -> list[str]:
        lines = []
        for ip in map(ipaddress.ip_address, dict.fromkeys(record.spec.ips)):
            pair = f'"{lan}" . {ip} : {record.mark}'
            lines.append(f"add element {self._inet} of_ipv{ip.version} {{ {pair} }}")
            if what == "delete":
                lines.append(f"delete element {self._inet} of_ipv{ip.version} {{ {pair} }}")
        return lines

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
                *no_element(self._bridge, "ports", device),
                *no_element(self._bridge, "sent", device, f"jump {sent}"),
                *no_element(self._bridge, "got", device, mark),
                *no_element(self._inet, "egress", mark, f"goto {egress.name}"),
                *no_element(self._inet, "ingress", mark, f"goto {ingress.name}"),
                f"delete chain {self._bridge} {sent}",
            ]
        )


def _sent(record: PortRecord) -> str:
    return f"sent-{record.spec.device}"
