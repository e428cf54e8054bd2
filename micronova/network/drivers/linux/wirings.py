"""A network of bridges as this cloud's tables know it, as chains and elements of sets: pure, from the record."""

from micronova.network.drivers.linux.uplinks import Uplink
from micronova.network.drivers.served.passages import INET, Element, Passage

BRIDGE = "bridge"


class Wiring(Passage, frozen=True, kw_only=True):
    """A network as the tables know it: its interfaces on the host and its conntrack zone, beside how it passes by.

    `lan`: the bridge is the host's own; its connections are the host's too, so they share a zone. `trunk` is the bridge
    that carries its VLAN where there is one.
    """

    bridge: str
    service: str
    zone: int
    lan: bool = False
    uplink: Uplink | None = None
    trunk: str = ""

    def chains(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The network's own chains: (table, name) to rules."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        if not self.lan:
            found[INET, self._zone] = (f"ct zone set {self.zone}",)
        if self.uplink is not None:
            found[BRIDGE, f"comes-{self.uplink.name}"] = self.uplink.comes
            found[BRIDGE, f"leaves-{self.uplink.name}"] = self.uplink.leaves
        return found

    def elements(self) -> list[Element]:
        """What the network adds to sets and maps."""
        bridge, service = f'"{self.bridge}"', f'"{self.service}"'
        found = [
            Element(BRIDGE, "got", service, "0"),
            Element(BRIDGE, "ports", service),
            Element(BRIDGE, "sent", service, "goto from_gateway"),
        ]
        if self.lan:
            found += [Element(INET, "lans", bridge), Element(BRIDGE, "apart", service)]
        else:
            found += [Element(INET, "bridges", bridge), Element(INET, "zones", bridge, f"jump {self._zone}")]
        found += self.shared()
        if self.uplink is not None:
            name = self.uplink.name
            found.append(Element(BRIDGE, "sent", f'"{name}"', f"goto comes-{name}"))
            found.append(Element(BRIDGE, "leaves", f'"{name}"', f"goto leaves-{name}"))
        return [*found, *super().elements()]

    def shared(self) -> set[Element]:
        """Those of its elements that other networks may have, too."""
        return {Element(INET, "trunks", f'"{self.trunk}"')} if self.trunk else set()

    @property
    def _zone(self) -> str:
        return f"zone-{self.bridge}"
