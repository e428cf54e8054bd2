"""For whom a guest may ask DHCP: for itself. Flows don't look that far into a packet; the server's namespace does.

Runs in the kernel's thread.
"""

from collections.abc import Iterable
from pathlib import Path

from micronova.network.driver import PortSpec
from micronova.network.drivers.served.filters import DHCP_CLIENT_MAC
from micronova.network.drivers.served.namespace import in_namespace
from micronova.network.drivers.served.nft import Nft

_TABLE = """
add table inet clients
delete table inet clients
table inet clients {{
  set guests {{ type ether_addr; {guests} }}
  set pairs {{ typeof ether saddr . {client}; {pairs} }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "gw" udp dport 67 ether saddr @guests ether saddr . {client} != @pairs drop
  }}
}}
"""


def settle_clients(namespace: Path, ports: Iterable[PortSpec]) -> None:
    """In this service namespace requests of secured ports' guests are heard only when they are for the guest's MAC."""
    text = table(ports)

    def work() -> None:
        with Nft() as nft:
            nft.apply(text)

    in_namespace(namespace, work)


def table(ports: Iterable[PortSpec]) -> str:
    """The table anew, in one transaction."""
    pairs = set[tuple[str, str]]()
    for spec in ports:
        own = f"0x{spec.mac.lower().replace(':', '')}"
        macs = {spec.mac.lower(), *(mac.lower() for mac, _ in spec.allowed_pairs)} if spec.secured else ()
        pairs.update((mac, own) for mac in macs)
    return _TABLE.format(
        client=DHCP_CLIENT_MAC,
        guests=_elements({mac for mac, _ in pairs}),
        pairs=_elements({f"{mac} . {own}" for mac, own in pairs}),
    )


def _elements(elements: Iterable[str]) -> str:
    listed = ", ".join(sorted(elements))
    return f"elements = {{ {listed} }};" if listed else ""
