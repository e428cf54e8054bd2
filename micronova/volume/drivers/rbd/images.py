"""Images of one pool: RBD's own objects, by name. A missing one is told as None or success, other failures raise.

Copies are clones (version 2): a snapshot with clones can be removed, and so can an image with such snapshots; the
cluster keeps what the clones still need in its trash, and removes it with the last of them.
"""

import asyncio
import contextlib
import errno
from typing import Any

import msgspec

from micronova.errors import DriverError, Rejected
from micronova.volume.driver import GIB, gib
from micronova.volume.drivers.rbd.cluster import LONG, Cluster, code_of

_QUIET = "--no-progress"
_TRASH = "--rbd-move-parent-to-trash-on-remove=true"
_CLONES = "--rbd-default-clone-format=2"
_HEADER_ROOM = 64 * 2**20
"""A LUKS container's header is smaller; a volume's image is as large as the volume and the header."""
_DEAD_AFTER = 45
"""Seconds after which the cluster has forgotten a client that died (osd_client_watch_timeout, 30, and some)."""
_POLL = 3
_OURS = "."
"""How names of our own snapshots begin, which no volume's or snapshot's does."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image. `parent` is the id of the image it still needs data of."""

    name: str
    id: str = ""
    size: int = 0
    parent: str = ""

    @property
    def size_gib(self) -> int:
        return size_gib(self.size)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of an image."""

    name: str
    image: str
    number: int
    size: int

    @property
    def ours(self) -> bool:
        """Whether it is there for a copy that is under way."""
        return self.name.startswith(_OURS)


class Images:
    """The pool's images and their snapshots."""

    def __init__(self, cluster: Cluster, data_pool: str) -> None:
        self._cluster = cluster
        self._create_words = ["--data-pool", data_pool] if data_pool else []

    async def all(self) -> tuple[list[Image], list[Moment]]:
        """Every image and snapshot of the pool, in order of name."""
        # One that goes in this moment makes the command fail, after it told all others.
        words = ("ls", "--long", "--pool", self._cluster.pool)
        found = await self._cluster.rbd_json(*words, ok=(0, errno.ENOENT))
        if found is None:
            raise DriverError(f"the Ceph cluster has no pool {self._cluster.pool}")
        images = [_image(one) for one in found if "snapshot" not in one]
        moments = [_moment(one, "snapshot", "snapshot_id", one["image"]) for one in found if "snapshot" in one]
        return sorted(images, key=lambda one: one.name), sorted(moments, key=lambda one: one.name)

    async def find(self, name: str) -> Image | None:
        """The image; None when there is none, or half of one."""
        try:
            return _image(await self._cluster.rbd_json("info", self._cluster.spec(name)))
        except DriverError as err:
            _pass(err, errno.ENOENT)
            return None

    async def get(self, name: str) -> Image:
        """The image. Raises DriverError when it is missing."""
        found = await self.find(name)
        if found is None:
            raise DriverError(f"there is no volume {name}", name=name)
        return found

    async def create(self, name: str, size: int) -> bool:
        """There is such an image, all zeros; False when there was something of the name before, perhaps half of one."""
        spec = self._cluster.spec(name)
        try:
            await self._cluster.rbd("create", *self._create_words, "--size", f"{size}B", spec)
        except DriverError as err:
            _pass(err, errno.EEXIST)
            return False
        return True

    async def clone(self, source: str, moment: str, name: str) -> None:
        """The new image has a snapshot's data, at once. Raises DriverError when something of the name is there."""
        origin = self._cluster.spec(source, moment)
        await self._cluster.rbd("clone", *self._create_words, _CLONES, origin, self._cluster.spec(name))

    async def depth(self, image: Image) -> int:
        """How many images it stands on."""
        depth, parent = 0, image.parent
        while parent:
            depth += 1
            told = await self._cluster.rbd_json("info", "--pool", self._cluster.pool, "--image-id", parent)
            parent = _image(told).parent
        return depth

    async def flatten(self, name: str) -> None:
        """The image needs no other's data."""
        await self._cluster.rbd("flatten", _QUIET, self._cluster.spec(name), wait=LONG)

    async def grow(self, image: Image, size: int) -> Image:
        """The image is at least so large; what is new is zeros. Whoever has it open is told."""
        if size <= image.size:
            return image
        await self._cluster.rbd("resize", _QUIET, "--size", f"{size}B", self._cluster.spec(image.name))
        return msgspec.structs.replace(image, size=size)

    async def discard(self, name: str, *, with_snapshots: bool = False, cut_off: bool = False) -> None:
        """There is no such image, nor half of one. `with_snapshots`: even if a volume's snapshots need it.

        Clients that have it open are blocked (`cut_off`), or waited for: one that died is forgotten soon.
        Raises Rejected when it has snapshots, DriverError when a client has it open that does not die.
        """
        for turn in range(_DEAD_AFTER // _POLL):
            code = await self._removed(name)
            if not code:
                return
            if code == errno.ENOTEMPTY:
                await self._clear(name, with_snapshots=with_snapshots)
            elif cut_off and not turn:
                await self.block_clients(name)
            else:
                await asyncio.sleep(_POLL)
        raise DriverError("somebody has the volume's image open", name=name)

    async def _removed(self, name: str) -> int:
        """0, or why the image could not be removed: it has snapshots, or a client has it open."""
        try:
            await self._cluster.rbd("rm", _QUIET, _TRASH, self._cluster.spec(name), wait=LONG)
        except DriverError as err:
            _pass(err, errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY)
            code = code_of(err) or 0
            return 0 if code == errno.ENOENT else code
        return 0

    async def _clear(self, name: str, *, with_snapshots: bool) -> None:
        moments = await self.moments(name) or []
        if not with_snapshots and not all(moment.ours for moment in moments):
            raise Rejected("the volume has snapshots", name=name)
        for moment in moments:
            await self.forget(name, moment.name)

    async def rename(self, name: str, new_name: str) -> None:
        """The image has the new name. Raises DriverError when another has it."""
        try:
            await self._cluster.rbd("rename", self._cluster.spec(name), self._cluster.spec(new_name))
        except DriverError as err:
            if code_of(err) != errno.EEXIST or not await self._is_half_renamed(name, new_name):
                raise

    async def _is_half_renamed(self, name: str, new_name: str) -> bool:
        """Whether somebody died who was renaming it just so; then it has the new name alone."""
        old, new = await asyncio.gather(self.find(name), self.find(new_name))
        if old is None or new is None or old.id != new.id:
            return False
        listed = await self._cluster.rbd_json("ls", "--pool", self._cluster.pool)
        if new_name in listed:
            await self._cluster.rados("rm", f"rbd_id.{name}")
        else:
            await self._cluster.rados("rm", f"rbd_id.{new_name}")
            await self._cluster.rbd("rename", self._cluster.spec(name), self._cluster.spec(new_name))
        return True

    # -- snapshots

    async def moments(self, image: str) -> list[Moment] | None:
        """The image's snapshots, oldest first; None when it is missing."""
        try:
            found = await self._cluster.rbd_json("snap", "ls", self._cluster.spec(image))
        except DriverError as err:
            _pass(err, errno.ENOENT)
            return None
        return sorted((_moment(one, "name", "id", image) for one in found), key=lambda one: one.number)

    async def keep(self, image: str, moment: str) -> None:
        """The snapshot is there, with all that was acknowledged. Raises DriverError when the image is missing."""
        try:
            await self._cluster.rbd("snap", "create", _QUIET, self._cluster.spec(image, moment))
        except DriverError as err:
            _pass(err, errno.EEXIST)

    async def forget(self, image: str, moment: str) -> None:
        """The snapshot is gone; its clones keep their data."""
        try:
            await self._cluster.rbd("snap", "rm", _QUIET, self._cluster.spec(image, moment))
        except DriverError as err:
            _pass(err, errno.ENOENT)

    async def roll_back(self, image: str, moment: str) -> None:
        """The image has the snapshot's data and size."""
        await self._cluster.rbd("snap", "rollback", _QUIET, self._cluster.spec(image, moment), wait=LONG)

    # -- clients, and what they leave

    async def block_clients(self, image: str) -> int:
        """Whoever has the image open is cut off by the cluster; returns how many there were."""
        try:
            told = await self._cluster.rbd_json("status", self._cluster.spec(image))
        except DriverError as err:
            _pass(err, errno.ENOENT)
            return 0
        addresses = [watcher["address"] for watcher in told.get("watchers", ())]
        for address in addresses:
            await self._cluster.ceph("osd", "blocklist", "add", address)
        return len(addresses)

    async def sweep(self) -> None:
        """What the cluster keeps of removed images for clones that are gone is gone too."""
        for kept in await self._cluster.rbd_json("trash", "ls", "--all", "--long", "--pool", self._cluster.pool):
            if kept.get("source") == "USER_PARENT":
                with contextlib.suppress(DriverError):  # a clone needs it still
                    await self._cluster.rbd("trash", "rm", _QUIET, self._cluster.spec(kept["id"]), wait=LONG)


def size_gib(size: int) -> int:
    """The GiB of the volume in an image of so many bytes."""
    return (size - header_of(size)) // GIB if header_of(size) else gib(size)


def header_of(size: int) -> int:
    """The bytes in front of what a container's user sees."""
    rest = size % GIB
    return rest if size > GIB and rest <= _HEADER_ROOM else 0


def _image(told: dict[str, Any]) -> Image:
    parent = told.get("parent") or {}
    return Image(
        name=told.get("name") or told.get("image") or "",
        id=told["id"],
        size=told["size"],
        parent=parent.get("id") or "",
    )


def _moment(told: dict[str, Any], name: str, number: str, image: str) -> Moment:
    return Moment(name=told[name], image=image, number=told[number], size=told["size"])


def _pass(err: DriverError, *codes: int) -> None:
    """Return when it is one of these errors; raises it when not."""
    if code_of(err) not in codes:
        raise err
