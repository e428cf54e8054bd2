"""From a request for servers to their rows: what is refused, what is counted, where each goes. Builds nothing."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from micronova.compute import disks, quota, states
from micronova.compute.base import ComputeBase
from micronova.compute.boot_volumes import Gathers, Root, bus_for
from micronova.compute.db import DiskPlan, Fault, Flavor, FlavorFacts, KeyPair, Server, ServerInput
from micronova.compute.placing import both, places
from micronova.compute.policies import REQUESTED_DESTINATION
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound
from micronova.image import sight
from micronova.image.db import Image
from micronova.network.contract import NicRequest
from micronova.scheduler.db import Decision
from micronova.scheduler.driver import Request

GIB = 2**30


class NewServer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `nics` None: whichever network there is; (): none. `forced_host` "" lets us choose.

    `image_ref` is "" for a server that boots from the one of its `disks` that says so. `shared_disks`: whoever asks
    knows of volumes that several servers have.
    """

    name: str
    flavor_ref: str
    image_ref: str = ""
    disks: tuple[DiskPlan, ...] = ()
    shared_disks: bool = False
    nics: tuple[NicRequest, ...] | None = None
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    user_data: str | None = None
    metadata: dict[str, str] = {}
    config_drive: bool = False
    zone: str | None = None
    forced_host: str = ""
    wanted_host: str = ""
    disk_config: str = "MANUAL"
    access_ip_v4: str = ""
    access_ip_v6: str = ""
    description: str | None = None
    hostname: str | None = None
    tags: tuple[str, ...] = ()
    least: int = 1
    most: int = 1
    hints: dict[str, Any] = {}


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what other rooms said about it."""

    asked: NewServer
    nics: tuple[NicRequest, ...]
    image: Image | None
    images: Mapping[str, Image] = {}
    reservation_id: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What all servers of one request begin with."""

    flavor: Flavor
    key: KeyPair | None
    root: Root
    disks: tuple[DiskPlan, ...]


