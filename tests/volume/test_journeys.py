"""Idle volumes move between hosts: their data whole, in one place by the row at any moment, whoever dies meanwhile."""

import pytest
from volume.volume_world import ADMIN, ALICE, World

from micronova.errors import BadRequest, DriverError, NoSpace, WrongState
from micronova.tasks import Task
from micronova.testing.volume_ground import patch, taken
from micronova.volume.backups import NewBackup
from micronova.volume.changes import Reset
from micronova.volume.db import Backup, Message, Volume, VolumeType
from micronova.volume.driver import Capabilities, Connection, FromVolume
from micronova.volume.drivers.pretended import BLOCK, Blocks, write_file
from micronova.volume.volumes import NewVolume

DATA = b"precious" * 100


class PretendedReader:
    """Reads what pretended back ends export, wherever they are."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.damaged = False

    async def bring(self, connection: Connection, path: str) -> None:
        blocks, size_gib = self._behind(connection)
        write_file(path, "raw", blocks, size_gib << 30)

    async def check_same(self, one: Connection, other: Connection) -> None:
        if self._behind(one) != self._behind(other) or self.damaged:
            raise DriverError("not the same")

    def _behind(self, connection: Connection) -> tuple[Blocks, int]:
        for host in self._world.hosts.values():
            for driver in host.drivers.values():
                export = driver.pool.exports.get(connection.export)  # type: ignore[union-attr]
                if host.service is not None and export is not None:
                    volume = driver.pool.volume(export.volume)
                    data = {at: block.ljust(BLOCK, b"\0") for at, block in volume.blocks.data.items()}
                    return Blocks(data), volume.size_gib
        raise DriverError("nobody answers")


@pytest.fixture
async def pair(wide: World) -> World:
    """Two hosts whose volumes can be read from the other."""
    wide.reader = PretendedReader(wide)
    for host in wide.hosts.values():
        host.volume.reader = wide.reader
    return wide


async def written(pair: World) -> Volume:
    """A volume with data on the first host."""
    await pair.volumes.freeze(ADMIN, "h2", frozen=True)
    volume = await pair.volume()
    await pair.volumes.freeze(ADMIN, "h2", frozen=False)
    driver, path = pair.hosts["h1"].drivers[volume.backend], str(pair.folder / "change")
    await driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    patch(path, 7 << 20, DATA)
    await driver.copy_in(volume.driver_name, path, "raw")
    taken(path, ())
    return volume


async def held(pair: World, volume: Volume) -> bytes:
    path = str(pair.folder / "look")
    await pair.hosts[volume.host].drivers[volume.backend].copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((7 << 20, len(DATA)),))[0]


async def places(pair: World) -> set[tuple[str, str, str]]:
    """(host, back end, name) of everything that is anywhere."""
    found = set()
    for name, host in pair.hosts.items():
        for backend, driver in host.drivers.items():
            there = await driver.list()
            found |= {(name, backend, one.name) for one in there.volumes}
            found |= {(name, backend, one.id) for one in there.exports}
    return found


async def started(pair: World, name: str) -> None:
    await pair.hosts[name].start()
    pair.hosts[name].volume.reader = pair.reader


def place(volume: Volume) -> set[tuple[str, str, str]]:
    return {(volume.host, volume.backend, volume.driver_name)}


async def test_a_volume_moves_to_another_host_with_its_data_and_nothing_stays_behind(pair):
    volume = await written(pair)

    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast#fast")
    await pair.until(volume.id, "retyping")
    moved = await pair.until(volume.id, "available")
    await pair.idle()

    assert ("h2", "fast", "success") == (moved.host, moved.backend, moved.migration_status)
    assert DATA == await held(pair, moved)
    assert place(moved) == await places(pair)
    assert [[], []] == [await host.volume.audit(ADMIN) for host in pair.hosts.values()]


async def test_a_volume_that_moved_lives_on_and_moves_back(pair):
    volume = await written(pair)
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.until(volume.id, "retyping")
    moved = await pair.until(volume.id, "available")

    info = await pair.attached(moved)
    await pair.volumes.detach(ALICE, info.id)
    await pair.until(volume.id, "available")
    await pair.volumes.migrate(ADMIN, volume.id, f"h1@{volume.backend}")
    back = await pair.when(lambda: pair.row(volume.id), lambda row: row.host == "h1" and row.status == "available")
    await pair.idle()

    assert DATA == await held(pair, back)
    assert place(back) == await places(pair)
    await pair.volumes.delete(ALICE, volume.id)
    await pair.gone(volume.id)
    assert set() == await places(pair)


async def test_a_retype_finds_a_back_end_on_another_host(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].capabilities = Capabilities(protocol="iscsi", remote=True)
    await pair.hosts["h2"].volume.report_pools(ADMIN)
    new = VolumeType(
        id="new", name="new", extra_specs={"storage_protocol": "iscsi"}, created_at=pair.runtime.clock.now()
    )
    await pair.db.write(lambda tx: tx.insert(new), ADMIN, why="test")

    await pair.volumes.retype(ALICE, volume.id, "new", may_move=True)
    moved = await pair.when(lambda: pair.row(volume.id), lambda row: row.host == "h2" and row.status == "available")

    assert ("fast", "new") == (moved.backend, moved.type_id)
    assert DATA == await held(pair, moved)


async def test_a_copy_that_is_not_the_same_is_never_taken_for_the_volume(pair):
    volume = await written(pair)
    pair.reader.damaged = True
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: pair.rows(Task, method="fetch"), lambda rows: rows[0].attempts > 1)

    await pair.db.write(lambda tx: give_up(tx), ADMIN, why="test")
    stayed = await pair.until(volume.id, "available")
    await pair.idle()

    assert ("h1", "error") == (stayed.host, stayed.migration_status)
    await pair.when(lambda: places(pair), lambda found: found == place(stayed))
    assert DATA == await held(pair, stayed)
    [message] = await pair.rows(Message, resource_id=volume.id)
    assert message.text.startswith("migrate volume:")
    await pair.volumes.delete(ALICE, volume.id)
    await pair.gone(volume.id)


def give_up(tx):
    """The task's time is over."""
    [task] = tx.find(Task, method="fetch")
    tx.change(task, deadline_at=tx.now)


