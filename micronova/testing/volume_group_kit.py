"""The conformance kit of GroupDriver: snapshots of many volumes at one instant. A driver that offers none is skipped.

Beside `VolumeDriverKit`: a driver's test inherits both. That nothing is written between the snapshots only a test with
writers of its own can show.
"""

import asyncio
from collections.abc import Sequence

import pytest

from micronova.errors import DriverError
from micronova.testing.volume_ground import (
    MIB,
    WRITTEN,
    VolumeGround,
    export_spec,
    given_up_after,
    snapshot_spec,
    volume_spec,
)
from micronova.volume.driver import FromSnapshot, GroupDriver, SnapshotSpec, VolumeDriver

SPECS = (snapshot_spec(1, 1), snapshot_spec(2, 2))


class GroupDriverKit(VolumeGround):
    """Inherit beside `VolumeDriverKit`; the fixture `driver` is the same."""

    async def test_snapshots_of_a_group_hold_what_their_volumes_did(self, driver: VolumeDriver) -> None:
        await self._two(driver)

        facts = await grouped(driver).ensure_group_snapshot(SPECS)

        for number in (1, 2):
            await self.mark(driver, number, WRITTEN[2])
        assert [spec.name for spec in SPECS] == [one.name for one in facts]
        assert [spec.volume for spec in SPECS] == [one.volume for one in facts]
        assert list(WRITTEN[:2]) == await self._held(driver)

    async def test_a_group_snapshot_that_is_complete_stays_as_it_is(self, driver: VolumeDriver) -> None:
        await self._two(driver)
        before = await grouped(driver).ensure_group_snapshot(SPECS)
        await self.mark(driver, 1, WRITTEN[2])

        driver = await self.restarted(driver)
        after = await grouped(driver).ensure_group_snapshot(SPECS)

        assert list(before) == list(after)
        assert list(WRITTEN[:2]) == await self._held(driver)

    async def test_what_is_there_of_an_attempt_that_was_given_up_is_taken_anew(self, driver: VolumeDriver) -> None:
        await self._two(driver)
        grouped(driver)
        await driver.ensure_snapshot(SPECS[0])
        await self.mark(driver, 1, WRITTEN[2])

        await grouped(driver).ensure_group_snapshot(SPECS)

        assert [WRITTEN[2], WRITTEN[1]] == await self._held(driver)

    async def test_a_group_with_a_missing_volume_gets_no_snapshot(self, driver: VolumeDriver) -> None:
        group = grouped(driver)
        await driver.ensure(volume_spec(1))

        with pytest.raises(DriverError):
            await group.ensure_group_snapshot(SPECS)

        assert () == (await driver.list()).snapshots

    async def test_volumes_in_use_and_idle_ones_are_snapshot_together(self, driver: VolumeDriver) -> None:
        group = grouped(driver)
        await self._two(driver)
        connection = await driver.ensure_export(export_spec(1, 1))

        await group.ensure_group_snapshot(SPECS)

        assert list(WRITTEN[:2]) == await self._held(driver)
        assert connection == await driver.ensure_export(export_spec(1, 1))

    async def test_a_group_snapshot_given_up_half_way_is_completed_by_the_next(self, driver: VolumeDriver) -> None:
        group = grouped(driver)
        await self._two(driver)
        await driver.ensure_export(export_spec(1, 1))
        for turns in range(0, 24, 8):
            await given_up_after(turns, asyncio.ensure_future(group.ensure_group_snapshot(SPECS)))

            await group.ensure_group_snapshot(SPECS)

            assert list(WRITTEN[:2]) == await self._held(driver)
            for spec in SPECS:
                await driver.remove_snapshot(spec)

    async def test_snapshots_of_a_group_are_removed_one_by_one(self, driver: VolumeDriver) -> None:
        await self._two(driver)
        await grouped(driver).ensure_group_snapshot(SPECS)

        await driver.remove_snapshot(SPECS[0])

        assert [SPECS[1].name] == [one.name for one in (await driver.list()).snapshots]
        [found] = await self.read(driver, _source(SPECS[1]), ((MIB, len(WRITTEN[1])),))
        assert WRITTEN[1] == found

    async def _two(self, driver: VolumeDriver) -> None:
        grouped(driver)
        for number in (1, 2):
            await driver.ensure(volume_spec(number))
            await self.mark(driver, number, WRITTEN[number - 1])

    async def _held(self, driver: VolumeDriver, specs: Sequence[SnapshotSpec] = SPECS) -> list[bytes]:
        """What each snapshot holds of what was marked."""
        lengths = [len(WRITTEN[0]), len(WRITTEN[1])]
        return [
            (await self.read(driver, _source(spec), ((MIB, length),)))[0]
            for spec, length in zip(specs, lengths, strict=True)
        ]


def grouped(driver: VolumeDriver) -> GroupDriver:
    """The driver as one of groups; the test is skipped when it is none."""
    if not driver.capabilities.group_snapshot:
        pytest.skip("this driver takes no snapshots of groups")
    assert isinstance(driver, GroupDriver)
    return driver


def _source(spec: SnapshotSpec) -> FromSnapshot:
    return FromSnapshot(spec.name, spec.volume)
