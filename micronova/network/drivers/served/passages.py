"""How a network passes by this host, as elements of the packet filter's sets: pure, from the record."""

import msgspec

INET = "inet"


class Element(msgspec.Struct, frozen=True):
    """One element of a set or map in one of this cloud's tables."""

    table: str
    group: str
    key: str
    value: str = ""

    @property
    def leads(self) -> bool:
        """Whether it leads to a chain."""
        return self.value.startswith(("jump ", "goto "))

    @property
    def text(self) -> str:
        """As nftables writes it."""
        return f"{self.key} : {self.value}" if self.value else self.key


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the tables know it: its link to the host, and what routers add.

    `routed` are the links of networks it is routed to and `reach` the ranges behind them; `floating` addresses are
    found behind its link; the ranges `plain` leave and are reached as they are.
    """

    link: str
    routed: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    def chains(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The network's own chains: (table, name) to rules."""
        return {}

    def elements(self) -> list[Element]:
        """What the network adds to sets and maps."""
        link = f'"{self.link}"'
        found = [Element(INET, "links", link)]
        found += [Element(INET, "routed", f'{link} . "{other}"') for other in self.routed]
        found += [Element(INET, _by_version("reach", cidr), f"{link} . {cidr}") for cidr in self.reach]
        found += [Element(INET, "floating", f"{link} . {ip}") for ip in self.floating]
        found += [Element(INET, _by_version("plain", cidr), f"{link} . {cidr}") for cidr in self.plain]
        return found

    def shared(self) -> set[Element]:
        """Those of its elements that other networks may have, too."""
        return set()


def _by_version(group: str, cidr: str) -> str:
    return f"{group}6" if ":" in cidr else group
