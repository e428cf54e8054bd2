"""The part of VolumeDriver's conformance kit that has to do with snapshots; volume_kit.py has the rest."""

import pytest

from micronova.errors import Rejected
from micronova.testing.volume_ground import MIB, WRITTEN, VolumeGround, export_spec, snapshot_spec, volume_spec
from micronova.volume.driver import FromSnapshot, VolumeDriver


class SnapshotDriverKit(VolumeGround):
    """What every back end must do about snapshots."""

    async def test_a_snapshot_keeps_the_data_of_its_moment(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])

        for _ in range(2):
            facts = await driver.ensure_snapshot(snapshot_spec(1, 1))
            await self.mark(driver, 1, WRITTEN[1])

        source = FromSnapshot(snapshot_spec(1, 1).name, volume_spec(1).name)
        assert (source.name, source.volume, 1) == (facts.name, facts.volume, facts.size_gib)
        assert (facts,) == (await driver.list()).snapshots
        assert [WRITTEN[0]] == await self.read(driver, source, ((MIB, len(WRITTEN[0])),))
        assert WRITTEN[1] == await self.marked(driver, 1, len(WRITTEN[1]))

    async def test_a_volume_from_a_snapshot_outlives_it(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.ensure_snapshot(snapshot_spec(1, 1))
        await self.mark(driver, 1, WRITTEN[1])
        source = FromSnapshot(snapshot_spec(1, 1).name, volume_spec(1).name)

        await driver.ensure(volume_spec(2, size_gib=2, source=source))
        await driver.remove_snapshot(snapshot_spec(1, 1))
        await driver.remove(volume_spec(1).name)

        assert WRITTEN[0] == await self.marked(driver, 2, len(WRITTEN[0]))
        assert () == (await driver.list()).snapshots

    async def test_removing_a_snapshot_in_the_middle_hurts_nobody(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        for number, data in enumerate(WRITTEN):
            await self.mark(driver, 1, data)
            await driver.ensure_snapshot(snapshot_spec(number, 1))
        await self.mark(driver, 1, b"now")

        for _ in range(2):
            await driver.remove_snapshot(snapshot_spec(1, 1))

        for number in (0, 2):
            source = FromSnapshot(snapshot_spec(number, 1).name, volume_spec(1).name)
            assert [WRITTEN[number]] == await self.read(driver, source, ((MIB, len(WRITTEN[number])),))
        assert b"now" == await self.marked(driver, 1, 3)

    async def test_a_volume_with_snapshots_stays(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_snapshot(snapshot_spec(1, 1))

        with pytest.raises(Rejected):
            await driver.remove(volume_spec(1).name)

        there = await driver.list()
        assert (1, 1) == (len(there.volumes), len(there.snapshots))

    async def test_a_volume_goes_back_to_its_latest_snapshot(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.ensure_snapshot(snapshot_spec(1, 1))
        await self.mark(driver, 1, WRITTEN[1])
        if not driver.capabilities.revert:
            with pytest.raises(Rejected):
                await driver.revert(snapshot_spec(1, 1))
            return

        for _ in range(2):
            facts = await driver.revert(snapshot_spec(1, 1))
            assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))

        assert 1 == facts.size_gib
        assert 1 == len((await driver.list()).snapshots)

    async def test_a_volume_does_not_go_back_past_a_later_snapshot(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await driver.ensure_snapshot(snapshot_spec(1, 1))
        await driver.ensure_snapshot(snapshot_spec(2, 1))

        with pytest.raises(Rejected):
            await driver.revert(snapshot_spec(1, 1))

    async def test_a_snapshot_in_use_only_where_that_is_offered(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.mark(driver, 1, WRITTEN[0])
        await driver.ensure_export(export_spec(1, 1))
        if not driver.capabilities.snapshot_in_use:
            with pytest.raises(Rejected):
                await driver.ensure_snapshot(snapshot_spec(1, 1))
            return

        await driver.ensure_snapshot(snapshot_spec(1, 1))

        source = FromSnapshot(snapshot_spec(1, 1).name, volume_spec(1).name)
        assert [WRITTEN[0]] == await self.read(driver, source, ((MIB, len(WRITTEN[0])),))
        await driver.ensure(volume_spec(2, source=source))
        await driver.remove_snapshot(snapshot_spec(1, 1))
        await driver.remove_export(export_spec(1, 1).id)
        assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))
