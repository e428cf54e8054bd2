"""What this host forwards between networks, as nftables text: pure. service_rules.py is for inside a namespace.

Adding an element twice is no conflict, and add-then-delete removes one that may be missing.
"""

from collections.abc import Iterable

from micronova.network.drivers.served.passages import INET, Element, Passage
from micronova.network.drivers.served.tables import INET_TABLE


class HostRules:
    """The text for one cloud's tables, all called `table`; `links` is the range of all ways out."""

    families: tuple[str, ...] = (INET,)

    def __init__(self, table: str, links: str) -> None:
        self._table = table
        self._links = links

    def whole(self, networks: Iterable[Passage]) -> str:
        """The tables anew with these networks in them, whatever there was before."""
        return "\n".join([self.without(), self.empty(), *(self.network(passage) for passage in networks)])

    def empty(self) -> str:
        """The tables with nothing in them, where there are none."""
        # Not this cloud's interfaces alone: all clouds of this host get to see the others' bridged packets.
        prefix = self._table.partition("_")[0]
        return INET_TABLE.format(table=self._table, links=self._links, prefix=prefix)

    def without(self) -> str:
        """None of the tables, whether they were there or not."""
        tables = [self._of(family) for family in self.families]
        return "\n".join(f"add table {table}\ndelete table {table}" for table in tables)

    def network(self, passage: Passage, old: Passage | None = None) -> str:
        """The network's packets are told from others, and its routers forward.

        `old` is how it passed before; where that is the same, nothing is told of which the kernel would check anew
        whether all chains of all ports end.
        """
        chains, found = passage.chains(), passage.elements()
        if old == passage:
            chains, found = {}, [one for one in found if not one.leads]
        lines = [line for (table, name), rules in chains.items() for line in chain_anew(self._of(table), name, rules)]
        lines += self._gone(old, set(found), set(chains)) if old is not None and old != passage else []
        lines += [f"add element {self._of(one.table)} {one.group} {{ {one.text} }}" for one in found]
        return "\n".join(lines)

    def no_network(self, passage: Passage, others: Iterable[Passage] = ()) -> str:
        """Nothing of the network, whether it was there or not. `others` are the networks that stay."""
        lines = [f"add chain {self._of(table)} {name}" for table, name in passage.chains()]
        kept = {one for other in others for one in other.shared()}
        return "\n".join([*lines, *self._gone(passage, kept, set())])

    def _gone(self, old: Passage, kept: set[Element], chains: set[tuple[str, str]]) -> list[str]:
        gone = [one for one in old.elements() if one not in kept]
        lines = [line for one in gone for line in no_element(self._of(one.table), one.group, one.key, one.value)]
        doomed = [pair for pair in old.chains() if pair not in chains]
        return [*lines, *(f"delete chain {self._of(table)} {name}" for table, name in doomed)]

    def _of(self, table: str) -> str:
        return f"{table} {self._table}"


def chain_anew(table: str, name: str, rules: Iterable[str]) -> list[str]:
    """The chain has just these rules, whether it was there or not."""
    head = [f"add chain {table} {name}", f"flush chain {table} {name}"]
    return head + [f"add rule {table} {name} {rule}" for rule in rules]


def no_element(table: str, group: str, key: str, value: str = "") -> list[str]:
    """No such element, whether it was there or not."""
    pair = f"{key} : {value}" if value else key
    return [f"add element {table} {group} {{ {pair} }}", f"delete element {table} {group} {{ {pair} }}"]
