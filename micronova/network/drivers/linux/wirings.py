"""A network as this cloud's tables know it, as chains and elements of sets: pure, from the record."""

from collections.abc import Iterable

import msgspec

from micronova.network.drivers.linux.uplinks import Uplink

BRIDGE, INET = "bridge", "inet"


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the tables know it: its interfaces on the host, its conntrack zone, and what routers add.

    `lan`: the bridge is the host's own; its connections are the host's too, so they share a zone. `trunk` is the bridge
    that carries its VLAN where there is one. `routed` are the links of networks it is routed to and `reach` the ranges
    behind them; `floating` addresses are found behind its link; the ranges `plain` leave and are reached as they are.
    """

    bridge: str
    service: str
    link: str
    zone: int
    lan: bool = False
    uplink: Uplink | None = None
    trunk: str = ""
    routed: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


class Element(msgspec.Struct, frozen=True):
    """One element of a set or map in one of the two tables."""

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


def chains(wiring: Wiring) -> dict[tuple[str, str], tuple[str, ...]]:
    """The network's own chains: (table, name) to rules."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    if not wiring.lan:
        found[INET, _zone(wiring)] = (f"ct zone set {wiring.zone}",)
    if wiring.uplink is not None:
        found[BRIDGE, f"comes-{wiring.uplink.name}"] = wiring.uplink.comes
        found[BRIDGE, f"leaves-{wiring.uplink.name}"] = wiring.uplink.leaves
    return found


def elements(wiring: Wiring) -> list[Element]:
    """What the network adds to sets and maps."""
    bridge, service, link = (f'"{name}"' for name in (wiring.bridge, wiring.service, wiring.link))
    found = [
        Element(BRIDGE, "got", service, "0"),
        Element(BRIDGE, "ports", service),
        Element(BRIDGE, "sent", service, "goto from_gateway"),
        Element(INET, "links", link),
    ]
    if wiring.lan:
        found += [Element(INET, "lans", bridge), Element(BRIDGE, "apart", service)]
    else:
        found += [Element(INET, "bridges", bridge), Element(INET, "zones", bridge, f"jump {_zone(wiring)}")]
    if wiring.trunk:
        found.append(Element(INET, "trunks", f'"{wiring.trunk}"'))
    if wiring.uplink is not None:
        name = wiring.uplink.name
        found.append(Element(BRIDGE, "sent", f'"{name}"', f"goto comes-{name}"))
        found.append(Element(BRIDGE, "leaves", f'"{name}"', f"goto leaves-{name}"))
    found += [Element(INET, "routed", f'{link} . "{other}"') for other in wiring.routed]
    found += [Element(INET, _by_version("reach", cidr), f"{link} . {cidr}") for cidr in wiring.reach]
    found += [Element(INET, "floating", f"{link} . {ip}") for ip in wiring.floating]
    found += [Element(INET, _by_version("plain", cidr), f"{link} . {cidr}") for cidr in wiring.plain]
    return found


def shared(wirings: Iterable[Wiring]) -> set[Element]:
    """Elements that stay when one of several networks goes."""
    return {Element(INET, "trunks", f'"{wiring.trunk}"') for wiring in wirings if wiring.trunk}


def _by_version(group: str, cidr: str) -> str:
    return f"{group}6" if ":" in cidr else group


def _zone(wiring: Wiring) -> str:
    return f"zone-{wiring.bridge}"
