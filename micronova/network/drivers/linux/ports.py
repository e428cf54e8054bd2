"""A port on this host: its mark, its interface on the bridge, its filters.

Filters come before the interface and go after it: there is no moment in which a guest is connected and not judged.
"""

import logging

from micronova.clock import Clock
from micronova.errors import DriverError
from micronova.network.driver import PortFacts, PortSpec
from micronova.network.drivers.linux import filters
from micronova.network.drivers.linux.kernel import Kernel
from micronova.network.drivers.linux.links import Link
from micronova.network.drivers.linux.names import check_device, check_id
from micronova.network.drivers.linux.records import PortRecord

LOG = logging.getLogger(__name__)
HIGHEST_MARK = 2**31 - 1


class Ports:
    """Makes and removes ports. `tap_owner` is the user id that may open taps, None for root only."""

    def __init__(self, kernel: Kernel, clock: Clock, tap_owner: int | None) -> None:
        self._kernel = kernel
        self._clock = clock
        self._tap_owner = tap_owner

    def make(self, specs: tuple[PortSpec, ...]) -> None:
        """The ports are there and filtered; all filters changed in one transaction.

        Raises DriverError or Rejected before anything has changed when one of them can't be.
        """
        self._check(specs)
        bridges = {id: self._bridge(id) for id in sorted({spec.network_id for spec in specs})}
        self._filter(self._records(specs))
        for spec in specs:
            link = self._kernel.links.ensure_tap(spec.device, owner=self._tap_owner)
            self._kernel.links.settle(
                link,
                mtu=self._kernel.records.networks[spec.network_id].spec.mtu,
                master=bridges[spec.network_id].index,
                alias=self._kernel.names.alias("port", spec.id, spec.network_id),
                up=spec.up,
            )

    def remove(self, port_id: str) -> None:
        """The port's interface, rules and record are gone, in this order."""
        record = self._kernel.records.ports.get(port_id)
        if record is None:
            self._remove_unrecorded(port_id)
            return
        link = self._kernel.links.find(record.spec.device)
        if link is not None and record.made:
            self._kernel.links.delete(link.name)
        elif link is not None:
            self._kernel.links.settle(link, mtu=link.mtu, master=0, alias="")
        self._kernel.apply(self._kernel.rules.no_port(record))
        self._kernel.records.drop_port(port_id)

    def network_of(self, port_id: str) -> str | None:
        """The id of the network the port is written down for; None for an unknown port."""
        record = self._kernel.records.ports.get(port_id)
        return record.spec.network_id if record else None

    def surrender(self) -> list[str]:
        """Interfaces that were there before their ports are free; returns those that are ours to delete."""
        ours = [facts.device for facts in self.present()]
        for record in self._kernel.records.ports.values():
            link = self._kernel.links.find(record.spec.device)
            if record.made:
                ours.append(record.spec.device)
            elif link is not None:
                ours = [name for name in ours if name != link.name]
                self._kernel.links.settle(link, mtu=link.mtu, master=0, alias="")
        return ours

    def present(self) -> list[PortFacts]:
        """Ports whose interface is there, in order of id."""
        found = {}
        for link in self._kernel.links.all():
            owner = self._kernel.names.owner(link.alias)
            if owner is not None and owner.kind == "port":
                found[owner.id] = PortFacts(id=owner.id, network_id=owner.network_id, device=link.name)
        return [found[id] for id in sorted(found)]

    def _check(self, specs: tuple[PortSpec, ...]) -> None:
        devices = {record.spec.device: id for id, record in self._kernel.records.ports.items()}
        for spec in specs:
            check_id(spec.id)
            check_device(spec.device)
            filters.check(spec)
            if devices.setdefault(spec.device, spec.id) != spec.id:
                raise DriverError(f"interface {spec.device} belongs to port {devices[spec.device]}")

    def _bridge(self, network_id: str) -> Link:
        if network_id not in self._kernel.records.networks:
            raise DriverError(f"network {network_id} is not on this host")
        return self._kernel.links.need(self._kernel.names.bridge(network_id))

    def _filter(self, records: list[PortRecord]) -> None:
        """The ports are written down and filtered, or neither."""
        known = self._kernel.records
        before = {record.spec.id: known.ports.get(record.spec.id) for record in records}
        for record in records:
            known.put_port(record)
        try:
            self._kernel.apply("\n".join(self._kernel.rules.port(record) for record in records))
        except DriverError:
            for id, old in before.items():
                if old is None:
                    known.drop_port(id)
                else:
                    known.put_port(old)
            raise

    def _records(self, specs: tuple[PortSpec, ...]) -> list[PortRecord]:
        used = {record.mark for record in self._kernel.records.ports.values()}
        return [self._record(spec, used) for spec in specs]

    def _record(self, spec: PortSpec, used: set[int]) -> PortRecord:
        known = self._kernel.records.ports.get(spec.id)
        if known is not None and known.spec.device == spec.device:
            return PortRecord(spec=spec, mark=known.mark, made=known.made)
        if known is not None:
            raise DriverError(f"port {spec.id} has interface {known.spec.device}: remove it first")
        mark = 0
        while mark == 0 or mark in used:
            mark = self._clock.randbelow(HIGHEST_MARK)
        used.add(mark)
        link = self._kernel.links.find(spec.device)
        return PortRecord(spec=spec, mark=mark, made=link is None or self._is_ours(link))

    def _is_ours(self, link: Link) -> bool:
        owner = self._kernel.names.owner(link.alias)
        return owner is not None and owner.kind == "port"

    def _remove_unrecorded(self, port_id: str) -> None:
        """Its record was lost, its interface may still be there."""
        for facts in self.present():
            if facts.id == port_id:
                LOG.warning("port %s: removing interface %s, of which no record is left", port_id, facts.device)
                self._kernel.links.delete(facts.device)