async def test_a_new_host_that_dies_meanwhile_goes_on_when_it_is_back(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].slow(60, operation="ensure")
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: places(pair), lambda found: any(name.endswith("-out") for _, _, name in found))
    await pair.hosts["h2"].stop()
    told = await pair.row(volume.id)
    pair.hosts["h2"].drivers["fast"].slow(0, operation="ensure")

    await started(pair, "h2")
    moved = await pair.until(volume.id, "available")
    await pair.idle()

    assert ("h1", "retyping", "h2") == (told.host, told.status, moved.host)
    assert DATA == await held(pair, moved)
    assert place(moved) == await places(pair)


async def test_an_old_host_that_dies_meanwhile_is_waited_for(pair):
    volume = await written(pair)
    await pair.hosts["h1"].stop()
    await pair.hosts["h2"].volume.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: pair.rows(Task, method="fetch"), lambda rows: rows[0].attempts > 1)

    await started(pair, "h1")
    moved = await pair.until(volume.id, "available")

    assert "h2" == moved.host
    await pair.when(lambda: places(pair), lambda found: found == place(moved))


async def test_a_volume_that_is_lost_after_its_move_is_noticed_while_the_old_host_is_away(pair):
    volume = await written(pair)
    pair.hosts["h1"].drivers[volume.backend].refuse("remove", DriverError("not now"), times=1000)
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    moved = await pair.when(lambda: pair.row(volume.id), lambda row: row.host == "h2")
    await pair.hosts["h1"].stop()

    pair.hosts["h2"].drivers["fast"].lose(moved.driver_name)
    told = await pair.hosts["h2"].volume.audit(ADMIN)
    await pair.hosts["h2"].volume.reconcile(ADMIN)

    assert [f"volume {volume.id} is not on back end fast"] == told
    assert "error" == (await pair.row(volume.id)).status
    assert [True] == [task.open for task in await pair.rows(Task, method="leave")]


async def test_an_old_host_that_is_away_at_the_end_tidies_up_when_it_is_back(pair):
    volume = await written(pair)
    pair.hosts["h1"].drivers[volume.backend].refuse("remove", DriverError("not now"), times=3)
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    moved = await pair.when(lambda: pair.row(volume.id), lambda row: row.host == "h2")
    await pair.hosts["h1"].stop()
    await started(pair, "h1")

    await pair.when(lambda: places(pair), lambda found: found == place(moved))
    assert DATA == await held(pair, moved)


async def test_a_volume_that_is_removed_on_its_way_leaves_nothing_anywhere(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].slow(60, operation="ensure")
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: places(pair), lambda found: any(name.endswith("-out") for _, _, name in found))

    await pair.volumes.delete(ADMIN, volume.id, force=True)
    await pair.gone(volume.id)

    await pair.when(lambda: places(pair), lambda found: not found)


async def test_a_volume_that_is_said_not_to_move_stays_and_nothing_is_left_elsewhere(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].slow(60, operation="ensure")
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: places(pair), lambda found: any(name.endswith("-out") for _, _, name in found))
    await pair.volumes.reset(ADMIN, volume.id, Reset(status="available", migration_status="none"))
    await pair.hosts["h2"].stop()
    pair.hosts["h2"].drivers["fast"].slow(0, operation="ensure")
    await started(pair, "h2")

    stayed = await pair.row(volume.id)
    await pair.when(lambda: places(pair), lambda found: found == place(stayed))

    assert ("h1", "available") == (stayed.host, stayed.status)
    assert DATA == await held(pair, stayed)


