"""One cloud's hold on this host's kernel: records, netlink socket, packet filter, and how they are opened.

Everything here belongs to one thread. Handles are opened when first needed and may be closed at any time.
"""

import logging
from pathlib import Path

from micronova.errors import DriverError
from micronova.network.drivers.linux.links import Links, set_sysctl
from micronova.network.drivers.linux.names import Names
from micronova.network.drivers.linux.nft import Nft
from micronova.network.drivers.linux.records import NetworkRecord, Records
from micronova.network.drivers.linux.rules import Ruleset, Wiring

LOG = logging.getLogger(__name__)
FIRST_ZONE = 1


class Kernel:
    """What the steps of making and removing networks and ports share."""

    def __init__(self, names: Names, state: Path, link_range: str) -> None:
        self.names = names
        self.rules = Ruleset(names.table, link_range)
        self._records = Records(state)
        self._loaded = False
        self._links: Links | None = None
        self._nft: Nft | None = None

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

    def apply(self, text: str) -> None:
        """The packet filter has taken the change. Raises DriverError when it refuses it."""
        try:
            self._filter.apply(text)
        except DriverError as err:
            LOG.warning("the packet filter is not as we left it, making it anew: %s", err)
            self._filter_anew()
            self._filter.apply(text)

    def erase_filter(self) -> None:
        """None of our tables is left."""
        self._filter.apply(self.rules.without())

    def erase_records(self) -> None:
        """No record is left."""
        self._records.erase()
        self._loaded = False

    def wiring(self, network_id: str, number: int = 0) -> Wiring:
        """The network as our tables know it."""
        return Wiring(
            bridge=self.names.bridge(network_id),
            service=self.names.service(network_id),
            link=self.names.link(network_id),
            zone=number + FIRST_ZONE,
        )

    def wiring_of(self, record: NetworkRecord) -> Wiring:
        """The network as our tables know it."""
        return self.wiring(record.spec.id, record.number)

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
        wirings = [self.wiring_of(record) for record in self.records.networks.values()]
        self._filter.apply(self.rules.whole(wirings, self.records.ports.values()))

    def _forget_what_is_gone(self) -> None:
        """After a reboot, or when the remover was killed at its last step."""
        present = {link.name for link in self.links.all()}
        for port in list(self.records.ports.values()):
            if port.spec.device not in present:
                self.records.drop_port(port.spec.id)
        for id in list(self.records.networks):
            if self.names.bridge(id) not in present and not self.names.namespace_path(id).exists():
                self.records.drop_network(id)
