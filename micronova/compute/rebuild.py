"""A new guest for the same server: the old one's disk is gone, its id, name, ports and addresses stay."""

from typing import Any

import msgspec

from micronova.compute import db, quota, states
from micronova.compute.build import sentence
from micronova.compute.create import Creates, check_parts, check_sizes, root_of_image
from micronova.compute.db import Server
from micronova.compute.power import Powers
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Error, NotFound
from micronova.manager import Step, task


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be different afterwards. `fields` are new values of the server's row, UNSET leaves as it is."""

    image_ref: str
    fields: dict[str, Any] = {}
    key_name: str | msgspec.UnsetType | None = msgspec.UNSET
    user_data: str | msgspec.UnsetType | None = msgspec.UNSET


class Rebuilds(Creates, Powers):
    """The part of the compute manager that rebuilds servers."""

    async def rebuild(self, ctx: Context, id: str, asked: Rebuild) -> Server:
        """The server is being rebuilt on its host; returns its row.

        Raises NotFound, BadRequest for a wrong image or key, Conflict by its lock, state or host.
        """
        try:
            image = await self.image.get(ctx, asked.image_ref)
        except NotFound as err:
            raise BadRequest("Can not find requested image") from err
        if image.status != "active":
            raise BadRequest(f"Image {image.id} is not active.", id=image.id)

        def order(tx: Tx) -> Server:
            server = self.changeable(tx, ctx, id, "servers:rebuild", "rebuild")
            self.reachable(tx, server)
            root = root_of_image(image)
            check_parts(tx, ctx, root)
            fields = dict(asked.fields)
            if server.image_id:
                check_sizes(server.flavor, root, image)
                fields["image_id"] = image.id
                fields["kernel_id"] = str(image.properties.get("kernel_id", ""))
                fields["ramdisk_id"] = str(image.properties.get("ramdisk_id", ""))
            else:
                self._check_same_image(tx, ctx, server, image.id)
            given = db.get_input(tx, id)
            quota.check_metadata(tx, self.config.options.quota, server.project_id, fields.get("metadata", {}))
            if asked.user_data is not msgspec.UNSET:
                given = tx.change(given, user_data=asked.user_data)
            if asked.key_name is not msgspec.UNSET:
                key = self.key_of(tx, server.user_id, asked.key_name)
                fields["key_name"] = asked.key_name
                given = tx.change(given, public_key=key.public_key if key else "", key_type=key.type if key else "ssh")
            tx.change(given, files=None)
            self.on(server.host).rebuild_guest.record(tx, ctx, id)
            return self.touch(tx, server, task_state=states.REBUILDING, fault=None, progress=0, **fields)

        return await self.db.write(order, ctx, why="rebuild by request")

    def _check_same_image(self, tx: Tx, ctx: Context, server: Server, image_id: str) -> None:
        """A root volume keeps its data: only a new guest is made around it. Raises BadRequest for another image."""
        for disk in self.disks_of(tx, server.id):
            if disk.boot_index == 0:
                known = self.disks.look(tx, ctx.elevated(), disk.volume_id).image_metadata
                if known.get("image_id") == image_id:
                    return
        raise BadRequest("Unable to rebuild with a different image for a volume-backed server.")

    @task(
        deadline=600,
        resource="server",
        failed="settle_rebuild",
        steps=(Step("remove", "drop_guest"), Step("image", "fetch_image"), Step("spawn", "spawn")),
    )
    async def rebuild_guest(self, ctx: Context, id: str) -> None:
        """The server's guest is a new one and in the state the old one was in."""
        server, _ = await self.read_server(id)
        if server.vm_state == states.STOPPED:
            await self.powered(ctx, id, states.STOPPED, states.SHUTDOWN, "it was rebuilt")
            return
        await self.powered(ctx, id, states.ACTIVE, states.RUNNING, "it was rebuilt")

    async def drop_guest(self, ctx: Context, id: str) -> None:
        """Step: the old guest and its disk are gone."""
        await self.driver.remove(id)

    async def settle_rebuild(self, ctx: Context, id: str, error: Error) -> None:
        """The rebuild was given up: the server is in error; it may be rebuilt again."""
        await self.fail(ctx, id, f"Rebuild failed: {sentence(error)}", power_state=states.NO_STATE)
