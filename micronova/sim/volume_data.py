"""What is in volumes: who wrote it, and whether it is still there, and nowhere else.

Whatever uses a volume writes words of its own that nobody wrote before. So what a volume, a snapshot or a backup holds
says where it came from: a copy must hold what its source held while it was made, a snapshot what its volume held when
it was taken and for ever, a volume what was written to it last, and a new one nothing.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime

import msgspec

from micronova.db import Tx
from micronova.image.db import Image
from micronova.sim.faults import Dice
from micronova.sim.snapshot import Snapshot as Now
from micronova.sim.volume_gates import plain
from micronova.sim.world import World
from micronova.volume import states
from micronova.volume.db import Attachment, Backup, Snapshot, Volume
from micronova.volume.driver import Connection
from micronova.volume.drivers.fake import FakeVolumeDriver
from micronova.volume.drivers.pretended import BLOCK, Blocks

Content = tuple[tuple[int, bytes], ...]
"""What is not zero, by number of block."""
PLACES = (0, 1, 64, 16383)
"""Blocks that are written to: two of one piece of a backup, one of another, the last of a GiB."""
MAKING = (states.CREATING, states.DOWNLOADING, states.DELETING, states.ERROR_DELETING)
CHANGING = (states.REVERTING, states.RESTORING)
UNSURE = (states.ERROR, states.ERROR_RESTORING)
"""Statuses of volumes that hold what they held, or what they were to hold."""


class Change(msgspec.Struct):
    """A volume was to get the data of a snapshot or backup. `sure`: that was accepted."""

    source_id: str
    sure: bool = False


class Use(msgspec.Struct, frozen=True):
    """A way to a volume, and the server that has it, "" for what is elsewhere."""

    connection: Connection
    volume_id: str
    server_id: str = ""


class VolumeData:
    """What volumes, snapshots and backups of a world may hold."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0
        self._held: dict[str, list[tuple[datetime, Content]]] = {}
        """By volume: what it held, and since when."""
        self._kept: dict[str, frozenset[Content]] = {}
        """By snapshot, backup or image: what it may hold."""
        self._changes: dict[str, list[Change]] = {}
        self._wrong: list[str] = []

    # -- written

    async def write_somewhere(self, dice: Dice) -> None:
        """Something that has a volume, a guest or what is elsewhere, writes to it if it still reaches it."""
        uses = await self._uses()
        if not uses:
            return
        use, block = dice.one(uses), dice.one(PLACES)
        row, right = await self._world.read(lambda tx: _right(tx, use))
        driver, name = self._behind(use)
        if driver is None:
            return
        if row is not None:
            self._look(row)
        self._count += 1
        word = f"{use.server_id or 'elsewhere'} wrote {self._count} to {use.volume_id}"
        driver.write(name, {block: word.encode()})
        self._world.note(word)
        if row is None or not right:
            self._world.bug(f"{word}, which it does not have", None)
            return
        found = self._found(row)
        if found is None or (block, word.encode()) not in found:
            self._world.bug(f"{word}, which lies elsewhere", None)
            return
        self._held.setdefault(row.id, []).append((self._world.clock.now(), found))

    async def _uses(self) -> list[Use]:
        """Each disk of a running guest, and what is used elsewhere."""
        found = []
        for machine in self._world.hosts:
            for guest in await machine.compute.list():
                disks = machine.compute.disks(guest.id) if guest.power == "running" else ()
                held = machine.compute.held(guest.id)
                found += [Use(one.connection, one.volume_id, guest.id) for one in disks if one.volume_id not in held]
        order = (("created_at", True), ("id", True))
        where = {"server_id": None, "status": states.ATTACHED}
        rows = await self._world.read(lambda tx: tx.find(Attachment, order=order, **where))  # type: ignore[arg-type]
        return found + [Use(row.connection, row.volume_id) for row in rows if row.connection is not None]

    def _behind(self, use: Use) -> tuple[FakeVolumeDriver | None, str]:
        """The back end that lets the use write, and the volume's name there."""
        for driver in self._world.backends():
            name = driver.behind(use.connection)
            if name and not use.connection.read_only:
                return driver, name
        return None, ""

    @contextlib.contextmanager
    def changing(self, volume_id: str, source_id: str) -> Iterator[None]:
        """A volume is asked to get the data of a snapshot or backup: it may, and must when that is accepted."""
        change = Change(source_id)
        self._changes.setdefault(volume_id, []).append(change)
        yield
        change.sure = True

    # -- looked at

    def data_are_where_they_should_be(self, now: Now) -> Iterator[str]:
        """Nothing was lost, and nothing is where nobody put it."""
        for image in now.images.values():
            self._look_image(image)
        for snapshot in now.volume_snapshots.values():
            self._look_snapshot(now, snapshot)
        for volume in now.volumes.values():
            self._look(volume)
        for backup in now.backups.values():
            if backup.status == states.AVAILABLE and backup.id not in self._kept:
                self._keep(backup.id, self._source_of(backup))
        yield from self._wrong

    def _look_image(self, image: Image) -> None:
        data = self._world.machines[image.store_host].store.committed.get(image.location) if image.location else None
        if data is not None:
            blocks = {at // BLOCK: data[at : at + BLOCK] for at in range(0, len(data), BLOCK)}
            self._keep(image.id, frozenset([plain(Blocks(blocks))]))

    def _look_snapshot(self, now: Now, snapshot: Snapshot) -> None:
        volume = now.volumes.get(snapshot.volume_id)
        pool = self._pool(volume) if volume is not None else None
        there = pool.pool.snapshots.get(snapshot.id) if pool is not None else None
        if there is None or snapshot.status in (states.CREATING, states.ERROR):
            return
        found = plain(there.blocks)
        allowed = self._kept.get(snapshot.id) or self._since(snapshot.volume_id, snapshot.created_at)
        if allowed is not None and found not in allowed:
            self._wrong.append(f"snapshot {snapshot.id} holds {_told(found)}")
        self._kept[snapshot.id] = frozenset([found])

    def _look(self, volume: Volume) -> None:
        """A volume holds what it should."""
        found = self._found(volume)
        if found is None or volume.status in MAKING:
            return
        if volume.id not in self._held:
            allowed = self._origin(volume)
            if volume.status == states.ERROR:
                return
            if allowed is not None and found not in allowed:
                self._wrong.append(f"new volume {volume.id} holds {_told(found)}")
            self._held[volume.id] = [(volume.created_at, found)]
        elif found != self._held[volume.id][-1][1]:
            if not any(self._fits(change, found) for change in self._changes.get(volume.id, ())):
                before = self._held[volume.id][-1][1]
                self._wrong.append(f"{volume.status} volume {volume.id} held {_told(before)} and holds {_told(found)}")
            self._held[volume.id].append((self._world.clock.now(), found))
        self._check_changed(volume, found)

    def _check_changed(self, volume: Volume, found: Content) -> None:
        """What was accepted has come about, unless the volume says otherwise."""
        changes = self._changes.get(volume.id, [])
        sure = [change for change in changes if change.sure]
        if not sure or volume.status in CHANGING:
            return
        if volume.status not in UNSURE and not self._fits(sure[-1], found):
            self._wrong.append(f"volume {volume.id} was to hold {sure[-1].source_id}, and holds {_told(found)}")
        self._changes[volume.id] = [change for change in changes if not change.sure]

    # -- what may be

    def _fits(self, change: Change, found: Content) -> bool:
        allowed = self._kept.get(change.source_id)
        return allowed is None or found in allowed

    def _origin(self, volume: Volume) -> frozenset[Content] | None:
        """What a new volume may hold; None when that is not known."""
        for source_id in (volume.backup_id, volume.image_id, volume.snapshot_id):
            if source_id is not None:
                return self._kept.get(source_id)
        if volume.source_volume_id is not None:
            return self._since(volume.source_volume_id, volume.created_at)
        return frozenset([()])

    def _source_of(self, backup: Backup) -> frozenset[Content] | None:
        if backup.snapshot_id is not None:
            return self._kept.get(backup.snapshot_id)
        return self._since(backup.volume_id, backup.created_at)

    def _since(self, volume_id: str, moment: datetime) -> frozenset[Content] | None:
        """What a volume held at this moment or later."""
        held = self._held.get(volume_id)
        if held is None:
            return None
        before = [content for since, content in held if since <= moment]
        return frozenset((*before[-1:], *(content for since, content in held if since > moment)))

    def _keep(self, id: str, contents: frozenset[Content] | None) -> None:
        if contents is not None:
            self._kept.setdefault(id, contents)

    # -- what is

    def _pool(self, volume: Volume) -> FakeVolumeDriver | None:
        machine = self._world.machines.get(volume.host)
        return machine.backends.get(volume.backend) if machine is not None else None

    def _found(self, volume: Volume) -> Content | None:
        driver = self._pool(volume)
        there = driver.pool.volumes.get(volume.driver_name) if driver is not None else None
        return plain(there.blocks) if there is not None and there.complete else None


def _right(tx: Tx, use: Use) -> tuple[Volume | None, bool]:
    """The volume of a use, and whether a row says that it may be used so."""
    rows = tx.find(Attachment, volume_id=use.volume_id, server_id=use.server_id or None)
    return tx.first(Volume, id=use.volume_id), bool(rows)


def _told(content: Content) -> str:
    return "; ".join(f"{number}: {data[:80]!r}" for number, data in content) or "nothing"