class Creates(Gathers, ComputeBase):
    """The part of the compute manager that takes orders for servers."""

    async def create(self, ctx: Context, asked: NewServer) -> list[Server]:
        """Record servers and have their hosts build them; returns their rows at once, in order.

        One that no host can take is there too, in error with the reason. Raises BadRequest, Forbidden,
        QuotaExceeded or Conflict, in Nova's words, when nothing was recorded.
        """
        image = await self._image_for(ctx, asked)
        try:
            nics = await self.network.check_requests(ctx, asked.nics, asked.security_groups)
        except NotFound as err:
            raise BadRequest(str(err), **err.facts) from err
        _refuse_shared(asked, nics)
        prepared = Prepared(
            asked=asked,
            nics=nics,
            image=image,
            images=await self.images_of(ctx, asked.disks),
            reservation_id="r-" + self.clock.new_id().replace("-", "")[:8],
        )
        return await self.db.write(partial(self._record, ctx=ctx, prepared=prepared), ctx, why="created by request")

    async def _image_for(self, ctx: Context, asked: NewServer) -> Image | None:
        if not asked.image_ref:
            if any(disk.boot_index == 0 for disk in asked.disks):
                return None
            raise BadRequest("Missing imageRef attribute")
        try:
            image = await self.image.get(ctx, asked.image_ref)
        except NotFound as err:
            raise BadRequest("Can not find requested image") from err
        if image.status != "active":
            raise BadRequest(f"Image {image.id} is not active.", id=image.id)
        return image

    # -- in the transaction

    def _record(self, tx: Tx, ctx: Context, prepared: Prepared) -> list[Server]:
        asked = prepared.asked
        origin = self._origin(tx, ctx, prepared)
        check_parts(tx, ctx, origin.root)
        self._check_place(tx, ctx, asked)
        flavor = origin.flavor
        check_sizes(flavor_facts(flavor), origin.root, prepared.image)
        if not flavor.disk_gib and not origin.root.volume:
            self.require(ctx, "servers:create:zero_disk_flavor")
        options = self.config.options.quota
        quota.check_metadata(tx, self.config.options.quota, ctx.project_id, asked.metadata)
        count = quota.admit(
            tx, options, ctx.project_id, (flavor.vcpus, flavor.ram_mib), (asked.least, max(asked.least, asked.most))
        )
        return [self._record_one(tx, ctx, prepared, origin, (index, count)) for index in range(count)]

    def _origin(self, tx: Tx, ctx: Context, prepared: Prepared) -> Origin:
        asked = prepared.asked
        if asked.disks:
            self.check_plans(tx, ctx, asked.disks, shared=asked.shared_disks)
        if prepared.image is not None:
            root = root_of_image(prepared.image)
        else:
            root = self.root_of(tx, ctx, asked.disks, prepared.images)
        return Origin(
            flavor=self._flavor(tx, ctx, asked.flavor_ref),
            key=self.key_of(tx, ctx.user_id, asked.key_name),
            root=root,
            disks=disks.named(asked.disks, own_root=not root.volume, bus=bus_for(root)),
        )

    def _check_place(self, tx: Tx, ctx: Context, asked: NewServer) -> None:
        """Raises Forbidden for who may not name a host, BadRequest for a zone or host that is not there."""
        if asked.forced_host:
            self.require(ctx, "servers:create:forced_host")
        if asked.wanted_host:
            self.policy.require(ctx, REQUESTED_DESTINATION)
        host = asked.forced_host or asked.wanted_host
        if not host and not asked.zone:
            return
        zones = {view.row.host: view.zone for view in self.scheduler.views(tx)}
        if host and host not in zones:
            raise BadRequest(f"Compute host {host} could not be found.", host=host)
        if not host and asked.zone not in zones.values():
            raise BadRequest("The requested availability zone is not available")

    def _flavor(self, tx: Tx, ctx: Context, ref: str) -> Flavor:
        flavor = tx.first(Flavor, flavorid=ref)
        hidden = flavor is not None and not flavor.is_public and ctx.project_id not in flavor.access
        if flavor is None or flavor.disabled or (hidden and not ctx.is_admin):
            raise BadRequest(f"Flavor {ref} could not be found.", id=ref)
        return flavor

    def key_of(self, tx: Tx, user_id: str, name: str | None) -> KeyPair | None:
        """The user's key pair, if one is named. Raises BadRequest when there is none of that name."""
        if name is None:
            return None
        key = tx.first(KeyPair, user_id=user_id, name=name)
        if key is None:
            raise BadRequest("Invalid key_name provided.")
        return key

    def _record_one(self, tx: Tx, ctx: Context, prepared: Prepared, origin: Origin, which: tuple[int, int]) -> Server:
        asked, key = prepared.asked, origin.key
        id = self.clock.new_id()
        decision = self._claim(tx, ctx, id, origin, asked)
        server = tx.insert(self._row(tx, ctx, prepared, origin, (id, *which), decision))
        tx.insert(
            ServerInput(
                id=id,
                user_data=asked.user_data,
                key_type=key.type if key else "ssh",
                public_key=key.public_key if key else "",
                nics=prepared.nics,
                security_groups=asked.security_groups,
                hints=asked.hints,
                disks=origin.disks,
                disk_bus=bus_for(origin.root),
            )
        )
        if server.host:
            self.reserve_disks(tx, ctx, id, origin.disks)
            self.begin(tx, ctx, server, origin.disks)
        return server

    def _claim(self, tx: Tx, ctx: Context, id: str, origin: Origin, asked: NewServer) -> Decision:
        flavor = origin.flavor
        named = asked.forced_host or asked.wanted_host
        only: tuple[str, ...] = (named,) if named else ()
        if origin.disks:
            only = both(only, self.hosts_for(tx, origin.disks))
        where = places(tx, ctx, asked.hints, id, only)
        request = Request(
            consumer_id=id,
            project_id=ctx.project_id,
            vcpus=flavor.vcpus,
            ram_mib=flavor.ram_mib,
            disk_gib=(0 if origin.root.volume else flavor.disk_gib) + flavor.ephemeral_gib,
            zone=None if asked.forced_host else asked.zone,
            only_hosts=where.only,
            not_hosts=where.never,
            near=where.near,
            far=where.far,
        )
        return self.scheduler.claim(tx, ctx, request)

    def _row(
        self, tx: Tx, ctx: Context, prepared: Prepared, origin: Origin, which: tuple[str, int, int], decision: Decision
    ) -> Server:
        asked, flavor, root, (id, index, count) = prepared.asked, origin.flavor, origin.root, which
        suffix = f"-{index + 1}" if count > 1 else ""
        name = asked.name + suffix
        placed = bool(decision.host)
        return Server(
            id=id,
            project_id=ctx.project_id,
            user_id=ctx.user_id,
            name=name,
            hostname=asked.hostname + suffix if asked.hostname else host_name(name, id),
            description=asked.description,
            host=decision.host,
            zone=self.zone_of(tx, decision.host) if placed else "",
            pinned_zone=asked.zone,
            vm_state=states.BUILDING if placed else states.ERROR,
            task_state=states.SCHEDULING if placed else None,
            image_id="" if root.volume else root.name,
            kernel_id=str(root.properties.get("kernel_id", "")),
            ramdisk_id=str(root.properties.get("ramdisk_id", "")),
            flavor_id=flavor.flavorid,
            flavor=flavor_facts(flavor),
            vcpus=flavor.vcpus,
            ram_mib=flavor.ram_mib,
            key_name=asked.key_name,
            metadata=asked.metadata,
            tags=tuple(sorted(set(asked.tags))),
            config_drive=asked.config_drive,
            access_ip_v4=asked.access_ip_v4,
            access_ip_v6=asked.access_ip_v6,
            disk_config=asked.disk_config,
            reservation_id=prepared.reservation_id,
            root_device=next((disk.device for disk in origin.disks if disk.boot_index == 0), disks.ROOT_DEVICE),
            launch_index=index,
            fault=None if placed else Fault(code=500, message=decision.message, created_at=tx.now),
            created_at=tx.now,
            updated_at=tx.now,
        )


