"""Making a server real on its host, step by step: its ports, its image's bytes, its guest with its volumes.

A build that fails gives up its ports, its volumes, its guest and its claim on the host: a server in error holds
nothing but its quota. It has no host then, so that deleting it needs none.
"""

import re
from collections.abc import Mapping
from typing import Any

from micronova.compute import db, states
from micronova.compute.config_drive import drive_files, needs_drive
from micronova.compute.db import BootFiles, Fault, Server, ServerInput
from micronova.compute.driver import Disk, GuestSpec, Nic
from micronova.compute.guest_disks import GuestDisks
from micronova.compute.metadata import SEED_BYTES
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error, NotFound
from micronova.manager import Step, task

BUILD_SECONDS = 600
"""Time limit of a build unless the configuration says another, which `create` then puts into the task."""
DEFAULT_CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off"
_PATH = re.compile(r"(?<![\w/])/(?:[\w.+-]+/)+[\w.+-]*")

_YES = ("1", "t", "true", "on", "y", "yes")
SPAWN = (
    Step("network", "allocate_nics", "free_nics"),
    Step("image", "fetch_image"),
    Step("spawn", "spawn", "unspawn"),
)


class Builds(GuestDisks):
    """The part of the compute manager that builds servers on this host."""

    @task(deadline=BUILD_SECONDS, resource="server", failed="settle_build", retries=1, steps=SPAWN)
    async def build(self, ctx: Context, id: str) -> None:
        """The server has its ports and its guest runs; its row says so."""

        def launched(tx: Tx) -> None:
            server = db.get_server(tx, id)
            if server.task_state == states.DELETING:
                return
            self.touch(
                tx,
                server,
                vm_state=states.ACTIVE,
                task_state=None,
                power_state=states.RUNNING,
                power_wanted=True,
                launched_at=tx.now,
                progress=100,
            )
            if self.volume is not None:
                self.disks.settle(tx, id)

        await self.db.write(launched, ctx, why="its guest runs")

    async def allocate_nics(self, ctx: Context, id: str) -> None:
        """Step: the server's ports exist and are bound to this host."""
        server, given = await self.read_server(id)
        await self.network.allocate_for_server(ctx, id, self.host, server.hostname, given.nics, given.security_groups)

    async def free_nics(self, ctx: Context, id: str) -> None:
        """Undo: no port is the server's."""
        await self.network.unplug_server(ctx, id)
        await self.network.deallocate_for_server(ctx, id)

    async def fetch_image(self, ctx: Context, id: str) -> None:
        """Step: the files the guest boots from are on this host."""
        server, given = await self.read_server(id)
        await self.boot_files(ctx, server, given)

    async def spawn(self, ctx: Context, id: str) -> None:
        """Step: the guest runs on plugged ports."""
        server, given = await self.read_server(id)
        files = await self.boot_files(ctx, server, given)

        def note(tx: Tx) -> None:
            now = db.get_server(tx, id)
            if now.task_state == states.SCHEDULING:
                tx.change(now, task_state=states.SPAWNING)
            tx.change(db.get_input(tx, id), files=files)

        await self.db.write(note, ctx, why="its guest is being made")
        running = server.vm_state != states.STOPPED
        building = server.vm_state == states.BUILDING
        spec = await self.guest_spec(ctx, server, given, files, building=building)
        await self.driver.ensure(spec, running=running)

    async def unspawn(self, ctx: Context, id: str) -> None:
        """Undo: this host has no guest of that name."""
        await self.driver.remove(id)
        await self.network.unplug_server(ctx, id)

    async def settle_build(self, ctx: Context, id: str, error: Error) -> None:
        """The build was given up: the server is in error and holds neither ports, volumes nor a host."""
        await self.network.deallocate_for_server(ctx, id)
        await self.give_back(ctx, id)

        def settle(tx: Tx) -> None:
            server = db.get_server(tx, id)
            if server.task_state == states.DELETING or server.vm_state != states.BUILDING:
                return
            self.scheduler.release(tx, id)
            fault = Fault(code=500, message=f"Build of instance {id} aborted: {sentence(error)}", created_at=tx.now)
            self.touch(tx, server, vm_state=states.ERROR, task_state=None, fault=fault, host="", zone="")

        await self.db.write(settle, ctx, why=f"its build was given up: {sentence(error)}")

    # -- what a guest is made of

    async def read_server(self, id: str) -> tuple[Server, ServerInput]:
        """A server and what it is made from. Raises NotFound."""
        return await self.db.read(lambda tx: (db.get_server(tx, id), db.get_input(tx, id)))

    async def boot_files(self, ctx: Context, server: Server, given: ServerInput) -> BootFiles:
        """The local files of the server's image; those of its last start when the image is gone since.

        Raises NotFound when there never were any, Rejected for an image that is not safe to open.
        """
        try:
            root = await self.image.local(ctx, server.image_id) if server.image_id else None
            kernel = await self.image.local(ctx, server.kernel_id) if server.kernel_id else None
            initrd = await self.image.local(ctx, server.ramdisk_id) if server.ramdisk_id else None
        except NotFound:
            if given.files is None:
                raise
            return given.files
        properties = root.properties if root is not None else await self.root_properties(ctx, server)
        return BootFiles(
            path=root.path if root is not None else "",
            format=root.format if root is not None else "",
            kernel=kernel.path if kernel else None,
            initrd=initrd.path if initrd else None,
            cmdline=str(properties.get("os_command_line") or DEFAULT_CMDLINE) if kernel else "",
            agent=says_yes(properties, "hw_qemu_guest_agent"),
            quiesce=says_yes(properties, "os_require_quiesce"),
        )

    async def guest_spec(
        self, ctx: Context, server: Server, given: ServerInput, files: BootFiles, *, building: bool = False
    ) -> GuestSpec:
        """What the driver needs; the server's ports are plugged, its volumes connected when this returns."""
        plugged = await self.network.plug_server(ctx, server.id)
        drive = await self.drive_of(ctx, server, given)
        return GuestSpec(
            id=server.id,
            name=server.hostname,
            vcpus=server.vcpus,
            ram_mib=server.ram_mib,
            nics=tuple(Nic(port_id=p.port_id, mac=p.mac, device=p.device, mtu=p.mtu) for p in plugged),
            disk=Disk(path=files.path, format=files.format, size_gib=server.flavor.disk_gib) if files.path else None,
            volumes=await self.guest_disks(ctx, server, building=building) if self.volume is not None else (),
            kernel=files.kernel,
            initrd=files.initrd,
            cmdline=files.cmdline,
            config_drive=drive,
            serial_number=server.id,
            agent=files.agent,
        )

    async def drive_of(self, ctx: Context, server: Server, given: ServerInput) -> dict[str, bytes] | None:
        """The files of the server's config drive, where it has one: also unasked where nothing else tells addresses."""
        nics = await self.network.guest_nics(ctx, server.id)
        if server.config_drive or needs_drive(nics):
            disks = await self.db.read(lambda tx: self.disks_of(tx, server.id))
            return drive_files(server, given, nics, disks=disks, seed=self.clock.secret(SEED_BYTES))
        return None


def says_yes(properties: Mapping[str, Any], name: str) -> bool:
    """Whether an image's property is one of the words for yes."""
    return str(properties.get(name, "")).strip().lower() in _YES


def sentence(error: Error) -> str:
    """An error for the server's owner: its sentence without names of files."""
    return _PATH.sub("(a file)", str(error)) or type(error).__name__
