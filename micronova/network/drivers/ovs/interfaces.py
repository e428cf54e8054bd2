"""The interfaces of ports on this host: made, taken over, given back. Everything here runs in the kernel's thread."""

import logging
import socket
from collections.abc import Iterable

from micronova.clock import Clock
from micronova.network.driver import PortFacts, PortSpec
from micronova.network.drivers.ovs.kernel import SwitchKernel
from micronova.network.drivers.served import shaping
from micronova.network.drivers.served.links import Link
from micronova.network.drivers.served.records import Records

LOG = logging.getLogger(__name__)
FIRST_GROUP = 2**30


class Interfaces:
    """`tap_owner` is the user id that may open taps, None for root only."""

    def __init__(self, kernel: SwitchKernel, records: Records, clock: Clock, tap_owner: int | None) -> None:
        self._kernel = kernel
        self._names = kernel.names
        self._records = records
        self._clock = clock
        self._tap_owner = tap_owner
        self._settled: dict[str, tuple[object, ...]] = {}

    def expect(self) -> None:
        """The kernel is told which interfaces it mustn't hear, before the switch listens to them."""
        services = [self._names.service(id) for id in self._kernel.records.networks]
        uplinks = [self._names.uplink(id) for id in self._kernel.records.networks]
        self._kernel.expect([*services, *uplinks, *self._records.devices])

    def forget_what_is_gone(self) -> None:
        """Ports whose interface is gone, after a reboot or when their remover was killed, are forgotten."""
        present = {name for _, name in socket.if_nameindex()}
        for record in list(self._records.ports.values()):
            device = record.spec.parent.device if record.spec.parent is not None else record.spec.device
            if device not in present:
                self._records.drop_port(record.spec.id)

    def unsure(self, specs: tuple[PortSpec, ...]) -> tuple[PortSpec, ...]:
        """Those of the ports whose interface isn't known to be as it should; the others are there or need none."""
        present = {name for _, name in socket.if_nameindex()}
        own = [spec for spec in specs if spec.parent is None]
        return tuple(
            spec for spec in own if spec.device not in present or self._settled.get(spec.device) != self._wanted(spec)
        )

    def ours(self, specs: Iterable[PortSpec]) -> dict[str, bool]:
        """By interface, whether it is ours to delete: those that were there before their port are not."""
        return {spec.device: (link := self._find(spec)) is None or self._is_ours(link) for spec in specs}

    def make(self, specs: Iterable[PortSpec]) -> None:
        """The interfaces are there, up unless the port is down, and tell whose they are."""
        for spec in specs:
            self._settled.pop(spec.device, None)
            link = self._kernel.links.ensure_tap(spec.device, owner=self._tap_owner)
            self._kernel.links.settle(
                link,
                mtu=self._kernel.records.networks[spec.network_id].spec.mtu,
                alias=self._names.alias("port", spec.id, spec.network_id),
                up=spec.up,
            )
            shaping.shape(self._kernel.links, link, spec.qos.ingress)

    def trust(self, specs: Iterable[PortSpec]) -> None:
        """The interfaces are as they should be, in the switch too."""
        self._settled |= {spec.device: self._wanted(spec) for spec in specs}

    def distrust(self) -> None:
        """Of no interface it is known whether it is as it should."""
        self._settled.clear()

    def of(self, port_id: str) -> str | None:
        """The port's interface, as written down or as the interface itself tells; None for neither."""
        record = self._records.ports.get(port_id)
        if record is not None:
            return record.spec.device
        return next((facts.device for facts in self.present() if facts.id == port_id), None)

    def remove(self, port_id: str, device: str) -> None:
        """The interface is gone, or given back to who had it."""
        record = self._records.ports.get(port_id)
        if record is None:
            LOG.warning("port %s: removing interface %s, of which no record is left", port_id, device)
        self._settled.pop(device, None)
        link = self._kernel.links.find(device)
        if link is not None and (record is None or record.made):
            self._kernel.links.delete(device)
        elif link is not None:
            shaping.shape(self._kernel.links, link, None)
            self._kernel.links.settle(link, mtu=link.mtu, alias="")
        self._kernel.hear(device)

    def present(self) -> list[PortFacts]:
        """Ports whose interface is there, or that others carry, in order of id."""
        carried = [record.spec for record in dict(self._records.ports).values() if record.spec.parent is not None]
        found = {s.id: PortFacts(id=s.id, network_id=s.network_id, device=s.device) for s in carried}
        for link in self._kernel.links.all():
            owner = self._names.owner(link.alias)
            if owner is not None and owner.kind == "port":
                found[owner.id] = PortFacts(id=owner.id, network_id=owner.network_id, device=link.name)
        return [found[id] for id in sorted(found)]

    def remove_all(self) -> None:
        """No interface of ours is left, those that were there before their ports are free, and no table is left."""
        self._settled.clear()
        links = self._kernel.links
        given = {record.spec.device for record in self._records.ports.values() if not record.made}
        doomed = {record.spec.device for record in self._records.ports.values() if record.made}
        doomed |= {facts.device for facts in self.present()} - given
        for name in given:
            link = links.find(name)
            if link is not None:
                shaping.shape(links, link, None)
                links.settle(link, mtu=link.mtu, alias="")
        doomed |= {link.name for link in links.all() if link.name.startswith(self._names.interfaces)}
        links.drop_rules(self._names.interfaces)
        links.delete_all(doomed, group=FIRST_GROUP + self._clock.randbelow(FIRST_GROUP))
        self._kernel.erase_filter()

    def _wanted(self, spec: PortSpec) -> tuple[object, ...]:
        network = self._kernel.records.networks.get(spec.network_id)
        return (spec.id, spec.up, spec.qos.ingress, network.spec.mtu if network is not None else 0)

    def _find(self, spec: PortSpec) -> Link | None:
        return self._kernel.links.find(spec.device)

    def _is_ours(self, link: Link) -> bool:
        owner = self._names.owner(link.alias)
        return owner is not None and owner.kind == "port"
