"""Volume types: who sees them, what they ask for, which one is taken when none is named; QoS specs and encryption."""

from collections.abc import Mapping
from typing import Any

import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, Duplicate, NotFound
from micronova.volume import db
from micronova.volume.db import DefaultType, EncryptionType, VolumeType
from micronova.volume.db.volumes import Volume
from micronova.volume.kinds import Kinds, sees

RESERVED_FOR_MULTIATTACH = "<is> True"


class Types(Kinds[VolumeType]):
    """Volume types."""

    def __init__(self, database: Database, clock: Clock, default_name: str) -> None:
        super().__init__(database, clock, VolumeType, "Volume Type", "extra_specs")
        self.default_name = default_name

    async def ensure_default(self, ctx: Context) -> None:
        """The default type is there."""

        def make(tx: Tx) -> None:
            if tx.first(VolumeType, name=self.default_name) is None:
                tx.insert(
                    VolumeType(
                        id=self._clock.new_id(),
                        name=self.default_name,
                        description="Default Volume Type",
                        created_at=tx.now,
                    )
                )

        try:
            await self._db.write(make, ctx, why="every volume has a type")
        except Duplicate:
            return  # another host was faster

    # -- inside a transaction

    def visible(self, tx: Tx, ctx: Context, ref: str) -> VolumeType:
        """The type with this id or name, if the caller sees it. Raises NotFound."""
        found = tx.first(VolumeType, id=ref) or tx.first(VolumeType, name=ref)
        if found is None or not sees(ctx, found):
            raise self.missing(ref)
        return found

    def default(self, tx: Tx, project_id: str) -> VolumeType:
        """The type of a volume of this project that names none. Raises NotFound when it is gone."""
        own = tx.first(DefaultType, project_id=project_id)
        found = tx.first(VolumeType, id=own.type_id) if own is not None else None
        found = found or tx.first(VolumeType, name=self.default_name)
        if found is None:
            raise NotFound(f"Default volume type {self.default_name} could not be found.")
        return found

    # -- types

    async def find(self, ctx: Context, is_public: bool | None) -> list[VolumeType]:
        """The types that the caller sees, newest first; `is_public` None: all he sees."""

        def look(tx: Tx) -> list[VolumeType]:
            seen = [row for row in db.all_types(tx) if sees(ctx, row)]
            return [row for row in seen if is_public is None or row.is_public == is_public]

        return await self._db.read(look)

    async def get(self, ctx: Context, id: str) -> VolumeType:
        """One type by its id. Raises NotFound."""

        def look(tx: Tx) -> VolumeType:
            if id == "default":
                return self.default(tx, ctx.project_id)
            found = tx.first(VolumeType, id=id)
            if found is None or not sees(ctx, found):
                raise self.missing(id)
            return found

        return await self._db.read(look)

    async def delete(self, ctx: Context, id: str) -> None:
        """Forget the type. Raises NotFound, BadRequest while volumes have it or it is the default."""

        def erase(tx: Tx, row: VolumeType) -> VolumeType:
            if row.name == self.default_name or tx.first(DefaultType, type_id=id) is not None:
                raise BadRequest(f"Volume type {id} is the default volume type and can not be deleted.")
            if tx.count(Volume, type_id=id):
                raise BadRequest(f"Volume Type {id} deletion is not allowed with volumes present with the type.")
            tx.delete(row)
            return row

        await self._change(ctx, id, erase)

    # -- access

    async def allow(self, ctx: Context, id: str, project_id: str) -> None:
        """The project sees the type. Raises NotFound, Conflict for a public type and when it does already."""

        def change(tx: Tx, row: VolumeType) -> VolumeType:
            if row.is_public:
                raise Conflict("Type access modification is not applicable to public volume type.")
            if project_id in row.access:
                raise Conflict(f"Volume type access for {id} / {project_id} combination already exists.")
            return tx.change(row, access=(*row.access, project_id))

        await self._change(ctx, id, change)

    async def disallow(self, ctx: Context, id: str, project_id: str) -> None:
        """The project no longer sees the type. Raises NotFound, Conflict for a public type."""

        def change(tx: Tx, row: VolumeType) -> VolumeType:
            if row.is_public:
                raise Conflict("Type access modification is not applicable to public volume type.")
            if project_id not in row.access:
                raise NotFound(f"Volume type access not found for {id} / {project_id} combination.")
            return tx.change(row, access=tuple(one for one in row.access if one != project_id))

        await self._change(ctx, id, change)

    # -- encryption

    async def encrypt(self, ctx: Context, id: str, values: Mapping[str, Any], *, fresh: bool) -> EncryptionType:
        """New volumes of the type are encrypted like this; `fresh`: it has not said so before.

        Raises NotFound, BadRequest when that differs or volumes have the type.
        """

        def change(tx: Tx, row: VolumeType) -> VolumeType:
            if tx.count(Volume, type_id=id):
                raise BadRequest("Cannot create encryption specs. Volume type in use.")
            had = row.encryption
            if fresh and had is not None:
                raise BadRequest(f"Volume type encryption for type {id} already exists.")
            if not fresh and had is None:
                raise NotFound(f"Volume type encryption for type {id} does not exist.")
            if had is None:
                made = EncryptionType(id=self._clock.new_id(), created_at=tx.now, **values)
            else:
                made = msgspec.structs.replace(had, updated_at=tx.now, **values)
            return tx.change(row, encryption=made)

        row = await self._change(ctx, id, change)
        assert row.encryption is not None
        return row.encryption

    async def stop_encrypting(self, ctx: Context, id: str) -> None:
        """New volumes of the type are not encrypted. Raises NotFound, BadRequest when volumes have the type."""

        def change(tx: Tx, row: VolumeType) -> VolumeType:
            if row.encryption is None:
                raise NotFound(f"Volume type encryption for type {id} does not exist.")
            if tx.count(Volume, type_id=id):
                raise BadRequest("Cannot delete encryption specs. Volume type in use.")
            return tx.change(row, encryption=None)

        await self._change(ctx, id, change)

    # -- defaults of projects

    async def defaults(self, ctx: Context) -> list[DefaultType]:
        """All projects' default types."""
        return await self._db.read(lambda tx: tx.find(DefaultType))

    async def default_of(self, ctx: Context, project_id: str) -> DefaultType:
        """A project's own default type. Raises NotFound."""

        def look(tx: Tx) -> DefaultType:
            found = tx.first(DefaultType, project_id=project_id)
            if found is None:
                raise NotFound(f"Default type for project {project_id} could not be found.")
            return found

        return await self._db.read(look)

    async def set_default(self, ctx: Context, project_id: str, ref: str) -> DefaultType:
        """Volumes of the project have this type when they name none. Raises NotFound."""

        def record(tx: Tx) -> DefaultType:
            found = self.visible(tx, ctx, ref)
            had = tx.first(DefaultType, project_id=project_id)
            if had is not None:
                return tx.change(had, type_id=found.id)
            return tx.insert(DefaultType(project_id=project_id, type_id=found.id))

        return await self._db.write(record, ctx, why="set by an administrator")

    async def unset_default(self, ctx: Context, project_id: str) -> None:
        """The project has no default type of its own. Raises NotFound when it had none."""

        def erase(tx: Tx) -> None:
            found = tx.first(DefaultType, project_id=project_id)
            if found is None:
                raise NotFound(f"Default type for project {project_id} could not be found.")
            tx.delete(found)

        await self._db.write(erase, ctx, why="unset by an administrator")


def is_multiattach(row: VolumeType | None) -> bool:
    """Whether volumes of the type may be attached more than once."""
    return row is not None and row.extra_specs.get("multiattach") == RESERVED_FOR_MULTIATTACH
