"""Sizes of servers: which there are, who may use and who may change them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from micronova.clock import Clock
from micronova.compute.db import Flavor
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, Duplicate, NotFound

ProjectExists = Callable[[Context, str], Awaitable[bool]]

DEFAULTS: tuple[tuple[str, str, int, int, int], ...] = (
    ("1", "m1.tiny", 1, 128, 1),
    ("2", "m1.small", 1, 512, 5),
    ("3", "m1.medium", 2, 1024, 10),
    ("4", "m1.large", 4, 2048, 20),
    ("5", "m1.xlarge", 8, 4096, 40),
)
"""(id, name, vCPUs, memory in MiB, disk in GiB) of what a new cloud offers: small, for guests on a laptop."""

SORT_KEYS: Mapping[str, str] = {
    "created_at": "created_at",
    "description": "description",
    "disabled": "disabled",
    "ephemeral_gb": "ephemeral_gib",
    "flavorid": "flavorid",
    "id": "id",
    "is_public": "is_public",
    "memory_mb": "ram_mib",
    "name": "name",
    "root_gb": "disk_gib",
    "rxtx_factor": "rxtx_factor",
    "swap": "swap_mib",
    "updated_at": "updated_at",
    "vcpu_weight": "id",
    "vcpus": "vcpus",
}
"""The API's names of what flavors can be sorted by, and ours."""


class CreateFlavor(msgspec.Struct, frozen=True, kw_only=True):
    """A flavor to be. An empty `flavorid` gets one made up."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    flavorid: str = ""
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    description: str | None = None


class FlavorFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which flavors to list: `is_public` None means all that the caller may see."""

    is_public: bool | None = True
    min_ram_mib: int = 0
    min_disk_gib: int = 0
    sort_key: str = "flavorid"
    ascending: bool = True


def may_see(ctx: Context, flavor: Flavor) -> bool:
    """Whether the caller may use the flavor."""
    return ctx.is_admin or flavor.is_public or ctx.project_id in flavor.access


def get_flavor(tx: Tx, ctx: Context, flavorid: str) -> Flavor:
    """The flavor by its public id. Raises NotFound when there is none, or none that the caller may see."""
    found = tx.first(Flavor, flavorid=flavorid)
    if found is None or not may_see(ctx, found):
        raise NotFound(f"Flavor {flavorid} could not be found.", id=flavorid)
    return found


