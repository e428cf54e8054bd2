"""Host aggregates: hosts that operators put together, and the availability zones that they make."""

from collections.abc import Callable, Mapping
from typing import Any

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, Duplicate, NotFound
from micronova.scheduler import db
from micronova.scheduler.db import Aggregate, Host

ZONE = "availability_zone"
"""The piece of metadata that is the aggregate's zone."""


class Aggregates:
    """Aggregates, from creation to removal. A host is in at most one zone."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def list(self, ctx: Context) -> list[Aggregate]:
        """All aggregates in the order they were made."""
        return await self._db.read(db.aggregates)

    async def get(self, ctx: Context, id: int) -> Aggregate:
        """Raises NotFound."""
        return await self._db.read(lambda tx: _get(tx, id))

    async def create(self, ctx: Context, name: str, zone: str | None) -> Aggregate:
        """The aggregate exists, without hosts. Raises Duplicate when the name is taken."""

        def record(tx: Tx) -> Aggregate:
            _check_name(tx, name)
            metadata = {ZONE: zone} if zone else {}
            uuid = self._clock.new_id()
            return tx.insert(Aggregate(uuid=uuid, name=name, zone=zone or "", metadata=metadata, created_at=tx.now))

        return await self._db.write(record, ctx, why="created by request")

    async def update(self, ctx: Context, id: int, *, name: str | None, zone: str | None) -> Aggregate:
        """The aggregate has this name and zone; None leaves what it has.

        Raises NotFound, Duplicate when the name is taken, Conflict when a host is in another zone already.
        """

        def fields(tx: Tx, row: Aggregate) -> dict[str, Any]:
            changed: dict[str, Any] = {}
            if name is not None and name != row.name:
                _check_name(tx, name)
                changed["name"] = name
            if zone is not None:
                changed |= _metadata(tx, row, {ZONE: zone})
            return changed

        return await self._change(ctx, id, fields)

    async def set_metadata(self, ctx: Context, id: int, metadata: Mapping[str, str | None]) -> Aggregate:
        """The aggregate has this metadata besides what it had; None takes a piece away.

        Raises NotFound, Conflict when a host is in another zone already.
        """
        return await self._change(ctx, id, lambda tx, row: _metadata(tx, row, metadata))

    async def add_host(self, ctx: Context, id: int, host: str) -> Aggregate:
        """The host is in the aggregate.

        Raises NotFound, Duplicate when it was before, Conflict when another zone has it.
        """

        def fields(tx: Tx, row: Aggregate) -> dict[str, Any]:
            if tx.first(Host, host=host) is None:
                raise NotFound(f"Compute host {host} could not be found.", id=host)
            if host in row.hosts:
                raise Duplicate(f"Aggregate {id} already has host {host}.")
            _check_zone(tx, row, (host,), row.zone)
            return {"hosts": (*row.hosts, host)}

        return await self._change(ctx, id, fields)

    async def remove_host(self, ctx: Context, id: int, host: str) -> Aggregate:
        """The host is not in the aggregate. Raises NotFound when it was not before."""

        def fields(tx: Tx, row: Aggregate) -> dict[str, Any]:
            if host not in row.hosts:
                raise NotFound(f"Cannot remove host {host} in aggregate {id}: not found")
            return {"hosts": tuple(other for other in row.hosts if other != host)}

        return await self._change(ctx, id, fields)

    async def delete(self, ctx: Context, id: int) -> None:
        """The aggregate is gone. Raises NotFound, BadRequest while it has hosts."""

        def remove(tx: Tx) -> None:
            row = _get(tx, id)
            if row.hosts:
                raise BadRequest(f"Cannot delete aggregate {id}: host aggregate is not empty")
            tx.delete(row)

        await self._db.write(remove, ctx, why="deleted by request")

    async def _change(self, ctx: Context, id: int, fields: Callable[[Tx, Aggregate], dict[str, Any]]) -> Aggregate:
        def write(tx: Tx) -> Aggregate:
            row = _get(tx, id)
            return tx.change(row, updated_at=tx.now, **fields(tx, row))

        return await self._db.write(write, ctx, why="changed by request")


def _get(tx: Tx, id: int) -> Aggregate:
    found = tx.first(Aggregate, id=id)
    if found is None:
        raise NotFound(f"Aggregate {id} could not be found.", id=id)
    return found


def _check_name(tx: Tx, name: str) -> None:
    if tx.first(Aggregate, name=name) is not None:
        raise Duplicate(f"Aggregate {name} already exists.")


def _metadata(tx: Tx, row: Aggregate, changes: Mapping[str, str | None]) -> dict[str, Any]:
    if ZONE in changes and not changes[ZONE]:
        raise BadRequest("Aggregate availability_zone can not be empty")
    merged = {**row.metadata, **changes}
    kept = {name: value for name, value in merged.items() if value is not None}
    zone = kept.get(ZONE, "")
    _check_zone(tx, row, row.hosts, zone)
    return {"metadata": kept, "zone": zone}


def _check_zone(tx: Tx, row: Aggregate, hosts: tuple[str, ...], zone: str) -> None:
    """Raises Conflict when one of `hosts` is in another zone by another aggregate."""
    if not zone:
        return
    for other in db.aggregates(tx):
        taken = set(hosts) & set(other.hosts)
        if other.id != row.id and other.zone not in ("", zone) and taken:
            raise Conflict(f"Host {min(taken)} is in availability zone {other.zone} already.")
