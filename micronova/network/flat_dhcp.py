"""FlatDHCPManager: one bridge per network on every host that has ports of it; DHCP, gateway, NAT are the host's own."""

from micronova.db import Tx
from micronova.network.base import NetworkManager
from micronova.network.refusals import invalid
from micronova.network.room import Segment


class FlatDHCPManager(NetworkManager):
    """Networks without segments: what keeps them apart is that each has its own bridge."""

    network_types = ("flat",)

    def choose_segment(self, tx: Tx, asked: Segment) -> Segment:
        """A flat one. Raises BadRequest for any other type, and for a segment or physical network of its own."""
        if asked.network_type not in ("", *self.network_types):
            there = ", ".join(self.network_types)
            raise invalid(f"Network type '{asked.network_type}' is not configured, this cloud has: {there}")
        if asked.segmentation_id is not None:
            raise invalid("segmentation_id specified for a flat network")
        return Segment("flat", asked.physical_network, None)
