"""One cloud's hold on this host's kernel: records, netlink socket, packet filter, and how they are opened.

Everything here belongs to one thread. Handles are opened when first needed and may be closed at any time.
"""

import logging
from pathlib import Path

import msgspec

from micronova.errors import DriverError
from micronova.network.driver import GroupSpec
from micronova.network.drivers.linux import forwarding_rules
from micronova.network.drivers.linux.links import Links, set_sysctl
from micronova.network.drivers.linux.names import Names
from micronova.network.drivers.linux.nft import Nft
from micronova.network.drivers.linux.records import NetworkRecord, PortRecord, Records
from micronova.network.drivers.linux.rules import Ruleset
from micronova.network.drivers.linux.segments import Segments
from micronova.network.drivers.linux.service_rules import paths
from micronova.network.drivers.linux.uplinks import is_lan
from micronova.network.drivers.linux.wirings import Wiring

LOG = logging.getLogger(__name__)
FIRST_ZONE = 1


class Kernel:
    """What the steps of making and removing networks and ports share."""

    def __init__(self, names: Names, state: Path, link_range: str, segments: Segments) -> None:
        self.names = names
        self.segments = segments
        self.rules = Ruleset(names.table, link_range)
        self._records = Records(state)
        self._loaded = False
        self._links: Links | None = None
        self._nft: Nft | None = None
        self._wired: dict[str, Wiring] = {}

    @property
    def records(self) -> Records:
        """What we mean to have; read from the files at first use."""
        if not self._loaded:
            self._records.load()
            self._loaded = True
        return self._records

    @property
    def links(self) -> Links:
        """Interfaces of the namespace in which this was first used."""
        if self._links is None:
            self._links = Links()
        return self._links

    def prepare(self) -> None:
        """The kernel forwards, our tables say what the records say, and records of what is gone are gone.

        Raises DriverError when the kernel lacks something.
        """
        for path, module in ((Path("/proc/sys/net/bridge"), "br_netfilter"), (Path("/dev/net/tun"), "tun")):
            if not path.exists():
                raise DriverError(f"this kernel has no {module}: load that module")
        set_sysctl("net/ipv4/ip_forward", 1)
        self._forget_what_is_gone()
        self._filter_anew()
        self._warn_of_others()

    def apply(self, text: str, *, written: bool = False) -> None:
        """The packet filter has taken the change. `written`: the records say it already.

        Raises DriverError when it refuses it.
        """
        try:
            self._filter.apply(text)
        except DriverError as err:
            LOG.warning("the packet filter is not as we left it, making it anew: %s", err)
            self._filter_anew()
            if not written:
                self._filter.apply(text)

    def wire(self, network_id: str) -> None:
        """The packet filter knows the network as its record says."""
        wiring = self.wiring_of(self.records.networks[network_id])
        old = self._wired.get(network_id)
        self._wired[network_id] = wiring
        self.apply(self.rules.network(wiring, old), written=True)

    def unwire(self, network_id: str) -> None:
        """The packet filter knows nothing of the network."""
        wiring = self._wired.pop(network_id, None)
        if wiring is None:
            record = self.records.networks.get(network_id)
            wiring = self.wiring_of(record) if record is not None else self._wiring(network_id, 0)
        self.apply(self.rules.no_network(wiring, self._wired.values()))

    def erase_filter(self) -> None:
        """None of our tables is left."""
        self._filter.apply(self.rules.without())

    def erase_records(self) -> None:
        """No record is left."""
        self._records.erase()
        self._loaded = False

    def wiring_of(self, record: NetworkRecord) -> Wiring:
        """The network as our tables know it."""
        ways = paths(record.spec)
        peers = {peer.network_id for router in record.spec.routers if router.up for peer in router.peers}
        return msgspec.structs.replace(
            self._wiring(record.spec.id, record.number),
            bridge=self.segments.bridge(record.spec),
            lan=is_lan(record.spec),
            uplink=self.segments.uplink(record.spec, self.links),
            trunk=self.segments.trunk(record.spec),
            routed=tuple(sorted(self.names.link(id) for id in peers)),
            reach=ways.reach,
            floating=forwarding_rules.addresses(record.spec),
            plain=ways.plain,
        )

    def _wiring(self, network_id: str, number: int) -> Wiring:
        return Wiring(
            bridge=self.names.bridge(network_id),
            service=self.names.service(network_id),
            link=self.names.link(network_id),
            zone=number + FIRST_ZONE,
        )

    def close(self) -> None:
        """Handles are closed."""
        if self._links is not None:
            self._links.close()
        if self._nft is not None:
            self._nft.close()
        self._links = self._nft = None

    @property
    def _filter(self) -> Nft:
        if self._nft is None:
            self._nft = Nft()
        return self._nft

    def _filter_anew(self) -> None:
        known = self.records
        self._wired = {id: self.wiring_of(record) for id, record in known.networks.items()}
        ports = [(record, known.usage.chains_of(record.spec)) for record in known.ports.values()]
        groups = [known.groups.get(id) or GroupSpec(id=id) for id in self._groups_named()]
        text = self.rules.whole(self._wired.values(), groups, known.usage.chains(), ports)
        lans = [self.rules.on_lan(record, lan) for record, _ in ports if (lan := self.lan_of(record))]
        self._filter.apply("\n".join([text, *lans]))

    def lan_of(self, record: PortRecord) -> str:
        """The host's bridge that the port is on; "" when its bridge is ours."""
        wiring = self._wired.get(record.spec.network_id)
        return wiring.bridge if wiring is not None and wiring.lan else ""

    def _groups_named(self) -> list[str]:
        return sorted({id for chain in self.records.usage.chains() for id in chain.groups})

    def _warn_of_others(self) -> None:
        """Somebody else's chain that drops what is forwarded keeps our guests from the world, whatever we allow."""
        for table in foreign_droppers(self._filter.apply("list chains"), self.names.table):
            LOG.warning(
                "the packet filter's table %s drops forwarded packets by default, so guests may not reach the world: "
                "let it accept those from and to interfaces %s*",
                table,
                self.names.interfaces,
            )

    def _forget_what_is_gone(self) -> None:
        """After a reboot, or when the remover was killed at its last step."""
        present = {link.name for link in self.links.all()}
        for port in list(self.records.ports.values()):
            if port.spec.device not in present:
                self.records.drop_port(port.spec.id)
        for id in list(self.records.networks):
            if self.names.bridge(id) not in present and not self.names.namespace_path(id).exists():
                self.records.drop_network(id)


def foreign_droppers(listed: str, ours: str) -> list[str]:
    """Tables with a chain that drops forwarded IPv4 by default, of what `nft list chains` told, but for our own."""
    table, found = "", []
    for line in map(str.strip, listed.splitlines()):
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix("{").strip()
        elif "hook forward" in line and "policy drop" in line and table.split()[0] in ("ip", "inet"):
            found.append(table)
    return [name for name in dict.fromkeys(found) if name.split()[-1] != ours]
