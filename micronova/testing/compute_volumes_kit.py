"""The conformance kit of VolumeUser and VolumeMover: part of ComputeDriver's, see compute_kit.py."""

import asyncio

import msgspec
import pytest

from micronova.compute.driver import VolumeDisk
from micronova.errors import DriverError, Rejected
from micronova.testing.compute_bench import ONE, TWO, ComputeBench, console_once_written


class VolumeConformance:
    """The tests of volumes as disks of guests."""

    async def test_a_volume_is_plugged_into_a_running_guest_and_out_again(self, bench: ComputeBench) -> None:
        driver, disk = bench.driver, await bench.volume(1)
        await driver.ensure(bench.spec(ONE))
        await console_once_written(driver, ONE)

        for _ in range(2):
            await driver.attach_volume(ONE, disk)
        with_it = await bench.volumes(ONE)
        told = (await driver.inspect(ONE)).volumes, [guest.volumes for guest in await driver.list()]
        await driver.extend_volume(ONE, "unknown", 2)
        for _ in range(2):
            await driver.detach_volume(ONE, disk.volume_id)

        assert [disk.volume_id] == with_it
        assert ((disk.volume_id,), [(disk.volume_id,)]) == told
        assert [] == await bench.volumes(ONE)
        assert ("running", ()) == ((await driver.inspect(ONE)).power, (await driver.inspect(ONE)).volumes)

    async def test_a_guest_starts_with_its_volumes_and_keeps_them(self, bench: ComputeBench) -> None:
        driver, disks = bench.driver, tuple([await bench.volume(number) for number in (1, 2)])
        scsi = msgspec.structs.replace(disks[1], bus="scsi")
        spec = msgspec.structs.replace(bench.spec(ONE), volumes=(disks[0], scsi))

        await driver.ensure(spec)
        await driver.reboot(ONE, hard=True)
        await bench.reopen()
        await bench.driver.init_host()
        running = await bench.volumes(ONE)
        await bench.driver.stop(ONE, wait=0)
        await bench.driver.detach_volume(ONE, disks[0].volume_id)
        off = await bench.volumes(ONE)

        assert sorted(disk.volume_id for disk in disks) == running
        assert [scsi.volume_id] == off
        await bench.driver.ensure(msgspec.structs.replace(spec, volumes=(scsi,)))
        assert off == await bench.volumes(ONE)

    async def test_a_paused_guest_takes_a_volume_and_says_that_it_gives_none(self, bench: ComputeBench) -> None:
        driver, disk = bench.driver, await bench.volume(1)
        await driver.ensure(bench.spec(ONE))
        await driver.pause(ONE, paused=True)

        await driver.attach_volume(ONE, disk)
        with pytest.raises(Rejected, match="stands still"):
            await driver.detach_volume(ONE, disk.volume_id)

        assert [disk.volume_id] == await bench.volumes(ONE)
        await driver.detach_volume(ONE, "unknown")

    async def test_volumes_of_a_guest_that_is_not_there(self, bench: ComputeBench) -> None:
        disk = await bench.volume(1)

        await bench.driver.detach_volume(ONE, disk.volume_id)
        await bench.driver.extend_volume(ONE, disk.volume_id, 2)
        with pytest.raises(DriverError):
            await bench.driver.attach_volume(ONE, disk)

        assert [] == bench.traces(ONE)

    async def test_a_volume_changes_its_place_under_a_running_guest(self, bench: ComputeBench) -> None:
        disk, place = await bench.volume(1), await _elsewhere(bench)
        await bench.driver.ensure(msgspec.structs.replace(bench.spec(ONE), volumes=(disk,)))

        with pytest.raises(Rejected):
            await bench.driver.hold_volume(ONE, place)
        await _followed(bench, place)
        await bench.driver.hold_volume(ONE, place)
        await bench.reopen()
        await bench.driver.init_host()
        for _ in range(2):
            assert await bench.driver.follow_volume(ONE, place)
            await bench.driver.hold_volume(ONE, place)
            await bench.driver.switch_volume(ONE, place)

        assert [disk.volume_id] == await bench.volumes(ONE)
        assert "running" == (await bench.driver.inspect(ONE)).power
        await bench.driver.unfollow_volume(ONE, disk.volume_id)
        assert await bench.driver.follow_volume(ONE, place)
        await self._becomes_another(bench, disk.volume_id)

    async def _becomes_another(self, bench: ComputeBench, of: str) -> None:
        """The running guest's disk becomes another volume, after it was to stay what it was."""
        other = await bench.volume(3)
        await _followed(bench, other, of)
        for _ in range(2):
            await bench.driver.unfollow_volume(ONE, other.volume_id)
        with pytest.raises(Rejected):
            await bench.driver.hold_volume(ONE, other, of)
        assert (of,) == (await bench.driver.inspect(ONE)).volumes

        await _followed(bench, other, of)
        for _ in range(2):
            await bench.driver.hold_volume(ONE, other, of)
        for _ in range(2):
            await bench.driver.switch_volume(ONE, other, of)
            assert await bench.driver.follow_volume(ONE, other, of)

        assert (other.volume_id,) == (await bench.driver.inspect(ONE)).volumes

    async def test_a_volume_that_shall_stay_stays_where_it_was(self, bench: ComputeBench) -> None:
        disk, place = await bench.volume(1), await _elsewhere(bench)
        await bench.driver.ensure(msgspec.structs.replace(bench.spec(ONE), volumes=(disk,)))

        for hold in (False, True):
            await _followed(bench, place)
            if hold:
                await bench.driver.hold_volume(ONE, place)
            for _ in range(2):
                await bench.driver.unfollow_volume(ONE, disk.volume_id)
            with pytest.raises(Rejected):
                await bench.driver.hold_volume(ONE, place)
            with pytest.raises(DriverError):
                await bench.driver.switch_volume(ONE, place)

        assert await bench.driver.follow_volume(ONE, disk)
        assert [disk.volume_id] == await bench.volumes(ONE)

    async def test_only_a_running_guest_can_be_followed_and_one_that_is_off_is_told(self, bench: ComputeBench) -> None:
        disk, place = await bench.volume(1), await _elsewhere(bench)
        spec = msgspec.structs.replace(bench.spec(ONE), volumes=(disk,))
        await bench.driver.ensure(spec, running=False)

        for id in (ONE, TWO):
            with pytest.raises(DriverError):
                await bench.driver.follow_volume(id, place)
            with pytest.raises(Rejected):
                await bench.driver.hold_volume(id, place)
            await bench.driver.unfollow_volume(id, disk.volume_id)
        await bench.driver.switch_volume(ONE, place)
        await bench.driver.ensure(msgspec.structs.replace(spec, volumes=(place,)))

        assert await bench.driver.follow_volume(ONE, place)
        with pytest.raises(DriverError):
            await bench.driver.follow_volume(ONE, await bench.volume(3))


async def _elsewhere(bench: ComputeBench) -> VolumeDisk:
    """The first volume in another place."""
    first, other = await bench.volume(1), await bench.volume(2)
    return msgspec.structs.replace(first, connection=other.connection)


async def _followed(bench: ComputeBench, place: VolumeDisk, of: str = "") -> None:
    for _ in range(600):
        if await bench.driver.follow_volume(ONE, place, of):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the volume was not copied in a minute")
