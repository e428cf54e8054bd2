"""A port on this host: its mark, its interface on the bridge, its filters.

Filters come before the interface and go after it: there is no moment in which a guest is connected and not judged.
"""

import logging
import socket
from collections.abc import Iterable

import msgspec

from micronova.clock import Clock
from micronova.errors import DriverError
from micronova.network.driver import GroupSpec, PortFacts, PortSpec
from micronova.network.drivers.linux import subports
from micronova.network.drivers.linux.kernel import BridgeKernel
from micronova.network.drivers.served import filters, leases, parents, shaping
from micronova.network.drivers.served.links import Link
from micronova.network.drivers.served.names import check_device, check_id
from micronova.network.drivers.served.records import PortRecord
from micronova.network.drivers.served.segments import is_lan
from micronova.network.drivers.served.usage import Chain

LOG = logging.getLogger(__name__)
HIGHEST_MARK = 2**31 - 1
MANY = 16


class Ports:
    """Makes and removes ports. `tap_owner` is the user id that may open taps, None for root only."""

    def __init__(self, kernel: BridgeKernel, clock: Clock, tap_owner: int | None) -> None:
        self._kernel = kernel
        self._clock = clock
        self._tap_owner = tap_owner
        self._settled: set[str] = set()

    def make(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        """The ports are there and filtered; all filters and members of groups changed in one transaction.

        Raises DriverError or Rejected before anything has changed when one of them can't be.
        """
        self._check(specs, groups)
        bridges = {id: self._bridge(id) for id in sorted({spec.network_id for spec in specs})}
        records = self._records(specs)
        attached = self._attached(records)
        self._filter(records, groups)
        unsure = tuple(spec for spec in specs if spec.device not in attached)
        there = self._links_of(unsure)
        for spec in sorted(unsure, key=lambda one: one.parent is not None):
            link = self._link(spec, there)
            self._kernel.links.settle(
                link,
                mtu=self._mtu(spec.network_id, bridges[spec.network_id]),
                master=bridges[spec.network_id].index,
                alias=self._kernel.names.alias("port", spec.id, spec.network_id),
                up=spec.up,
            )
            shaping.shape(self._kernel.links, link, spec.qos.ingress)
            self._settled.add(spec.device)

    def _link(self, spec: PortSpec, there: dict[str, Link]) -> Link:
        """The port's interface, as it is. One that can't be carried leaves no trace: its network may have to go."""
        links = self._kernel.links
        if spec.parent is None:
            return there.get(spec.device) or links.ensure_tap(spec.device, owner=self._tap_owner)
        try:
            return subports.ensure(links, spec.device, spec.parent)
        except DriverError:
            self.remove(spec.id)
            raise

    def remove(self, port_id: str) -> None:
        """The port's interface, rules and record are gone, in this order."""
        record = self._kernel.records.ports.get(port_id)
        if record is None:
            self._remove_unrecorded(port_id)
            return
        self._settled.discard(record.spec.device)
        link = self._kernel.links.find(record.spec.device)
        if link is not None and record.made:
            self._kernel.links.delete(link.name)
        elif link is not None:
            shaping.shape(self._kernel.links, link, None)
            self._kernel.links.settle(link, mtu=link.mtu, master=0, alias="")
        known = self._kernel.records
        chains = known.usage.chains_of(record.spec)
        lan = self._kernel.lan_of(record)
        off = [self._kernel.rules.off_lan(record, lan)] if lan else []
        self._kernel.apply("\n".join([*off, self._kernel.rules.no_port(record, chains)]))
        known.drop_port(port_id)
        self._clear(chains)

    def spec_of(self, port_id: str) -> PortSpec | None:
        """The port as it is written down; None for an unknown one."""
        record = self._kernel.records.ports.get(port_id)
        return record.spec if record else None

    def specs_on(self, network_id: str) -> list[PortSpec]:
        """The network's ports as they are written down, in order of id."""
        return [record.spec for record in self._kernel.records.ports_of(network_id)]

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

    def _check(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        known = self._kernel.records
        devices: dict[str, str] = {}
        for spec in specs:
            check_id(spec.id)
            check_device(spec.device)
            known.usage.chains_of(spec)
            old = known.ports.get(spec.id)
            if old is None or msgspec.structs.replace(spec, rules=old.spec.rules) != old.spec:
                filters.anti_spoofing(spec)
                shaping.check(spec.qos)
                parents.check(spec.parent)
                leases.check(spec)
            holder = known.devices.get(spec.device) or devices.setdefault(spec.device, spec.id)
            if holder != spec.id:
                raise DriverError(f"interface {spec.device} belongs to port {holder}")
        for group in groups:
            check_id(group.id)
            filters.members(group, known.groups.get(group.id))

    def _attached(self, records: list[PortRecord]) -> set[str]:
        """Interfaces of ports of which nothing but the rules is new, and which are there: they stay as they are.

        One that another process began may lack its bridge and its alias, however its record reads.
        """
        known = self._kernel.records.ports
        same = {r.spec.device for r in records if (old := known.get(r.spec.id)) and _only_rules_differ(r, old)}
        same &= self._settled
        return same.intersection(name for _, name in socket.if_nameindex()) if same else same

    def _links_of(self, specs: tuple[PortSpec, ...]) -> dict[str, Link]:
        """Interfaces by name, looked up all at once when there are many; those missing here may be there."""
        if len(specs) < MANY:
            return {}
        return {link.name: link for link in self._kernel.links.all()}

    def _bridge(self, network_id: str) -> Link:
        if network_id not in self._kernel.records.networks:
            raise DriverError(f"network {network_id} is not on this host")
        return self._kernel.links.need(self._kernel.segments.bridge(self._kernel.records.networks[network_id].spec))

    def _mtu(self, network_id: str, bridge: Link) -> int:
        """The network's, but on a bridge that isn't ours what it has: a smaller port would make it smaller."""
        spec = self._kernel.records.networks[network_id].spec
        return bridge.mtu if is_lan(spec) else spec.mtu

    def _filter(self, records: list[PortRecord], groups: tuple[GroupSpec, ...]) -> None:
        """The ports and groups are written down and filtered, or nothing has changed."""
        known = self._kernel.records
        ports = {record.spec.id: known.ports.get(record.spec.id) for record in records}
        fresh = known.usage.unused(self._chains(record.spec for record in records))
        for record in records:
            known.put_port(record)
        members = self._named(records, groups)
        before = {group.id: known.groups.get(group.id) for group in members}
        for group in members:
            known.put_group(group)
        try:
            self._kernel.apply(self._change(fresh, ports, before), written=True)
        except DriverError:
            self._restore(ports, before)
            raise
        self._clear([chain for old in ports.values() if old for chain in known.usage.chains_of(old.spec)])

    def _named(self, records: list[PortRecord], groups: tuple[GroupSpec, ...]) -> list[GroupSpec]:
        """Those of the groups that rules name, and an empty one for each that is named and was never told of."""
        known = self._kernel.records
        members = {group.id: group for group in groups if known.usage.is_named(group.id)}
        for chain in self._chains(record.spec for record in records):
            for id in sorted(chain.groups):
                members.setdefault(id, known.groups.get(id) or GroupSpec(id=id))
        return list(members.values())

    def _change(
        self,
        chains: list[Chain],
        ports: dict[str, PortRecord | None],
        groups: dict[str, GroupSpec | None],
    ) -> str:
        """What makes the packet filter follow the records: `ports` and `groups` are how these were before.

        `chains` are those that no port used before.
        """
        known, rules = self._kernel.records, self._kernel.rules
        parts = [rules.group(known.groups[id], old) for id, old in groups.items()]
        parts += [rules.chain(chain) for chain in chains]
        for id, old in ports.items():
            record = known.ports[id]
            judges = known.usage.chains_of(record.spec)
            had = known.usage.chains_of(old.spec) if old is not None else None
            if old is not None and had is not None and _only_rules_differ(record, old):
                parts.append(rules.judged(record.mark, judges, had))
            else:
                parts.append(rules.port(record, judges, had))
            lan = self._kernel.lan_of(record)
            if lan:
                parts.append(rules.on_lan(record, lan, old))
        return "\n".join(parts)

    def _chains(self, specs: Iterable[PortSpec]) -> list[Chain]:
        usage = self._kernel.records.usage
        return list({chain.name: chain for spec in specs for chain in usage.chains_of(spec)}.values())

    def _clear(self, chains: Iterable[Chain]) -> None:
        """Those of the chains that no port uses are gone, and the groups that no rules name any more."""
        known, rules = self._kernel.records, self._kernel.rules
        gone = known.usage.unused(chains)
        if not gone:
            return
        named = {id for chain in gone for id in chain.groups}
        groups = [id for id in sorted(named) if not known.usage.is_named(id) and id in known.groups]
        parts = [*(rules.no_chain(chain) for chain in gone), *(rules.no_group(id) for id in groups)]
        self._kernel.apply("\n".join(parts))
        for id in groups:
            known.drop_group(id)

    def _restore(self, ports: dict[str, PortRecord | None], groups: dict[str, GroupSpec | None]) -> None:
        known = self._kernel.records
        for id, port in ports.items():
            if port is None:
                known.drop_port(id)
            else:
                known.put_port(port)
        for id, group in groups.items():
            if group is None:
                known.drop_group(id)
            else:
                known.put_group(group)

    def _records(self, specs: tuple[PortSpec, ...]) -> list[PortRecord]:
        given: set[int] = set()
        return [self._record(spec, given) for spec in specs]

    def _record(self, spec: PortSpec, given: set[int]) -> PortRecord:
        known = self._kernel.records.ports.get(spec.id)
        if known is not None and known.spec.device == spec.device:
            return PortRecord(spec=spec, mark=known.mark, made=known.made)
        if known is not None:
            raise DriverError(f"port {spec.id} has interface {known.spec.device}: remove it first")
        mark = 0
        while mark == 0 or mark in given or mark in self._kernel.records.marks:
            mark = self._clock.randbelow(HIGHEST_MARK)
        given.add(mark)
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


def _only_rules_differ(new: PortRecord, old: PortRecord) -> bool:
    same = msgspec.structs.replace(new.spec, rules=old.spec.rules)
    return new.spec != old.spec and same == old.spec and new.mark == old.mark
