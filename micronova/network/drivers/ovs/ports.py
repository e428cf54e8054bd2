"""Ports as they are written down, and the pieces of flows that follow from them. Touches neither kernel nor switch."""

from collections.abc import Container, Iterable

import msgspec

from micronova.errors import DriverError, NoSpace
from micronova.network.driver import GroupSpec, PortSpec
from micronova.network.drivers.ovs import guests, judges
from micronova.network.drivers.ovs.names import Numbers
from micronova.network.drivers.ovs.openflow import NOTHING, Piece
from micronova.network.drivers.served import filters, leases, parents, shaping
from micronova.network.drivers.served.names import check_device, check_id
from micronova.network.drivers.served.records import PortRecord, Records
from micronova.network.drivers.served.usage import Chain

DIRECTIONS = ("egress", "ingress")


class Change(msgspec.Struct, frozen=True):
    """What was written down about ports and groups before a change: who failed to apply it puts that back."""

    ports: dict[str, PortRecord | None]
    groups: dict[str, GroupSpec | None]


class Ports:
    """The ports and groups of one cloud. A record's `mark` is the port's number on the bridge."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @property
    def records(self) -> Records:
        """What is written down."""
        return self._records

    def check(self, specs: tuple[PortSpec, ...], groups: Iterable[GroupSpec]) -> None:
        """Raises Rejected for what can never be, DriverError for an interface that is another port's."""
        known = self._records
        devices: dict[str, str] = {}
        given = {spec.id: spec for spec in specs}
        for spec in specs:
            check_id(spec.id)
            check_device(spec.device)
            known.usage.chains_of(spec)
            filters.anti_spoofing(spec)
            leases.check(spec)
            shaping.check(spec.qos)
            parents.check(spec.parent)
            holder = known.devices.get(spec.device) or devices.setdefault(spec.device, spec.id)
            if holder != spec.id:
                raise DriverError(f"interface {spec.device} belongs to port {holder}")
            old = known.ports.get(spec.id)
            if old is not None and old.spec.device != spec.device:
                raise DriverError(f"port {spec.id} has interface {old.spec.device}: remove it first")
        for spec in specs:
            if spec.parent is not None and spec.parent.port_id not in known.ports and spec.parent.port_id not in given:
                raise DriverError(f"port {spec.parent.port_id}, which carries port {spec.id}, is not on this host")
        for group in groups:
            check_id(group.id)
            filters.members(group, known.groups.get(group.id))

    def put(self, specs: Iterable[PortSpec], groups: Iterable[GroupSpec], made: dict[str, bool]) -> Change:
        """The ports, and those of the groups that rules name, are written down; returns how they were before.

        `made` tells by interface whether it is ours to delete. Raises NoSpace when all numbers are taken.
        """
        known = self._records
        records = self._numbered(specs, made)
        ports = {record.spec.id: known.ports.get(record.spec.id) for record in records}
        for record in records:
            known.put_port(record)
        named = [group for group in groups if known.usage.is_named(group.id)]
        before = {group.id: known.groups.get(group.id) for group in named}
        for group in named:
            known.put_group(group)
        return Change(ports, before)

    def put_back(self, change: Change) -> None:
        """The change was never written down."""
        for id, port in change.ports.items():
            if port is None:
                self._records.drop_port(id)
            else:
                self._records.put_port(port)
        for id, group in change.groups.items():
            if group is None:
                self._records.drop_group(id)
            else:
                self._records.put_group(group)

    def drop(self, port_id: str) -> list[Chain]:
        """The port is forgotten, and the groups that no rules name any more; returns the chains that it had."""
        record = self._records.ports.get(port_id)
        if record is None:
            return []
        chains = list(self._records.usage.chains_of(record.spec))
        self._records.drop_port(port_id)
        return chains

    def forget_groups(self) -> None:
        """Groups that no rules name are forgotten."""
        for id in [id for id in self._records.groups if not self._records.usage.is_named(id)]:
            self._records.drop_group(id)

    def pieces(self, change: Change, zones: dict[str, int]) -> dict[str, Piece]:
        """What the change does to flows. `zones` are those of the networks by id."""
        usage = self._records.usage
        found: dict[str, Piece] = {}
        for id, old in change.ports.items():
            record = self._records.ports[id]
            found[f"port {id}"] = self._port(record, zones[record.spec.network_id])
            found |= self._chains(record.spec, found)
            if old is not None:
                found |= self.cleared(usage.chains_of(old.spec))
        found |= self._carried(change.ports, zones)
        if change.groups:
            for record in self._users(change.groups.keys()):
                found |= self._chains(record.spec, found)
        return found

    def cleared(self, chains: Iterable[Chain]) -> dict[str, Piece]:
        """Those of the chains that no port uses, as nothing."""
        return {f"chain {chain.name}": NOTHING for chain in self._records.usage.unused(chains)}

    def all_pieces(self, zones: dict[str, int]) -> dict[str, Piece]:
        """The flows of all ports, of networks that are in `zones`."""
        found: dict[str, Piece] = {}
        for id, record in self._records.ports.items():
            zone = zones.get(record.spec.network_id)
            if zone is not None:
                found[f"port {id}"] = self._port(record, zone)
        for record in self._users(None):
            found |= self._chains(record.spec, found)
        return found

    def on(self, network_id: str) -> tuple[list[int], list[int]]:
        """Numbers of the network's ports: of all that are up, and of those whose guests have whatever MAC they like."""
        up = [record for record in self._records.ports_of(network_id) if record.spec.up]
        return [record.mark for record in up], [record.mark for record in up if not record.spec.secured]

    def _port(self, record: PortRecord, zone: int) -> Piece:
        sends, gets = self._records.usage.chains_of(record.spec)
        numbers = (judges.number(sends.name), judges.number(gets.name)) if record.spec.secured else (0, 0)
        parent = self._records.ports.get(record.spec.parent.port_id) if record.spec.parent is not None else None
        if record.spec.parent is not None and parent is None:
            return NOTHING
        place = guests.Place(number=record.mark, zone=zone, carrier=parent.mark if parent is not None else None)
        return guests.port(record.spec, place, numbers)

    def _carried(self, port_ids: Container[str], zones: dict[str, int]) -> dict[str, Piece]:
        """The flows of ports that have one of these as their parent."""
        records = [r for r in self._records.ports.values() if r.spec.parent and r.spec.parent.port_id in port_ids]
        return {f"port {r.spec.id}": self._port(r, zones[r.spec.network_id]) for r in records}

    def meters(self, port_ids: Iterable[str]) -> dict[int, str]:
        """The meters of these ports by their numbers, "" where one needs none."""
        records = [self._records.ports[id] for id in port_ids]
        return {record.mark: guests.meter(record.spec, record.mark) for record in records}

    def _chains(self, spec: PortSpec, known: Container[str]) -> dict[str, Piece]:
        """The flows of the port's rules, but for chains that are `known`: many ports have the same."""
        if not spec.secured:
            return {}
        both = zip(self._records.usage.chains_of(spec), DIRECTIONS, strict=True)
        return {
            f"chain {chain.name}": judges.chain(chain.name, spec.rules, direction, self._members)
            for chain, direction in both
            if f"chain {chain.name}" not in known
        }

    def _members(self, group_id: str) -> tuple[str, ...]:
        group = self._records.groups.get(group_id)
        return group.addresses if group is not None else ()

    def _users(self, groups: Iterable[str] | None) -> list[PortRecord]:
        """One port for each set of rules that names one of the groups (or any, for None)."""
        wanted = None if groups is None else set(groups)
        found: dict[object, PortRecord] = {}
        for record in self._records.ports.values():
            named = {rule.remote_group for rule in record.spec.rules}
            if record.spec.secured and (wanted is None or wanted & named):
                found.setdefault(record.spec.rules, record)
        return list(found.values())

    def _numbered(self, specs: Iterable[PortSpec], made: dict[str, bool]) -> list[PortRecord]:
        known, given = self._records, set[int]()
        found = []
        number = Numbers.GUESTS
        for spec in specs:
            old = known.ports.get(spec.id)
            if old is None:
                while number in known.marks or number in given:
                    number += 1
                if number >= Numbers.PHYSICAL:
                    raise NoSpace(f"this host has {Numbers.PHYSICAL - 1} ports already")
                given.add(number)
            mark = old.mark if old is not None else number
            ours = old.made if old is not None else made.get(spec.device, True)
            found.append(PortRecord(spec=spec, mark=mark, made=ours))
        return found
