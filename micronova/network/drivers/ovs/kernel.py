"""What the host's kernel does beside the switch: routes, filters and NAT, as with Linux bridges; and it is kept deaf.

A switch in user space only listens to interfaces: the kernel hears what guests send too, and would answer for the
host's own addresses. A table of ours drops it after the switch has its copy.
"""

from collections.abc import Iterable
from pathlib import Path

from micronova.errors import DriverError
from micronova.network.drivers.served.host_rules import HostRules
from micronova.network.drivers.served.kernel import Kernel
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.networks import Networks

_DEAF = """
table {family} {table} {{
  set heard {{ type ifname; {elements} }}
  chain {hook} {{
    type filter hook {hook} priority {priority}; policy accept;
    iifname @heard drop
  }}
}}
"""
_FAMILIES = (("inet", "prerouting", "-400"), ("arp", "input", "0"))  # -400: before connections are tracked


class SwitchKernel(Kernel):
    """The kernel of a host whose networks are in Open vSwitch. `deaf`: it must not hear the switch's interfaces."""

    def __init__(self, names: Names, state: Path, link_range: str) -> None:
        super().__init__(names, state, HostRules(names.table, link_range))
        self._deaf_table = f"{names.table}_ovs"
        self._devices: set[str] = set()

    def deafen(self, devices: Iterable[str]) -> None:
        """The host's own network stack hears nothing that comes in by these interfaces."""
        wanted = sorted(devices)
        if not wanted:
            return
        self._devices.update(wanted)
        try:
            self._filter.apply("\n".join(self._elements("add", wanted)))
        except DriverError:
            self._filter.apply("\n".join([self._without(), *self._tables()]))

    def hear(self, device: str) -> None:
        """The host's own network stack hears the interface again, which may be gone."""
        if device not in self._devices:
            return
        self._devices.discard(device)
        try:
            self._filter.apply("\n".join(self._elements("delete", [device])))
        except DriverError:
            self._filter.apply("\n".join([self._without(), *self._tables()]))

    def expect(self, devices: Iterable[str]) -> None:
        """These are the switch's already: preparing the host leaves no moment in which the kernel hears them."""
        self._devices.update(devices)

    def erase_filter(self) -> None:
        """None of our tables is left."""
        self._devices.clear()
        self._filter.apply(self._without())
        super().erase_filter()

    def _filter_anew(self) -> None:
        super()._filter_anew()
        self._filter.apply("\n".join([self._without(), *self._tables()]))

    def _without(self) -> str:
        tables = [f"{family} {self._deaf_table}" for family, _, _ in _FAMILIES]
        return "\n".join(f"add table {table}\ndelete table {table}" for table in tables)

    def _tables(self) -> list[str]:
        listed = ", ".join(f'"{device}"' for device in sorted(self._devices))
        elements = f"elements = {{ {listed} }};" if listed else ""
        return [
            _DEAF.format(family=family, table=self._deaf_table, hook=hook, priority=priority, elements=elements)
            for family, hook, priority in _FAMILIES
        ]

    def _elements(self, what: str, devices: Iterable[str]) -> list[str]:
        listed = ", ".join(f'"{device}"' for device in devices)
        return [f"{what} element {family} {self._deaf_table} heard {{ {listed} }}" for family, _, _ in _FAMILIES]


class SwitchNetworks(Networks):
    """The host's side of networks; guests and other hosts are the switch's business."""

    def make(self, network_id: str) -> None:
        """The wires and the inside of the service namespace are as written down; the switch has its end free."""
        record = self._kernel.records.networks[network_id]
        self._kernel.wire(network_id)
        self._drop_stale_wires(network_id, self._names.namespace_path(network_id))
        self._wire(record, master=self._master_of(self._names.service(network_id)), mtu=record.spec.mtu)
        self._routing.settle(network_id)

    def _part(self, network_id: str) -> None:
        self._kernel.links.delete(self._names.uplink(network_id))

    def _master_of(self, name: str) -> int:
        """Whatever the switch has put the wire into stays as it is."""
        link = self._kernel.links.find(name)
        return link.master if link is not None else 0
