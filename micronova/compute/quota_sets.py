"""The limits of projects as the compute API tells and sets them; quota.py enforces them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from micronova.clock import Clock
from micronova.compute import db, quota
from micronova.compute.db import QuotaLimit, ServerGroup
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest
from micronova.microversion import Version
from micronova.options import QuotaOptions

ProjectExists = Callable[[Context, str], Awaitable[bool]]

FIXED: Mapping[str, int] = {
    "fixed_ips": -1,
    "floating_ips": -1,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "server_group_members": -1,
}
"""Limits that the API must tell though this cloud counts nothing against them, until somebody sets them."""

_OF_NETWORKS = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
_OF_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
_ALWAYS = (
    "instances",
    "cores",
    "ram",
    "metadata_items",
    "key_pairs",
    "server_groups",
    "server_group_members",
)
RESOURCES = (*_ALWAYS, *_OF_NETWORKS, *_OF_FILES)


def resources_at(version: Version, *, classes: bool = False) -> tuple[str, ...]:
    """The resources that a microversion knows; sets of a class lost the networks' later and got the groups' later."""
    names: tuple[str, ...] = _ALWAYS
    if classes and version < (2, 50):
        names = tuple(name for name in names if not name.startswith("server_group"))
    if version < ((2, 50) if classes else (2, 36)):
        names += _OF_NETWORKS
    return names + _OF_FILES if version < (2, 57) else names


class Share(msgspec.Struct, frozen=True):
    """A limit and what is used of it."""

    limit: int
    in_use: int


class QuotaSets:
    """The limits of projects, and what is used of them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        options: QuotaOptions,
        project_exists: ProjectExists | None = None,
    ) -> None:
        self._db = database
        self._clock = clock
        self._options = options
        self._project_exists = project_exists

    async def defaults(self, ctx: Context) -> dict[str, int]:
        """The limits of a project that has none of its own."""
        return await self._db.read(partial(self._limits, project_id="", user_id=""))

    async def shares(self, ctx: Context, project_id: str, user_id: str = "") -> dict[str, Share]:
        """The limits of a project, or of a user in it, and what the project uses."""
        await self.check_project(ctx, project_id)
        return await self._db.read(partial(self._shares, project_id=project_id, user_id=user_id))

    def _shares(self, tx: Tx, project_id: str, user_id: str) -> dict[str, Share]:
        limits, used = self._limits(tx, project_id, user_id), _used(tx, project_id)
        return {name: Share(limits[name], used.get(name, 0)) for name in RESOURCES}

    def _limits(self, tx: Tx, project_id: str, user_id: str) -> dict[str, int]:
        limits = {name: _configured(self._options, name) for name in RESOURCES}
        rows = tx.find(QuotaLimit, project_id=["", project_id], user_id=["", user_id])
        for row in sorted(rows, key=lambda row: (row.project_id, row.user_id)):
            limits[row.resource] = row.limit
        return limits

    async def update(
        self, ctx: Context, project_id: str, limits: Mapping[str, int], *, user_id: str = "", force: bool = False
    ) -> dict[str, Share]:
        """The project has these limits beside those it had; project "" sets the default of all.

        Raises BadRequest for one below what is used, unless forced.
        """
        if project_id:
            await self.check_project(ctx, project_id)

        def write(tx: Tx) -> dict[str, Share]:
            if not force and project_id:
                _check_used(limits, _used(tx, project_id))
            if user_id:
                self._check_user(tx, project_id, limits)
            for resource, limit in limits.items():
                self._set(tx, QuotaLimit(id="", project_id=project_id, user_id=user_id, resource=resource, limit=limit))
            return self._shares(tx, project_id, user_id)

        return await self._db.write(write, ctx, why="set by an administrator")

    def _check_user(self, tx: Tx, project_id: str, limits: Mapping[str, int]) -> None:
        """A user's limit is never above the project's."""
        whole = self._limits(tx, project_id, "")
        for name, limit in limits.items():
            if whole[name] != quota.UNLIMITED and (limit > whole[name] or limit == quota.UNLIMITED):
                raise BadRequest(f"Quota limit {limit} for {name} must be less than or equal to {whole[name]}.")

    def _set(self, tx: Tx, wanted: QuotaLimit) -> None:
        had = tx.first(QuotaLimit, project_id=wanted.project_id, user_id=wanted.user_id, resource=wanted.resource)
        if had is None:
            tx.insert(msgspec.structs.replace(wanted, id=self._clock.new_id()))
        else:
            tx.change(had, limit=wanted.limit)

    async def reset(self, ctx: Context, project_id: str, user_id: str = "") -> None:
        """The project (or the user in it) has the default limits again. Repeating changes nothing."""
        await self.check_project(ctx, project_id)

        def remove(tx: Tx) -> None:
            only = {"user_id": user_id} if user_id else {}
            for row in tx.find(QuotaLimit, project_id=project_id, **only):  # type: ignore[arg-type]
                tx.delete(row)

        await self._db.write(remove, ctx, why="reset by an administrator")

    async def check_project(self, ctx: Context, project_id: str) -> None:
        """Return when the project exists; the caller's own does. Raises BadRequest."""
        if project_id == ctx.project_id or self._project_exists is None:
            return
        if not await self._project_exists(ctx, project_id):
            raise BadRequest(f"Project ID {project_id} is not a valid project.")


def _configured(options: QuotaOptions, name: str) -> int:
    return FIXED[name] if name in FIXED else int(getattr(options, name))


def _used(tx: Tx, project_id: str) -> dict[str, int]:
    used = db.usage(tx, project_id)
    return {
        "instances": used.instances,
        "cores": used.cores,
        "ram": used.ram,
        "server_groups": tx.count(ServerGroup, project_id=project_id),
    }


def _check_used(limits: Mapping[str, int], used: Mapping[str, int]) -> None:
    for name, limit in limits.items():
        if 0 <= limit < used.get(name, 0):
            raise BadRequest(
                f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved "
                f"{used[name]}."
            )
