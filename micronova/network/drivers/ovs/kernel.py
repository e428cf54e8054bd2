"""What the host's kernel does beside the switch: routes, filters and NAT, as with Linux bridges; and it is kept deaf.

A switch in user space only listens to interfaces: the kernel hears what guests send too, and would answer for the
host's own addresses. A table of ours drops it after the switch has its copy.
"""

from collections.abc import Iterable
from pathlib import Path

from micronova.errors import DriverError
from micronova.network.driver import NetworkSpec
from micronova.network.drivers.linux.kernel import Kernel
from micronova.network.drivers.linux.links import Link, Links, set_sysctl
from micronova.network.drivers.linux.names import Names
from micronova.network.drivers.linux.networks import Networks
from micronova.network.drivers.linux.segments import HostWires, Segments
from micronova.network.drivers.linux.uplinks import Uplink

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


class SwitchSegments(Segments):
    """Checks segments; what joins hosts is the switch's business, and no bridge of the kernel is there."""

    def bridge(self, spec: NetworkSpec) -> str:
        """A name that no interface has."""
        return self._names.bridge(spec.id)

    def uplink(self, spec: NetworkSpec, links: Links) -> Uplink | None:
        """None: flows judge what passes between hosts."""
        return None

    def trunk(self, spec: NetworkSpec) -> str:
        """None."""
        return ""


class SwitchKernel(Kernel):
    """The kernel of a host whose networks are in Open vSwitch. `deaf`: it must not hear the switch's interfaces."""

    def __init__(self, names: Names, state: Path, link_range: str, wires: HostWires) -> None:
        super().__init__(names, state, link_range, SwitchSegments(names, wires))
        self._deaf_table = f"{names.table}_ovs"
        self._devices: set[str] = set()

    def prepare(self) -> None:
        """The kernel forwards, our tables say what the records say, and records of what is gone are gone."""
        if not Path("/dev/net/tun").exists():
            raise DriverError("this kernel has no tun: load that module")
        set_sysctl("net/ipv4/ip_forward", 1)
        self._forget_what_is_gone()
        self._filter_anew()
        self._warn_of_others()

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
    """The host's side of networks: all but the bridge."""

    def make(self, network_id: str) -> None:
        """The wires and the inside of the service namespace are as written down; the switch has its end free."""
        record = self._kernel.records.networks[network_id]
        self._kernel.wire(network_id)
        self._drop_stale_wires(network_id, self._names.namespace_path(network_id))
        self._wire(record, self._where_it_is(network_id, record.spec.mtu))
        self._routing.settle(network_id)

    def _where_it_is(self, network_id: str, mtu: int) -> Link:
        """In place of a bridge: whatever the switch has put the service wire into stays as it is."""
        service = self._kernel.links.find(self._names.service(network_id))
        index = service.master if service is not None else 0
        return Link(index=index, name="", alias="", mac="", mtu=mtu, master=0, up=True)
