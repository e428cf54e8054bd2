"""One cloud's hold on this host's kernel: records, netlink socket, packet filter, and how they are opened.

Everything here belongs to one thread. Handles are opened when first needed and may be closed at any time.
"""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from micronova.errors import DriverError
from micronova.network.drivers.served import forwarding_rules
from micronova.network.drivers.served.host_rules import HostRules
from micronova.network.drivers.served.links import Links, set_sysctl
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.nft import Nft
from micronova.network.drivers.served.passages import Passage
from micronova.network.drivers.served.records import NetworkRecord, Records
from micronova.network.drivers.served.service_rules import paths

LOG = logging.getLogger(__name__)
FIRST_ZONE = 1
P = TypeVar("P", bound=Passage)


class Kernel:
    """What the steps of making and removing networks share, with rules of the driver's own."""

    modules: tuple[tuple[Path, str], ...] = ((Path("/dev/net/tun"), "tun"),)
    """What the kernel must have, each by a path that is there then, and the module that brings it."""

    def __init__(self, names: Names, state: Path, rules: HostRules) -> None:
        self.names = names
        self.rules = rules
        self._records = Records(state)
        self._loaded = False
        self._links: Links | None = None
        self._nft: Nft | None = None
        self._passing: dict[str, Passage] = {}

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
        for path, module in self.modules:
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
        passage = self.passage_of(self.records.networks[network_id])
        old = self._passing.get(network_id)
        self._passing[network_id] = passage
        self.apply(self.rules.network(passage, old), written=True)

    def unwire(self, network_id: str) -> None:
        """The packet filter knows nothing of the network."""
        passage = self._passing.pop(network_id, None)
        if passage is None:
            record = self.records.networks.get(network_id)
            passage = self.passage_of(record) if record is not None else self._unrouted(network_id, 0)
        self.apply(self.rules.no_network(passage, self._passing.values()))

    def erase_filter(self) -> None:
        """None of our tables is left."""
        self._filter.apply(self.rules.without())

    def erase_records(self) -> None:
        """No record is left."""
        self._records.erase()
        self._loaded = False

    def passage_of(self, record: NetworkRecord) -> Passage:
        """The network as our tables know it."""
        return self._routed(record, self._unrouted(record.spec.id, record.number))

    def _routed(self, record: NetworkRecord, passage: P) -> P:
        """The passage with what routers add."""
        ways = paths(record.spec)
        peers = {peer.network_id for router in record.spec.routers if router.up for peer in router.peers}
        return msgspec.structs.replace(
            passage,
            routed=tuple(sorted(self.names.link(id) for id in peers)),
            reach=ways.reach,
            floating=forwarding_rules.addresses(record.spec),
            plain=ways.plain,
        )

    def _unrouted(self, network_id: str, number: int) -> Passage:
        """The network with this number as far as its id alone tells."""
        return Passage(link=self.names.link(network_id))

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
        self._passing = {id: self.passage_of(record) for id, record in self.records.networks.items()}
        self._filter.apply("\n".join([self.rules.whole(self._passing.values()), self._judged()]))

    def _judged(self) -> str:
        """What the tables say about ports. Nothing here: flows may judge them, or rules of a driver."""
        return ""

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
