"""FlatManager: networks that are somebody else's. Hosts attach guests to a bridge that is there already.

Nothing on it is ours: neither a DHCP server nor a gateway. Guests learn their addresses from config drive or metadata.
"""

from typing import ClassVar

from micronova.db import Database, Tx
from micronova.manager import Runtime
from micronova.network.db import Network, Subnet
from micronova.network.refusals import invalid, refusal
from micronova.network.segments import pairs_of
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategy import Segment


class FlatManager(StrategyManager):
    """Networks on bridges of the hosts, one network for each physical network."""

    topic = "network_flat"
    network_type: ClassVar[str] = "flat"
    spans_hosts: ClassVar[bool] = True
    ours: ClassVar[bool] = False

    def __init__(self, runtime: Runtime, host: str | None = None, db_driver: Database | None = None) -> None:
        super().__init__(runtime, host, db_driver)
        self.bridges = pairs_of("network.bridges", self.options.bridges)

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """The physical network asked for. Raises BadRequest for one without a bridge, Conflict for one in use."""
        physical = asked.physical_network
        self.check_no_id(asked)
        if not physical:
            raise invalid("physical_network required for flat provider network")
        if physical not in self.bridges:
            raise invalid(f"physical_network '{physical}' unknown for flat provider network")
        taken = refusal(
            "FlatNetworkInUse",
            f"Unable to create the flat network. Physical network {physical} is in use.",
        )
        return self.take(tx, network_id, Segment(self.network_type, physical, None), taken)

    def wants_dhcp(self, subnet: Subnet) -> bool:
        """Never: the wire may have a DHCP server of its own."""
        return False

    def nat(self, network: Network) -> bool:
        """Never: what becomes of guests' packets is the gateway's matter."""
        return False

    def gateway_here(self, subnet: Subnet) -> str | None:
        """None: the gateway is a machine on the wire."""
        return None
