"""QoS specs: limits of use that volume types refer to."""

from collections.abc import Mapping, Sequence

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, NotFound
from micronova.volume.db import QosSpec, VolumeType


class QosSpecs:
    """QoS specs and the types they are associated with."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def find(self, ctx: Context) -> list[QosSpec]:
        """All of them, newest first."""
        return await self._db.read(lambda tx: tx.find(QosSpec, order=(("created_at", False), ("id", False))))

    async def get(self, ctx: Context, id: str) -> QosSpec:
        """One. Raises NotFound."""
        return await self._db.read(lambda tx: _get(tx, id))

    async def create(self, ctx: Context, name: str, consumer: str, specs: Mapping[str, str]) -> QosSpec:
        """A new one. Raises Conflict when its name is taken."""

        def record(tx: Tx) -> QosSpec:
            if tx.first(QosSpec, name=name) is not None:
                raise Conflict(f"QoS Specs {name} already exists.")
            return tx.insert(
                QosSpec(id=self._clock.new_id(), name=name, consumer=consumer, specs=dict(specs), created_at=tx.now)
            )

        return await self._db.write(record, ctx, why="created by an administrator")

    async def set(self, ctx: Context, id: str, specs: Mapping[str, str], consumer: str | None) -> QosSpec:
        """It has these specs beside others. Raises NotFound."""

        def write(tx: Tx) -> QosSpec:
            row = _get(tx, id)
            return tx.change(row, specs={**row.specs, **specs}, consumer=consumer or row.consumer, updated_at=tx.now)

        return await self._db.write(write, ctx, why="changed by an administrator")

    async def unset(self, ctx: Context, id: str, keys: Sequence[str]) -> None:
        """It has lost these specs. Raises NotFound also for one it does not have."""

        def write(tx: Tx) -> None:
            row = _get(tx, id)
            for key in keys:
                if key not in row.specs:
                    raise BadRequest(f"QoS spec {id} has no spec with key {key}.")
            left = {name: value for name, value in row.specs.items() if name not in keys}
            tx.change(row, specs=left, updated_at=tx.now)

        await self._db.write(write, ctx, why="changed by an administrator")

    async def delete(self, ctx: Context, id: str, *, force: bool) -> None:
        """Forget it; `force`: also when types refer to it. Raises NotFound, BadRequest."""

        def erase(tx: Tx) -> None:
            row = _get(tx, id)
            users = tx.find(VolumeType, qos_id=id)
            if users and not force:
                raise BadRequest(f"QoS Specs {id} is still associated with entities.")
            for user in users:
                tx.change(user, qos_id=None)
            tx.delete(row)

        await self._db.write(erase, ctx, why="deleted by an administrator")

    async def users(self, ctx: Context, id: str) -> list[VolumeType]:
        """The types that refer to it. Raises NotFound."""

        def look(tx: Tx) -> list[VolumeType]:
            return tx.find(VolumeType, qos_id=_get(tx, id).id)

        return await self._db.read(look)

    async def associate(self, ctx: Context, id: str, type_id: str) -> None:
        """The type refers to it. Raises NotFound, BadRequest when it refers to another."""

        def write(tx: Tx) -> None:
            _get(tx, id)
            row = _type(tx, type_id)
            if row.qos_id not in (None, id):
                raise BadRequest(f"Type {type_id} is already associated with another qos specs: {row.qos_id}")
            tx.change(row, qos_id=id)

        await self._db.write(write, ctx, why="associated by an administrator")

    async def disassociate(self, ctx: Context, id: str, type_id: str | None) -> None:
        """The type, or every one, no longer refers to it. Raises NotFound."""

        def write(tx: Tx) -> None:
            _get(tx, id)
            rows = tx.find(VolumeType, qos_id=id) if type_id is None else [_type(tx, type_id)]
            for row in rows:
                if row.qos_id == id:
                    tx.change(row, qos_id=None)

        await self._db.write(write, ctx, why="disassociated by an administrator")


def _get(tx: Tx, id: str) -> QosSpec:
    found = tx.first(QosSpec, id=id)
    if found is None:
        raise NotFound(f"No such QoS spec {id}.", id=id)
    return found


def _type(tx: Tx, id: str) -> VolumeType:
    found = tx.first(VolumeType, id=id)
    if found is None:
        raise NotFound(f"Volume type {id} could not be found.", id=id)
    return found