class Flavors:
    """Flavors, from creation to removal. Servers keep a copy of theirs: a change never reaches them."""

    def __init__(self, db: Database, clock: Clock, project_exists: ProjectExists | None = None) -> None:
        self._db = db
        self._clock = clock
        self._project_exists = project_exists

    async def get(self, ctx: Context, flavorid: str) -> Flavor:
        """The flavor by its public id. Raises NotFound when the caller may not see it."""
        return await self._db.read(partial(get_flavor, ctx=ctx, flavorid=flavorid))

    async def list(self, ctx: Context, wanted: FlavorFilter) -> list[Flavor]:
        """The flavors that match and that the caller may see, sorted; equal ones by public id."""
        rows = await self._db.read(lambda tx: tx.find(Flavor))
        chosen = [row for row in rows if may_see(ctx, row) and _matches(ctx, row, wanted)]
        chosen.sort(key=lambda row: row.flavorid)
        chosen.sort(key=lambda row: _sortable(getattr(row, SORT_KEYS[wanted.sort_key])), reverse=not wanted.ascending)
        return chosen

    async def create(self, ctx: Context, request: CreateFlavor) -> Flavor:
        """The flavor exists. Raises Duplicate when name or id are taken."""

        def record(tx: Tx) -> Flavor:
            if tx.first(Flavor, name=request.name) is not None:
                raise Duplicate(f"Flavor with name {request.name} already exists.")
            if request.flavorid and tx.first(Flavor, flavorid=request.flavorid) is not None:
                raise Duplicate(f"Flavor with ID {request.flavorid} already exists.")
            id = self._clock.new_id()
            facts = {**msgspec.structs.asdict(request), "flavorid": request.flavorid or self._clock.new_id()}
            return tx.insert(Flavor(id=id, created_at=tx.now, **facts))

        return await self._db.write(record, ctx, why="created by request")

    async def describe(self, ctx: Context, flavorid: str, description: str | None) -> Flavor:
        """The flavor has this description. Raises NotFound."""
        return await self._change(ctx, flavorid, lambda row: {"description": description})

    async def delete(self, ctx: Context, flavorid: str) -> None:
        """The flavor is gone; servers that were made with it stay. Raises NotFound."""
        await self._db.write(lambda tx: tx.delete(get_flavor(tx, ctx, flavorid)), ctx, why="deleted by request")

    # -- extra specs

    async def set_specs(self, ctx: Context, flavorid: str, specs: Mapping[str, str]) -> Flavor:
        """The flavor has these extra specs beside those it had. Raises NotFound."""
        return await self._change(ctx, flavorid, lambda row: {"extra_specs": {**row.extra_specs, **specs}})

    async def unset_spec(self, ctx: Context, flavorid: str, key: str) -> None:
        """The flavor lacks the extra spec. Raises NotFound when it lacked it before."""

        def without(row: Flavor) -> dict[str, Any]:
            spec_of(row, key)
            return {"extra_specs": {name: value for name, value in row.extra_specs.items() if name != key}}

        await self._change(ctx, flavorid, without)

    # -- access

    async def access(self, ctx: Context, flavorid: str) -> Flavor:
        """The flavor whose list of projects was asked for. Raises NotFound for a public one, which has no list."""
        found = await self.get(ctx, flavorid)
        if found.is_public:
            raise NotFound("Access list not available for public flavors.")
        return found

    async def add_access(self, ctx: Context, flavorid: str, project_id: str) -> Flavor:
        """The project may use the flavor.

        Raises BadRequest when there is no such project, Conflict for a public flavor or access it has already.
        """
        await self._check_project(ctx, project_id)

        def added(row: Flavor) -> dict[str, Any]:
            if row.is_public:
                raise Conflict("Can not add access to a public flavor.")
            if project_id in row.access:
                raise Conflict(
                    f"Flavor access already exists for flavor {flavorid} and project {project_id} combination."
                )
            return {"access": (*row.access, project_id)}

        return await self._change(ctx, flavorid, added)

    async def remove_access(self, ctx: Context, flavorid: str, project_id: str) -> Flavor:
        """The project may not use the flavor. Raises NotFound when it could not before, Conflict for a public one."""
        await self._check_project(ctx, project_id)

        def removed(row: Flavor) -> dict[str, Any]:
            if row.is_public:
                raise Conflict("Can not remove access from a public flavor.")
            if project_id not in row.access:
                raise NotFound(f"Flavor access not found for {flavorid} / {project_id} combination.", id=flavorid)
            return {"access": tuple(other for other in row.access if other != project_id)}

        return await self._change(ctx, flavorid, removed)

    # -- inside

    async def _change(self, ctx: Context, flavorid: str, fields: Callable[[Flavor], dict[str, Any]]) -> Flavor:
        def write(tx: Tx) -> Flavor:
            row = get_flavor(tx, ctx, flavorid)
            changed = tx.change(row, **fields(row))
            return changed if changed is row else tx.change(changed, updated_at=tx.now)

        return await self._db.write(write, ctx, why="changed by request")

    async def _check_project(self, ctx: Context, project_id: str) -> None:
        if self._project_exists is not None and not await self._project_exists(ctx, project_id):
            raise BadRequest(f"Project ID {project_id} is not a valid project.")


def spec_of(flavor: Flavor, key: str) -> str:
    """The value of an extra spec. Raises NotFound when the flavor lacks it."""
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.flavorid} has no extra specs with key {key}.", key=key)
    return flavor.extra_specs[key]


async def ensure_default_flavors(db: Database, clock: Clock, ctx: Context) -> Sequence[Flavor]:
    """A cloud that has no flavor at all has the default ones; returns those made now. Safe to repeat."""

    def seed(tx: Tx) -> list[Flavor]:
        if tx.count(Flavor):
            return []
        return [
            tx.insert(
                Flavor(
                    id=clock.new_id(),
                    flavorid=flavorid,
                    name=name,
                    vcpus=vcpus,
                    ram_mib=ram_mib,
                    disk_gib=disk_gib,
                    created_at=tx.now,
                )
            )
            for flavorid, name, vcpus, ram_mib, disk_gib in DEFAULTS
        ]

    return await db.write(seed, ctx, why="a new cloud's flavors")


def _matches(ctx: Context, row: Flavor, wanted: FlavorFilter) -> bool:
    if row.ram_mib < wanted.min_ram_mib or row.disk_gib < wanted.min_disk_gib:
        return False
    if wanted.is_public is None:
        return True
    # What a project was given access to counts as public to it.
    return row.is_public == wanted.is_public or (wanted.is_public and ctx.project_id in row.access)


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0
