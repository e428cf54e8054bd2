"""What volume types and group types share: a name that is theirs alone, who sees them, and specs."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Conflict, NotFound
from micronova.volume.db import GroupType, VolumeType

K = TypeVar("K", VolumeType, GroupType)


class Kinds(Generic[K]):
    """The kinds of one noun; `specs` is the field of the row that holds theirs."""

    def __init__(self, database: Database, clock: Clock, row: type[K], noun: str, specs: str) -> None:
        self._db = database
        self._clock = clock
        self._row: type[K] = row
        self._noun = noun
        self._specs = specs

    async def create(self, ctx: Context, values: Mapping[str, Any]) -> K:
        """A new one. Raises Conflict when its name is taken."""

        def record(tx: Tx) -> K:
            self._check_free(tx, values["name"])
            return tx.insert(self._row(id=self._clock.new_id(), created_at=tx.now, **values))

        return await self._db.write(record, ctx, why="created by an administrator")

    async def update(self, ctx: Context, id: str, values: Mapping[str, Any]) -> K:
        """Change name, description or visibility. Raises NotFound, Conflict when the name is taken."""

        def change(tx: Tx, row: K) -> K:
            if "name" in values:
                self._check_free(tx, values["name"], id)
            return tx.change(row, updated_at=tx.now, **values)

        return await self._change(ctx, id, change)

    async def set_specs(self, ctx: Context, id: str, specs: Mapping[str, str]) -> K:
        """It has these specs beside others. Raises NotFound."""

        def change(tx: Tx, row: K) -> K:
            return tx.change(row, **{self._specs: {**self._specs_of(row), **specs}})

        return await self._change(ctx, id, change)

    async def unset_spec(self, ctx: Context, id: str, key: str) -> None:
        """It has lost a spec. Raises NotFound also when it did not have it."""

        def change(tx: Tx, row: K) -> K:
            had = self._specs_of(row)
            if key not in had:
                raise NotFound(f"{self._noun} {id} has no specs with key {key}.", id=id)
            return tx.change(row, **{self._specs: {name: value for name, value in had.items() if name != key}})

        await self._change(ctx, id, change)

    def _specs_of(self, row: K) -> dict[str, str]:
        found: dict[str, str] = getattr(row, self._specs)
        return found

    def _check_free(self, tx: Tx, name: str, id: str = "") -> None:
        other = tx.first(self._row, name=name)
        if other is not None and other.id != id:
            raise Conflict(f"{self._noun} {name} already exists.")

    async def _change(self, ctx: Context, id: str, change: Callable[[Tx, K], K]) -> K:
        def write(tx: Tx) -> K:
            row = tx.first(self._row, id=id)
            if row is None:
                raise self.missing(id)
            return change(tx, row)

        return await self._db.write(write, ctx, why="changed by an administrator")

    def missing(self, id: str) -> NotFound:
        """What is said of one that is not there, or that the caller does not see."""
        return NotFound(f"{self._noun.capitalize()} {id} could not be found.", id=id)


def sees(ctx: Context, row: VolumeType | GroupType) -> bool:
    """Whether the caller sees the type."""
    return ctx.is_admin or row.is_public or ctx.project_id in row.access
