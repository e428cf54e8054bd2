"""What changes a server without touching its guest: its name, lock, metadata, tags, and an administrator's word."""

from collections.abc import Mapping
from typing import Any

from micronova.compute import quota
from micronova.compute.base import ComputeBase
from micronova.compute.db import Server
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound

MAX_TAGS = 50


class Changes(ComputeBase):
    """The part of the compute manager that edits rows."""

    async def update(self, ctx: Context, id: str, fields: Mapping[str, Any]) -> Server:
        """The server has new values of `fields` (names of its row). Raises NotFound, Forbidden."""

        def apply(tx: Tx) -> Server:
            return self.touch(tx, self.owned(tx, ctx, id, "servers:update"), **fields)

        return await self.db.write(apply, ctx, why="updated by request")

    async def lock(self, ctx: Context, id: str, reason: str | None) -> None:
        """Nobody but an administrator changes the server until it is unlocked."""

        def apply(tx: Tx) -> None:
            server = self.owned(tx, ctx, id, "os-lock-server:lock")
            by = "owner" if server.project_id == ctx.project_id else "admin"
            self.touch(tx, server, locked_by=server.locked_by or by, locked_reason=reason)

        await self.db.write(apply, ctx, why="locked by request")

    async def unlock(self, ctx: Context, id: str) -> None:
        """The server may be changed again. Raises Forbidden when an administrator locked it."""

        def apply(tx: Tx) -> None:
            server = self.owned(tx, ctx, id, "os-lock-server:unlock")
            if server.locked_by == "admin":
                self.require(ctx, "os-lock-server:unlock:unlock_override")
            self.touch(tx, server, locked_by="", locked_reason=None)

        await self.db.write(apply, ctx, why="unlocked by request")

    async def reset_state(self, ctx: Context, id: str, state: str) -> None:
        """The row says what an administrator says: `state` is active or error."""

        def apply(tx: Tx) -> None:
            server = self.owned(tx, ctx, id, "os-admin-actions:reset_state")
            self.touch(tx, server, vm_state=state, task_state=None)

        await self.db.write(apply, ctx, why="state reset by request")

    # -- metadata

    async def set_metadata(
        self, ctx: Context, id: str, metadata: dict[str, str], *, replace: bool, rule: str
    ) -> dict[str, str]:
        """The server has `metadata`, instead of or besides what it had; returns all of it.

        Raises QuotaExceeded for too many, Conflict by its lock or state.
        """

        def apply(tx: Tx) -> dict[str, str]:
            server = self.changeable(tx, ctx, id, f"server-metadata:{rule}", "update metadata")
            new = metadata if replace else {**server.metadata, **metadata}
            quota.check_metadata(tx, self.config.options.quota, server.project_id, new)
            self.touch(tx, server, metadata=new)
            return new

        return await self.db.write(apply, ctx, why="metadata by request")

    async def delete_metadata(self, ctx: Context, id: str, key: str) -> None:
        """The server has no metadata of that key. Raises NotFound when it had none."""

        def apply(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "server-metadata:delete", "delete metadata")
            if key not in server.metadata:
                raise NotFound("Metadata item was not found")
            self.touch(tx, server, metadata={name: text for name, text in server.metadata.items() if name != key})

        await self.db.write(apply, ctx, why="metadata by request")

    # -- tags

    async def set_tags(self, ctx: Context, id: str, tags: tuple[str, ...]) -> tuple[str, ...]:
        """The server has exactly these tags; returns them in order."""

        def apply(tx: Tx) -> tuple[str, ...]:
            action = "update tags" if tags else "delete tags"
            rule = "os-server-tags:update_all" if tags else "os-server-tags:delete_all"
            server = self.changeable(tx, ctx, id, rule, action)
            return self.touch(tx, server, tags=tuple(sorted(set(tags)))).tags

        return await self.db.write(apply, ctx, why="tags by request")

    async def add_tag(self, ctx: Context, id: str, tag: str) -> bool:
        """The server has this tag too; returns whether it is new. Raises BadRequest for one too many."""

        def apply(tx: Tx) -> bool:
            server = self.changeable(tx, ctx, id, "os-server-tags:update", "update tag")
            if tag in server.tags:
                return False
            if len(server.tags) >= MAX_TAGS:
                raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
            self.touch(tx, server, tags=tuple(sorted((*server.tags, tag))))
            return True

        return await self.db.write(apply, ctx, why="tag by request")

    async def delete_tag(self, ctx: Context, id: str, tag: str) -> None:
        """The server has this tag no more. Raises NotFound when it did not have it."""

        def apply(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-server-tags:delete", "delete tag")
            if tag not in server.tags:
                raise NotFound(f"Server {id} has no tag '{tag}'")
            self.touch(tx, server, tags=tuple(other for other in server.tags if other != tag))

        await self.db.write(apply, ctx, why="tag by request")