async def test_a_full_new_host_is_told_and_the_volume_stays(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].refuse("ensure", NoSpace("full"), times=100)
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: pair.rows(Task, method="fetch"), lambda rows: rows[0].attempts > 1)

    await pair.db.write(lambda tx: give_up(tx), ADMIN, why="test")
    stayed = await pair.until(volume.id, "available")

    assert "h1" == stayed.host
    assert DATA == await held(pair, stayed)


async def test_what_can_not_travel_is_refused_at_once(pair):
    volume = await written(pair)
    await pair.attached(volume)
    with pytest.raises((BadRequest, WrongState)):
        await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    other = await written(pair)
    pair.hosts["h1"].drivers[other.backend].capabilities = Capabilities(protocol="file")
    await pair.volumes.report_pools(ADMIN)

    with pytest.raises(BadRequest):
        await pair.volumes.migrate(ADMIN, other.id, "h2@fast")
    with pytest.raises(BadRequest):
        await pair.volumes.migrate(ADMIN, other.id, "h9@fast")

    assert [] == await pair.rows(Task, method="fetch")


async def test_backups_of_before_are_no_parents_for_those_after_and_come_back_all_the_same(pair):
    volume = await written(pair)
    first = await pair.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    for host in pair.hosts.values():
        host.volume.store._folder = pair.folder / f"backups-{host.name}"  # each host its own

    async def look():
        return await pair.db.read(lambda tx: tx.first(Backup, id=first.id))

    await pair.when(look, lambda row: row.status == "available")
    await pair.until(volume.id, "available")
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    moved = await pair.when(lambda: pair.row(volume.id), lambda row: row.host == "h2" and row.status == "available")

    with pytest.raises(BadRequest):
        await pair.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, incremental=True))
    await pair.volumes.restore(ALICE, first.id, volume.id, None)
    await pair.when(lambda: pair.row(volume.id), lambda row: row.status == "available")

    assert DATA == await held(pair, moved)


async def test_a_volume_that_somebody_uses_does_not_travel_whatever_is_said_of_it(pair):
    volume = await written(pair)
    await pair.attached(volume)
    await pair.volumes.reset(ADMIN, volume.id, Reset(status="available"))

    with pytest.raises((BadRequest, WrongState)):
        await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")


async def test_a_volume_that_is_being_copied_stays_until_that_is_done(pair):
    volume = await written(pair)
    pair.hosts["h1"].drivers[volume.backend].slow(60, operation="ensure")
    await pair.volumes.create(ALICE, NewVolume(size_gib=1, source_volume_id=volume.id))

    with pytest.raises(WrongState, match="copied"):
        await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")


async def test_a_volume_that_could_not_move_can_be_removed_at_once(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].refuse("ensure", NoSpace("full"), times=100)
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: pair.rows(Task, method="fetch"), lambda rows: rows[0].attempts > 1)
    pair.hosts["h1"].drivers[volume.backend].refuse("remove_export", DriverError("not now"), times=3)
    await pair.db.write(lambda tx: give_up(tx), ADMIN, why="test")
    await pair.until(volume.id, "available")

    await pair.volumes.delete(ALICE, volume.id)

    await pair.gone(volume.id)
    await pair.when(lambda: places(pair), lambda found: not found)


async def test_a_move_that_was_called_off_does_not_arrive_in_the_name_of_another(pair):
    volume = await written(pair)
    pair.hosts["h2"].drivers["fast"].slow(60, operation="ensure")
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.when(lambda: places(pair), lambda found: any(name.endswith("-out") for _, _, name in found))
    await pair.volumes.reset(ADMIN, volume.id, Reset(status="available", migration_status="none"))
    await pair.volumes.migrate(ADMIN, volume.id, "h2@fast")
    await pair.hosts["h2"].stop()
    pair.hosts["h2"].drivers["fast"].slow(0, operation="ensure")

    await started(pair, "h2")
    await pair.when(lambda: pair.rows(Task, method="fetch"), lambda rows: rows[0].state == "failed")
    await pair.idle()

    stayed = await pair.until(volume.id, "available")
    assert "h1" == stayed.host
    await pair.when(lambda: places(pair), lambda found: found == place(stayed))


async def test_a_move_on_its_host_that_was_called_off_does_not_end_in_the_name_of_another(pair):
    volume = await written(pair)
    other = "fast" if volume.backend == "slow" else "slow"
    pair.hosts["h1"].drivers[other].slow(0.3, operation="ensure")
    await pair.volumes.migrate(ADMIN, volume.id, f"h1@{other}")
    await pair.when(lambda: pair.rows(Task, method="move", state="running"), bool)
    await pair.volumes.reset(ADMIN, volume.id, Reset(status="available", migration_status="none"))

    await pair.volumes.migrate(ADMIN, volume.id, f"h1@{other}")
    await pair.idle()

    stayed = await pair.until(volume.id, "available")
    assert (volume.backend, "error") == (stayed.backend, stayed.migration_status)
    assert place(stayed) == await places(pair)
