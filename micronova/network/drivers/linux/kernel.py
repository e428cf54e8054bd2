"""A host whose kernel switches by bridges and judges ports in the packet filter, beside what any host's kernel does."""

from pathlib import Path

import msgspec

from micronova.network.driver import GroupSpec
from micronova.network.drivers.linux.rules import Ruleset
from micronova.network.drivers.linux.segments import Segments
from micronova.network.drivers.linux.wirings import Wiring
from micronova.network.drivers.served.kernel import FIRST_ZONE, Kernel
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.records import NetworkRecord, PortRecord
from micronova.network.drivers.served.segments import HostWires, is_lan


class BridgeKernel(Kernel):
    """What the steps of making and removing networks and ports share."""

    modules = ((Path("/proc/sys/net/bridge"), "br_netfilter"), *Kernel.modules)
    rules: Ruleset

    def __init__(self, names: Names, state: Path, link_range: str, wires: HostWires) -> None:
        super().__init__(names, state, Ruleset(names.table, link_range))
        self.segments = Segments(names, wires)

    def passage_of(self, record: NetworkRecord) -> Wiring:
        """The network as our tables know it."""
        wiring = msgspec.structs.replace(
            self._unrouted(record.spec.id, record.number),
            bridge=self.segments.bridge(record.spec),
            lan=is_lan(record.spec),
            uplink=self.segments.uplink(record.spec, self.links),
            trunk=self.segments.trunk(record.spec),
        )
        return self._routed(record, wiring)

    def lan_of(self, record: PortRecord) -> str:
        """The host's bridge that the port is on; "" when its bridge is ours."""
        network = self.records.networks.get(record.spec.network_id)
        return self.segments.bridge(network.spec) if network is not None and is_lan(network.spec) else ""

    def _unrouted(self, network_id: str, number: int) -> Wiring:
        return Wiring(
            bridge=self.names.bridge(network_id),
            service=self.names.service(network_id),
            link=self.names.link(network_id),
            zone=number + FIRST_ZONE,
        )

    def _judged(self) -> str:
        known = self.records
        ports = [(record, known.usage.chains_of(record.spec)) for record in known.ports.values()]
        named = sorted({id for chain in known.usage.chains() for id in chain.groups})
        groups = [known.groups.get(id) or GroupSpec(id=id) for id in named]
        judges = self.rules.judges(groups, known.usage.chains(), ports)
        return "\n".join(
            [judges, *(self.rules.on_lan(record, lan) for record, _ in ports if (lan := self.lan_of(record)))]
        )

    def _forget_what_is_gone(self) -> None:
        present = {link.name for link in self.links.all()}
        for port in list(self.records.ports.values()):
            if port.spec.device not in present:
                self.records.drop_port(port.spec.id)
        super()._forget_what_is_gone()
