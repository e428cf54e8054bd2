"""What users do, at random: reasonable things, impossible things, and several things at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from micronova.compute import states
from micronova.compute.create import NewServer
from micronova.compute.db import DiskPlan, Flavor, Server
from micronova.compute.manager import ComputeManager
from micronova.compute.rebuild import Rebuild
from micronova.compute.volumes import NewDisk
from micronova.context import Context
from micronova.db import Tx
from micronova.image.changes import NewImage
from micronova.image.db import Image
from micronova.network.contract import NicRequest
from micronova.network.db import Network, Port, SecurityGroup
from micronova.network.router_interfaces import Asked
from micronova.sim.asking import ADMIN, Habit, create, member
from micronova.sim.faults import Dice
from micronova.sim.network_users import OUTSIDE, NetworkUsers
from micronova.sim.volume_users import TYPES, VolumeUsers
from micronova.sim.world import PROJECTS, Process, World
from micronova.volume.db import Volume
from micronova.volume.volumes import NewVolume

FLAVORS = (
    ("tiny", 1, 128, 1),
    ("small", 2, 512, 4),
    ("wide", 4, 1024, 8),
    ("large", 4, 3000, 20),
    ("absurd", 2, 5000, 10),
    ("endless", 1, 256, 900),
)
"""(name, vCPUs, MiB, GiB); no host can take the last two."""
MOVING = 4.0
"""Seconds in which what users begin with is made."""


class Users(NetworkUsers, VolumeUsers):
    """Everybody who uses the cloud."""

    def __init__(self, world: World, dice: Dice) -> None:
        super().__init__(world, dice)
        self._image_id = ""
        self._fond = dice.happens(0.33)
        """Whether these users care for volumes more than for anything else, and do more at once."""
        fondness = 4 if self._fond else 1
        self._habits: list[Habit] = [
            (22, self._create_servers),
            (12, self._delete_server),
            (20, self._switch_server),
            (4, self._rebuild_server),
            (3, self._edit_server),
            (3, self._group_server),
            *self.network_habits(),
            *((often * fondness, habit) for often, habit in self.volume_habits()),
            (3, self._create_image),
            (1, self._delete_image),
        ]

    async def open(self) -> None:
        """Flavors, an image, a way out for everybody, and for each project a network and a router are there."""

        def stock(tx: Tx) -> None:
            for number, (name, vcpus, ram_mib, disk_gib) in enumerate(FLAVORS, 1):
                id = f"flavor-{number}"
                flavor = Flavor(
                    id=id, flavorid=name, name=name, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib, created_at=tx.now
                )
                tx.insert(flavor)
            self.stock_types(tx)

        await self._world.db.write(stock, self._world.ctx, why="flavors to begin with")
        self.outside = await self._finish("the way out", _outside)
        for project_id in PROJECTS:
            first = partial(_first_network, ctx=member(project_id), outside=self.outside)
            await self._finish(f"{project_id} opens its network", first)
        image = await self._finish("the first image", _first_image)
        self._image_id = image.id

    async def move_in(self) -> None:
        """Users who are fond of volumes have servers that boot from one and have another."""
        if not self._fond:
            return
        pairs: list[tuple[Context, Server, Volume]] = []
        for project_id in PROJECTS:
            ctx = member(project_id)
            root = DiskPlan(
                source="image", source_id=self._image_id, size_gib=1, boot_index=0, delete_on_termination=True
            )
            asked = NewServer(name=self._name("server"), flavor_ref="tiny", disks=(root,), shared_disks=True)
            servers = await self._finish("moving in", partial(_make_server, ctx=ctx, asked=asked))
            new = NewVolume(name=self._name("volume"), size_gib=1, type_ref=self._dice.one(sorted(TYPES)))
            volume = await self._finish("moving in", partial(_make_volume, ctx=ctx, new=new))
            pairs.append((ctx, servers[0], volume))
        await asyncio.sleep(MOVING)
        for ctx, server, volume in pairs:
            self._ask(ctx, "moves in", partial(_attach, ctx=ctx, server=server, volume=volume))
        await asyncio.sleep(MOVING)

    async def act(self) -> None:
        """Some user does something; sometimes others do something at the same time."""
        most = 4 if self._fond else 2
        for _ in range(self._dice.number(2, most) if self._dice.happens(0.1 * most) else 1):
            habit = self._dice.weighed(self._habits)
            await habit(member(self._dice.one(PROJECTS)))

    # -- servers

    async def _create_servers(self, ctx: Context) -> None:
        dice = self._dice
        flavor = dice.weighed(((10, "tiny"), (8, "small"), (4, "wide"), (3, "large"), (1, "absurd"), (1, "endless")))
        image = await self._pick(ctx, Image) if dice.happens(0.25) else None
        nics = await self._nics(ctx)
        image_id = image.id if image else self._image_id
        disks = await self.boot_disks(ctx, image_id) if dice.happens(0.3) else ()
        asked = NewServer(
            name=self._name("server"),
            flavor_ref=flavor,
            image_ref="" if disks else image_id,
            disks=disks,
            shared_disks=True,
            nics=nics,
            most=dice.number(2, 4) if dice.happens(0.2) else 1,
            user_data="aGVsbG8=" if dice.happens(0.3) else None,
            config_drive=dice.happens(0.2),
        )
        self._ask(ctx, f"creates {asked.most} of {flavor}: {asked.name}", lambda api: api.compute.create(ctx, asked))

    async def _nics(self, ctx: Context) -> tuple[NicRequest, ...] | None:
        dice = self._dice
        match dice.weighed(((6, "auto"), (3, "network"), (4, "port"), (1, "none"), (2, "address"), (1, "two"))):
            case "auto":
                return None
            case "none":
                return ()
            case "port":
                port = await self._pick(ctx, Port)
                return (NicRequest(port_id=port.id),) if port else None
        network = await self._pick(ctx, Network)
        if network is None:
            return None
        if dice.happens(0.2):
            return (NicRequest(network_id=network.id, fixed_ip=f"10.1.0.{dice.number(2, 12)}"),)
        return (NicRequest(network_id=network.id),) * dice.number(1, 2)

    async def _delete_server(self, ctx: Context) -> None:
        server = await self._pick(ctx, Server)
        if server is not None:
            self._ask(ctx, f"deletes {server.name}", lambda api: api.compute.delete(ctx, server.id))

    async def _switch_server(self, ctx: Context) -> None:
        server = await self._pick(ctx, Server)
        if server is None:
            return
        acts: dict[str, Callable[[ComputeManager], Any]] = {
            "stops": lambda compute: compute.stop(ctx, server.id),
            "starts": lambda compute: compute.start(ctx, server.id),
            "reboots": lambda compute: compute.reboot(ctx, server.id, hard=False),
            "resets": lambda compute: compute.reboot(ctx, server.id, hard=True),
            "looks at": lambda compute: compute.console(ctx, server.id),
        }
        sensible = "starts" if server.vm_state == states.STOPPED else self._dice.one(("stops", "stops", "reboots"))
        word = sensible if self._dice.happens(0.6) else self._dice.one(list(acts))
        act = acts[word]
        self._ask(ctx, f"{word} {server.name}", lambda api: act(api.compute))

    async def _rebuild_server(self, ctx: Context) -> None:
        server = await self._pick(ctx, Server)
        if server is not None:
            asked = Rebuild(image_ref=self._image_id)
            self._ask(ctx, f"rebuilds {server.name}", lambda api: api.compute.rebuild(ctx, server.id, asked))

    async def _edit_server(self, ctx: Context) -> None:
        server = await self._pick(ctx, Server)
        if server is None:
            return
        words = {f"k{self._dice.number(1, 3)}": str(self._dice.number(1, 9))}
        self._ask(
            ctx,
            f"describes {server.name}",
            lambda api: api.compute.set_metadata(ctx, server.id, words, replace=False, rule="update"),
        )

    async def _group_server(self, ctx: Context) -> None:
        server, group = await self._pick(ctx, Server), await self._pick(ctx, SecurityGroup)
        if server is None or group is None:
            return
        if self._dice.happens(0.6):
            self._ask(
                ctx,
                f"puts {server.name} into {group.name}",
                lambda api: api.compute.add_security_group(ctx, server.id, group.name),
            )
            return
        self._ask(
            ctx,
            f"takes {server.name} out of {group.name}",
            lambda api: api.compute.remove_security_group(ctx, server.id, group.name),
        )

    # -- images

    async def _create_image(self, ctx: Context) -> None:
        name = self._name("image")
        self._ask(ctx, f"uploads {name}", lambda api: upload(api, ctx, name, "private"))

    async def _delete_image(self, ctx: Context) -> None:
        image = await self._pick(ctx, Image)
        if image is not None:
            self._ask(ctx, f"deletes {image.name}", lambda api: api.image.delete(ctx, image.id))


async def _make_server(api: Process, *, ctx: Context, asked: NewServer) -> list[Server]:
    return await api.compute.create(ctx, asked)


async def _make_volume(api: Process, *, ctx: Context, new: NewVolume) -> Volume:
    return (await api.volume.create(ctx, new)).row


async def _attach(api: Process, *, ctx: Context, server: Server, volume: Volume) -> None:
    await api.compute.attach_volume(ctx, server.id, NewDisk(volume_id=volume.id, shared=True))


async def _outside(api: Process) -> str:
    network = await create(api.network.networks, ADMIN, {"name": "outside", "router:external": True})
    body = {"network_id": network.id, "cidr": OUTSIDE, "ip_version": 4, "enable_dhcp": False}
    await create(api.network.subnets, ADMIN, body)
    return str(network.id)


async def _first_network(api: Process, *, ctx: Context, outside: str) -> None:
    kind = dict(zip(PROJECTS, ("vxlan", "vlan"), strict=True))[ctx.project_id]
    asked = {"name": f"net-{ctx.project_id}", "tenant_id": ctx.project_id, "provider:network_type": kind}
    network = await create(api.network.networks, ADMIN, asked)
    body = {"network_id": network.id, "cidr": "10.1.0.0/27", "ip_version": 4}
    subnet = await create(api.network.subnets, ctx, body)
    body = {"name": f"router-{ctx.project_id}", "external_gateway_info": {"network_id": outside}}
    router = await create(api.network.routers, ctx, body)
    await api.network.add_router_interface(ctx, router.id, Asked(subnet_id=subnet.id))


async def _first_image(api: Process) -> Image:
    return await upload(api, ADMIN, "image0", "public")


async def upload(api: Process, ctx: Context, name: str, visibility: str) -> Image:
    """A new image with bytes."""
    values = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": visibility}
    image = await api.image.create(ctx, NewImage(values=values))
    return await api.image.upload(ctx, image.id, _stream(name))


async def _stream(name: str) -> AsyncIterator[bytes]:
    yield f"bytes of {name} ".encode() * 64
