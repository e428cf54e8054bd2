"""FlatDHCPManager: one bridge per network on every host that has ports of it; DHCP, gateway, NAT are the host's own."""

from typing import ClassVar

from micronova.db import Tx
from micronova.network.db import Network
from micronova.network.driver import SegmentSpec
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategy import Segment


class FlatDHCPManager(StrategyManager):
    """Networks without segments: what keeps them apart is that each has its own bridge."""

    topic = "network_flat_dhcp"
    network_type: ClassVar[str] = "flat"

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """A bridge is always there; a physical network is remembered and means nothing. Raises BadRequest for an id."""
        self.check_no_id(asked)
        return Segment(self.network_type, asked.physical_network, None)

    def segment_spec(self, tx: Tx, network: Network, host: str) -> SegmentSpec:
        """A bridge that ends at the host."""
        return SegmentSpec()
