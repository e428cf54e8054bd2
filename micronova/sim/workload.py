"""What users do, at random: reasonable things, impossible things, and several things at once.

Refusals are answers like any other. What a user picks is drawn from the rows there are, in a fixed order.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from micronova.compute import states
from micronova.compute.create import NewServer
from micronova.compute.db import Flavor, Server
from micronova.compute.manager import ComputeManager
from micronova.compute.rebuild import Rebuild
from micronova.context import Context
from micronova.db import Tx
from micronova.image.changes import NewImage
from micronova.image.db import Image
from micronova.network.attributes import for_create, for_update
from micronova.network.contract import NicRequest
from micronova.network.db import Network, Port, Rule, SecurityGroup, Standard, Subnet
from micronova.sim.faults import Dice
from micronova.sim.world import Process, World

FLAVORS = (
    ("tiny", 1, 128, 1),
    ("small", 2, 512, 4),
    ("wide", 4, 1024, 8),
    ("large", 4, 3000, 20),
    ("absurd", 2, 5000, 10),
    ("endless", 1, 256, 900),
)
"""(name, vCPUs, MiB, GiB); no host can take the last two."""
PROJECTS = ("p1", "p2")
IMAGE_BYTES = b"bytes of an image " * 64


def member(project_id: str) -> Context:
    """A plain user of a project."""
    return Context(
        request_id=f"req-{project_id}", user_id=f"user-{project_id}", project_id=project_id, roles=("member", "reader")
    )


ADMIN = Context(
    request_id="req-admin",
    user_id="admin",
    project_id="admin",
    is_admin=True,
    roles=("admin", "manager", "member", "reader"),
)


class Users:
    """Everybody who uses the cloud."""

    def __init__(self, world: World, dice: Dice) -> None:
        self._world = world
        self._dice = dice
        self._image_id = ""
        self._count = 0
        self._habits: list[tuple[int, Callable[[Context], Awaitable[None]]]] = [
            (22, self._create_servers),
            (12, self._delete_server),
            (20, self._switch_server),
            (4, self._rebuild_server),
            (3, self._edit_server),
            (3, self._group_server),
            (4, self._create_network),
            (2, self._change_network),
            (2, self._delete_network),
            (4, self._create_subnet),
            (2, self._change_subnet),
            (2, self._delete_subnet),
            (5, self._create_port),
            (4, self._change_port),
            (4, self._delete_port),
            (3, self._create_group),
            (6, self._create_rule),
            (3, self._delete_rule),
            (1, self._delete_group),
            (3, self._create_image),
            (1, self._delete_image),
        ]

    async def open(self) -> None:
        """Flavors, an image everybody may use, and a network for each project are there."""

        def stock(tx: Tx) -> None:
            for number, (name, vcpus, ram_mib, disk_gib) in enumerate(FLAVORS, 1):
                id = f"flavor-{number}"
                flavor = Flavor(
                    id=id, flavorid=name, name=name, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib, created_at=tx.now
                )
                tx.insert(flavor)

        await self._world.db.write(stock, self._world.ctx, why="flavors to begin with")
        for project_id in PROJECTS:
            ctx = member(project_id)
            await self._finish(f"{project_id} opens its network", lambda api, ctx=ctx: _first_network(api, ctx))  # type: ignore[misc]
        image = await self._finish("the first image", _first_image)
        self._image_id = image.id

    async def act(self) -> None:
        """Some user does something; sometimes a second does something at the same time."""
        for _ in range(2 if self._dice.happens(0.2) else 1):
            habit = self._dice.weighed(self._habits)
            await habit(member(self._dice.one(PROJECTS)))

    async def _finish(self, what: str, ask: Callable[[Process], Any]) -> Any:
        task = self._world.request(what, ask)
        assert task is not None, "the API serves"
        return await task

    def _ask(self, ctx: Context, what: str, ask: Callable[[Process], Any]) -> None:
        self._world.request(f"{ctx.project_id} {what}", ask)

    async def _pick(self, ctx: Context, cls: type[Any]) -> Any:
        """One of the rows of a project, or None; at times another project's."""
        if self._dice.happens(0.04):
            ctx = member(self._dice.one(PROJECTS))
        where: dict[str, Any] = {"owner" if cls is Image else "project_id": ctx.project_id}
        order = (("created_at", True), ("id", True))
        rows = await self._world.read(lambda tx: tx.find(cls, order=order, **where))
        return self._dice.one(rows) if rows else None

    def _name(self, noun: str) -> str:
        self._count += 1
        return f"{noun}{self._count}"

    # -- servers

    async def _create_servers(self, ctx: Context) -> None:
        dice = self._dice
        flavor = dice.weighed(((10, "tiny"), (8, "small"), (4, "wide"), (3, "large"), (1, "absurd"), (1, "endless")))
        image = await self._pick(ctx, Image) if dice.happens(0.25) else None
        nics = await self._nics(ctx)
        asked = NewServer(
            name=self._name("server"),
            flavor_ref=flavor,
            image_ref=image.id if image else self._image_id,
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

    # -- networks

    async def _create_network(self, ctx: Context) -> None:
        body = {"name": self._name("network")}
        self._ask(ctx, f"creates {body['name']}", lambda api: _create(api.network.networks, ctx, body))

    async def _change_network(self, ctx: Context) -> None:
        body = {"mtu": self._dice.number(1280, 1500), "admin_state_up": self._dice.happens(0.8)}
        await self._change(ctx, Network, body, lambda api: api.network.networks)

    async def _delete_network(self, ctx: Context) -> None:
        await self._delete(ctx, Network, lambda api: api.network.networks)

    async def _create_subnet(self, ctx: Context) -> None:
        network = await self._pick(ctx, Network)
        if network is None:
            return
        cidrs = ("10.1.0.0/28", "10.2.0.0/29", "10.3.0.0/24", "fd00:1::/64")
        body: dict[str, Any] = {"network_id": network.id, "name": self._name("subnet"), "cidr": self._dice.one(cidrs)}
        body["ip_version"] = 6 if ":" in body["cidr"] else 4
        if body["ip_version"] == 6 and self._dice.happens(0.7):
            body.update(ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        self._ask(ctx, f"creates {body['name']} {body['cidr']}", lambda api: _create(api.network.subnets, ctx, body))

    async def _change_subnet(self, ctx: Context) -> None:
        body: dict[str, Any] = {"dns_nameservers": [f"9.9.9.{self._dice.number(1, 9)}"]}
        if self._dice.happens(0.3):
            body = {"gateway_ip": None}
        await self._change(ctx, Subnet, body, lambda api: api.network.subnets)

    async def _delete_subnet(self, ctx: Context) -> None:
        await self._delete(ctx, Subnet, lambda api: api.network.subnets)

    async def _create_port(self, ctx: Context) -> None:
        network = await self._pick(ctx, Network)
        if network is None:
            return
        body: dict[str, Any] = {"network_id": network.id, "name": self._name("port")}
        if self._dice.happens(0.3):
            body["fixed_ips"] = [{"ip_address": f"10.1.0.{self._dice.number(2, 14)}"}]
        if self._dice.happens(0.2):
            body["mac_address"] = f"fa:16:3e:00:00:0{self._dice.number(1, 3)}"
        self._ask(ctx, f"creates {body['name']}", lambda api: _create(api.network.ports, ctx, body))

    async def _change_port(self, ctx: Context) -> None:
        body: dict[str, Any] = {"name": self._name("port")}
        match self._dice.number(1, 4):
            case 1:
                body = {"admin_state_up": self._dice.happens(0.5)}
            case 2:
                body = {"fixed_ips": [{"ip_address": f"10.1.0.{self._dice.number(2, 14)}"}]}
            case 3:
                group = await self._pick(ctx, SecurityGroup)
                body = {"security_groups": [group.id] if group else []}
        await self._change(ctx, Port, body, lambda api: api.network.ports)

    async def _delete_port(self, ctx: Context) -> None:
        await self._delete(ctx, Port, lambda api: api.network.ports)

    # -- security groups

    async def _create_group(self, ctx: Context) -> None:
        body = {"name": self._name("group")}
        self._ask(ctx, f"creates {body['name']}", lambda api: _create(api.network.security_groups, ctx, body))

    async def _create_rule(self, ctx: Context) -> None:
        group, other = await self._pick(ctx, SecurityGroup), await self._pick(ctx, SecurityGroup)
        if group is None:
            return
        port = self._dice.number(1, 4)
        body: dict[str, Any] = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
        body |= {"port_range_min": port, "port_range_max": port + self._dice.number(0, 2)}
        if other is not None and self._dice.happens(0.5):
            body["remote_group_id"] = other.id
        self._ask(
            ctx,
            f"opens {group.name} for {port}",
            lambda api: _create(api.network.security_group_rules, ctx, body),
        )

    async def _delete_rule(self, ctx: Context) -> None:
        await self._delete(ctx, Rule, lambda api: api.network.security_group_rules)

    async def _delete_group(self, ctx: Context) -> None:
        await self._delete(ctx, SecurityGroup, lambda api: api.network.security_groups)

    async def _change(
        self, ctx: Context, cls: type[Standard], body: dict[str, Any], where: Callable[[Process], Any]
    ) -> None:
        row = await self._pick(ctx, cls)
        if row is not None:
            what = f"changes {cls.__name__} {row.name or row.id}: {', '.join(body)}"
            self._ask(ctx, what, lambda api: _update(where(api), ctx, row.id, body))

    async def _delete(self, ctx: Context, cls: type[Standard], where: Callable[[Process], Any]) -> None:
        row = await self._pick(ctx, cls)
        if row is not None:
            what = f"deletes {cls.__name__} {row.name or row.id}"
            self._ask(ctx, what, lambda api: where(api).delete(ctx, row.id))

    # -- images

    async def _create_image(self, ctx: Context) -> None:
        name = self._name("image")
        self._ask(ctx, f"uploads {name}", lambda api: upload(api, ctx, name, "private"))

    async def _delete_image(self, ctx: Context) -> None:
        image = await self._pick(ctx, Image)
        if image is not None:
            self._ask(ctx, f"deletes {image.name}", lambda api: api.image.delete(ctx, image.id))


async def _create(collection: Any, ctx: Context, body: dict[str, Any]) -> Any:
    return (await collection.create(ctx, [for_create(collection.resource, body)])).rows[0]


async def _update(collection: Any, ctx: Context, id: str, body: dict[str, Any]) -> None:
    await collection.update(ctx, id, for_update(collection.resource, body))


async def _first_network(api: Process, ctx: Context) -> None:
    network = await _create(api.network.networks, ctx, {"name": f"net-{ctx.project_id}"})
    await _create(api.network.subnets, ctx, {"network_id": network.id, "cidr": "10.1.0.0/27", "ip_version": 4})


async def _first_image(api: Process) -> Image:
    return await upload(api, ADMIN, "image0", "public")


async def upload(api: Process, ctx: Context, name: str, visibility: str) -> Image:
    """A new image with bytes."""
    values = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": visibility}
    image = await api.image.create(ctx, NewImage(values=values))
    return await api.image.upload(ctx, image.id, _stream())


async def _stream() -> AsyncIterator[bytes]:
    yield IMAGE_BYTES
