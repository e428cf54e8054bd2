"""The conformance kit of VolumeDriver: what every back end must do, whatever it does it with.

A driver's test inherits `VolumeDriverKit`, gives a pytest fixture `driver` (prepared, erased afterwards), and adds what
only it can show, such as a guest that writes. `restarted` and `fill` tell the kit how a process ends and a pool fills.
"""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from micronova.errors import DriverError, NoSpace, Rejected
from micronova.testing.volume_ground import MIB, WRITTEN, export_spec, given_up_after, snapshot_spec, volume_spec
from micronova.testing.volume_snapshot_kit import SnapshotDriverKit
from micronova.volume.driver import GIB, FromFile, FromSnapshot, FromVolume, VolumeDriver, VolumeSpec


class VolumeDriverKit(SnapshotDriverKit):
    """Inherit, give the fixture `driver`, and run."""

    # -- volumes

    async def test_a_new_volume_is_there_and_reads_as_zeros(self, driver: VolumeDriver) -> None:
        facts = await driver.ensure(volume_spec(1))

        there = await driver.list()
        found = await self.read(driver, FromVolume(facts.name), ((0, MIB), (GIB // 2, MIB), (GIB - MIB, MIB)))
        assert (volume_spec(1).name, 1) == (facts.name, facts.size_gib)
        assert [facts.name] == [volume.name for volume in there.volumes]
        assert [bytes(MIB)] * 3 == found

    async def test_a_new_volume_reads_as_zeros_where_anothers_data_lay(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.remove(volume_spec(1).name)

        await driver.ensure(volume_spec(2))

        assert bytes(5000) == await self.marked(driver, 2, 5000)

    async def test_making_it_again_keeps_its_data_and_size(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1, size_gib=2))
        await self.mark(driver, 1, WRITTEN[0])

        facts = await driver.ensure(volume_spec(1, size_gib=1))

        assert 2 == facts.size_gib
        assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))

    async def test_removed_is_gone_missing_is_removed_and_it_can_come_again(self, driver: VolumeDriver) -> None:
        for _ in range(2):
            await driver.remove(volume_spec(1).name)
            await driver.ensure(volume_spec(1))
            await driver.remove(volume_spec(1).name)

            assert () == (await driver.list()).volumes

    @pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden", "-x", "x" * 101, "a b", "a\n"])
    async def test_a_name_that_is_no_plain_word_is_rejected(self, driver: VolumeDriver, name: str) -> None:
        with pytest.raises(Rejected):
            await driver.ensure(VolumeSpec(name=name, size_gib=1))

        assert () == (await driver.list()).volumes

    async def test_no_volume_is_empty(self, driver: VolumeDriver) -> None:
        with pytest.raises(Rejected):
            await driver.ensure(volume_spec(1, size_gib=0))

    async def test_what_is_missing_is_an_error(self, driver: VolumeDriver) -> None:
        name = volume_spec(1).name
        for call in (
            driver.extend(name, 2),
            driver.ensure_export(export_spec(1, 1)),
            driver.ensure_snapshot(snapshot_spec(1, 1)),
            driver.copy_out(FromVolume(name), self.new_path(), "raw"),
            driver.copy_in(name, str(self.folder), "raw"),
            driver.ensure(volume_spec(2, source=FromVolume(name))),
            driver.ensure(volume_spec(2, source=FromSnapshot(snapshot_spec(1, 1).name, name))),
            driver.ensure(volume_spec(2, source=FromFile(str(self.folder / "nothing"), "raw"))),
        ):
            with pytest.raises(DriverError):
                await call

        assert () == (await driver.list()).volumes

    async def test_removing_what_is_missing_is_success(self, driver: VolumeDriver) -> None:
        await driver.remove_export(export_spec(1, 1).id)
        await driver.remove_snapshot(snapshot_spec(1, 1))
        await driver.remove(volume_spec(1).name)

        assert () == (await driver.list()).volumes

    # -- size

    async def test_a_larger_volume_keeps_its_data_and_ends_in_zeros(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])

        for size_gib in (2, 2, 1):
            facts = await driver.extend(volume_spec(1).name, size_gib)
            assert 2 == facts.size_gib

        ends = ((GIB, MIB), (2 * GIB - MIB, MIB))
        assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))
        assert [bytes(MIB)] * 2 == await self.read(driver, FromVolume(volume_spec(1).name), ends)

    async def test_an_exported_volume_grows_only_where_that_is_offered(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_export(export_spec(1, 1))

        if driver.capabilities.extend_in_use:
            facts = await driver.extend(volume_spec(1).name, 2)
            assert 2 == facts.size_gib
        else:
            with pytest.raises(Rejected):
                await driver.extend(volume_spec(1).name, 2)

    async def test_space_is_told(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])

        stats = await driver.stats()

        assert 0 < stats.total_bytes
        assert 0 <= stats.free_bytes <= stats.total_bytes
        assert 0 < stats.allocated_bytes

    async def test_a_full_pool_says_so_and_keeps_what_it_had(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await self.fill(driver)

        with pytest.raises(NoSpace):
            await driver.ensure(volume_spec(2, size_gib=100, source=FromVolume(volume_spec(1).name)))

        assert [volume_spec(1).name] == [volume.name for volume in (await driver.list()).volumes]

    # -- copies

    async def test_a_clone_has_the_data_and_goes_its_own_way(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])

        await driver.ensure(volume_spec(2, size_gib=2, source=FromVolume(volume_spec(1).name)))
        before = await self.marked(driver, 2, len(WRITTEN[0]))
        await self.mark(driver, 1, WRITTEN[1])
        await self.mark(driver, 2, WRITTEN[2])

        assert WRITTEN[0] == before
        assert WRITTEN[1] == await self.marked(driver, 1, len(WRITTEN[1]))
        assert WRITTEN[2] == await self.marked(driver, 2, len(WRITTEN[2]))
        assert [bytes(MIB)] == await self.read(driver, FromVolume(volume_spec(2).name), ((2 * GIB - MIB, MIB),))

    async def test_a_clone_outlives_its_origin(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.ensure(volume_spec(2, source=FromVolume(volume_spec(1).name)))
        await driver.ensure(volume_spec(3, source=FromVolume(volume_spec(2).name)))

        await driver.remove(volume_spec(1).name)
        await driver.remove(volume_spec(2).name)

        assert WRITTEN[0] == await self.marked(driver, 3, len(WRITTEN[0]))
        assert [volume_spec(3).name] == [volume.name for volume in (await driver.list()).volumes]

    async def test_a_source_that_is_larger_is_rejected(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1, size_gib=2))

        with pytest.raises(Rejected):
            await driver.ensure(volume_spec(2, size_gib=1, source=FromVolume(volume_spec(1).name)))

        assert 1 == len((await driver.list()).volumes)

    async def test_a_volume_from_a_file_has_its_bytes_then_zeros(self, driver: VolumeDriver) -> None:
        path = self.new_path()
        Path(path).write_bytes(bytes(MIB) + WRITTEN[0])

        await driver.ensure(volume_spec(1, source=FromFile(path, "raw")))
        os.unlink(path)

        ranges = ((MIB, len(WRITTEN[0])), (MIB + len(WRITTEN[0]), MIB))
        assert [WRITTEN[0], bytes(MIB)] == await self.read(driver, FromVolume(volume_spec(1).name), ranges)

    async def test_copying_in_replaces_everything(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.write(driver, volume_spec(1).name, 5 * MIB, WRITTEN[0])
        path = self.new_path()
        Path(path).write_bytes(WRITTEN[1])

        for _ in range(2):
            await driver.copy_in(volume_spec(1).name, path, "raw")

        ranges = ((0, len(WRITTEN[1])), (5 * MIB, MIB))
        assert [WRITTEN[1], bytes(MIB)] == await self.read(driver, FromVolume(volume_spec(1).name), ranges)

    async def test_a_copy_is_as_large_as_the_volume(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        path = self.new_path()

        await driver.copy_out(FromVolume(volume_spec(1).name), path, "raw")

        assert GIB == os.stat(path).st_size

    async def test_a_name_is_taken_over_where_that_is_offered(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        names = (volume_spec(1).name, volume_spec(2).name)
        if not driver.capabilities.adopt:
            with pytest.raises(Rejected):
                await driver.rename(*names)
            return

        for _ in range(2):
            await driver.rename(*names)

        assert [names[1]] == [volume.name for volume in (await driver.list()).volumes]
        assert WRITTEN[0] == await self.marked(driver, 2, len(WRITTEN[0]))

    # -- exports

    async def test_an_export_is_the_same_each_time_and_gone_when_removed(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))

        first = await driver.ensure_export(export_spec(1, 1))
        again = await driver.ensure_export(export_spec(1, 1))
        listed = (await driver.list()).exports
        for _ in range(2):
            await driver.remove_export(export_spec(1, 1).id)

        assert first == again
        assert [(export_spec(1, 1).id, volume_spec(1).name)] == [(one.id, one.volume) for one in listed]
        assert () == (await driver.list()).exports

    async def test_an_exported_volume_stays(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.ensure_export(export_spec(1, 1))

        with pytest.raises(Rejected):
            await driver.remove(volume_spec(1).name)
        with pytest.raises(Rejected):
            await driver.copy_in(volume_spec(1).name, self.new_path(), "raw")

        await driver.remove_export(export_spec(1, 1).id)
        assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))

    async def test_two_writers_only_where_that_is_offered(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_export(export_spec(1, 1))

        if driver.capabilities.multiattach:
            await driver.ensure_export(export_spec(2, 1))
            assert 2 == len((await driver.list()).exports)
        else:
            with pytest.raises(Rejected):
                await driver.ensure_export(export_spec(2, 1))

    async def test_all_is_there_after_a_restart(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_snapshot(snapshot_spec(1, 1))
        connection = await driver.ensure_export(export_spec(1, 1))
        before = await driver.list()

        driver = await self.restarted(driver)

        assert before == await driver.list()
        assert connection == await driver.ensure_export(export_spec(1, 1))

    # -- at once, and given up

    async def test_calls_at_the_same_time_all_take_effect(self, driver: VolumeDriver) -> None:
        await asyncio.gather(*(driver.ensure(volume_spec(number)) for number in (1, 2, 3, 1, 2)))
        await asyncio.gather(
            driver.ensure_snapshot(snapshot_spec(1, 1)),
            driver.ensure_snapshot(snapshot_spec(2, 2)),
            driver.ensure_snapshot(snapshot_spec(1, 1)),
            driver.remove(volume_spec(3).name),
            driver.remove(volume_spec(3).name),
            driver.ensure(volume_spec(4, source=FromVolume(volume_spec(1).name))),
        )
        await asyncio.gather(
            driver.extend(volume_spec(1).name, 2),
            driver.ensure_export(export_spec(2, 2)),
            driver.ensure_export(export_spec(2, 2)),
            driver.remove_snapshot(snapshot_spec(2, 2)),
        )

        there = await driver.list()
        sizes = {volume.name: volume.size_gib for volume in there.volumes}
        assert {volume_spec(1).name: 2, volume_spec(2).name: 1, volume_spec(4).name: 1} == sizes
        assert [snapshot_spec(1, 1).name] == [one.name for one in there.snapshots]
        assert [export_spec(2, 2).id] == [one.id for one in there.exports]

    async def test_a_call_given_up_half_way_is_completed_by_the_next(self, driver: VolumeDriver) -> None:
        name, snapshot, export = volume_spec(1).name, snapshot_spec(1, 1), export_spec(1, 1)
        copy = volume_spec(2, source=FromVolume(name))
        for turns in range(self.turns):
            await given_up_after(turns, asyncio.ensure_future(driver.ensure(volume_spec(1))))
            await driver.ensure(volume_spec(1))
            await self.mark(driver, 1, WRITTEN[0])
            await given_up_after(turns, asyncio.ensure_future(driver.ensure_snapshot(snapshot)))
            await driver.ensure_snapshot(snapshot)
            await given_up_after(turns, asyncio.ensure_future(driver.ensure(copy)))
            await driver.ensure(copy)
            await given_up_after(turns, asyncio.ensure_future(driver.extend(name, 2)))
            await driver.extend(name, 2)
            assert WRITTEN[0] == await self.marked(driver, 2, len(WRITTEN[0]))
            await given_up_after(turns, asyncio.ensure_future(driver.ensure_export(export)))
            await driver.ensure_export(export)
            await given_up_after(turns, asyncio.ensure_future(driver.remove_export(export.id)))
            await driver.remove_export(export.id)
            await given_up_after(turns, asyncio.ensure_future(driver.remove_snapshot(snapshot)))
            await driver.remove_snapshot(snapshot)
            for one in (name, copy.name):
                await given_up_after(turns, asyncio.ensure_future(driver.remove(one)))
                await driver.remove(one)

            there = await driver.list()
            assert ((), (), ()) == (there.volumes, there.snapshots, there.exports)

    async def test_what_was_given_up_is_gone_after_a_restart_or_complete(self, driver: VolumeDriver) -> None:
        for turns in range(self.turns):
            await given_up_after(turns, asyncio.ensure_future(driver.ensure(volume_spec(1))))

            driver = await self.restarted(driver)

            for volume in (await driver.list()).volumes:
                assert [bytes(MIB)] == await self.read(driver, FromVolume(volume.name), ((0, MIB),))
                await driver.remove(volume.name)

    async def test_erasing_leaves_nothing_and_can_be_repeated(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_snapshot(snapshot_spec(1, 1))
        await driver.ensure_export(export_spec(1, 1))

        await driver.erase()
        await driver.erase()

        there = await driver.list()
        assert ((), (), ()) == (there.volumes, there.snapshots, there.exports)

    async def test_a_connection_tells_no_secret_by_accident(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))

        connection = await driver.ensure_export(export_spec(1, 1))

        password = getattr(connection, "password", "")
        assert not password or password not in repr(connection)
        assert msgspec.json.decode(msgspec.json.encode(connection), type=type(connection)) == connection
