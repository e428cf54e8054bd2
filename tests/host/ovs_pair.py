"""Two hosts on one wire, each with an Open vSwitch of its own."""

from netlab import Lab
from netpair import Pair

from micronova.clock import SystemClock
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.served.segments import NO_WIRES, HostWires


class OvsPair(Pair):
    """A pair whose hosts have the Open vSwitch driver."""

    def __init__(self, lab: Lab, wires: HostWires = NO_WIRES) -> None:
        super().__init__(lab, wires)
        for site in (self.here, self.there):
            site.driver = OvsNetworkDriver(site.state, SystemClock(), wires=wires)  # type: ignore[assignment]