def flavor_facts(flavor: Flavor) -> FlavorFacts:
    """A flavor as a server keeps it."""
    return FlavorFacts(
        id=flavor.flavorid,
        name=flavor.name,
        vcpus=flavor.vcpus,
        ram_mib=flavor.ram_mib,
        disk_gib=flavor.disk_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        swap_mib=flavor.swap_mib,
        extra_specs=flavor.extra_specs,
    )


def host_name(name: str, id: str) -> str:
    """A name for the guest's own use: letters, digits and dashes of the server's name, or one made of its id."""
    plain = re.sub(r"[^a-z0-9.-]", "", re.sub(r"[ _]", "-", name.lower()))
    plain = plain.replace(".", "-")[:63].strip("-")
    return plain or f"server-{id}"


def root_of_image(image: Image) -> Root:
    """What a server boots from whose root disk is made from an image."""
    return Root(name=image.id, properties=image.properties, min_ram=image.min_ram or 0)


def check_parts(tx: Tx, ctx: Context, root: Root) -> None:
    """The caller sees the kernel and initial disk that the image names: the build reads them with more rights.

    Raises BadRequest when not, or when one can't be used now.
    """
    for name in ("kernel_id", "ramdisk_id"):
        id = root.properties.get(name)
        if not id:
            continue
        try:
            part = sight.seen(tx, ctx, id)
        except NotFound as err:
            raise BadRequest(f"Image {root.name} has a {name} that could not be found: {id}") from err
        if part.status != "active":
            raise BadRequest(f"Image {part.id} is not active.", id=part.id)


def check_sizes(flavor: FlavorFacts, root: Root, image: Image | None) -> None:
    """Raises BadRequest when what is to be booted can't run on the flavor."""
    if flavor.ram_mib < root.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    if root.volume or image is None or not flavor.disk_gib:
        return
    have = flavor.disk_gib * GIB
    needed = max(image.min_disk * GIB, image.size or 0)
    if have < needed:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {have} bytes, image needs {needed} bytes."
        )


def _refuse_shared(asked: NewServer, nics: tuple[NicRequest, ...]) -> None:
    """One port, address or volume can't be given to several servers."""
    if asked.most <= 1:
        return
    if any(disk.source == "volume" for disk in asked.disks):
        raise BadRequest("Cannot attach one or more volumes to multiple instances")
    if any(nic.port_id for nic in nics):
        raise BadRequest("Unable to launch multiple instances with a single configured port ID.")
    if any(nic.fixed_ip for nic in nics):
        raise BadRequest("max_count cannot be greater than 1 if an fixed_ip is specified.")
    if asked.hostname:
        raise BadRequest("Unable to allocate a single hostname to multiple instances")
