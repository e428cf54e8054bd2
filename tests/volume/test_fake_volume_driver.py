"""The pretending volume driver keeps the contract, with all capabilities and with none."""

import pytest

from micronova.errors import DriverError, NoSpace
from micronova.testing.volume_ground import export_spec, volume_spec
from micronova.testing.volume_group_kit import GroupDriverKit
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import Capabilities, FromFile, VolumeDriver
from micronova.volume.drivers.fake import FakeVolumeDriver, reached


class TestFakeVolumeDriver(VolumeDriverKit, GroupDriverKit):
    @pytest.fixture
    def driver(self) -> FakeVolumeDriver:
        return FakeVolumeDriver()

    async def fill(self, driver: VolumeDriver) -> None:
        driver.full = True


class TestFakeVolumeDriverOfFewWords(VolumeDriverKit, GroupDriverKit):
    @pytest.fixture
    def driver(self) -> FakeVolumeDriver:
        return FakeVolumeDriver(capabilities=Capabilities(protocol="file"))


async def test_it_refuses_as_often_as_told_and_leaves_nothing():
    driver = FakeVolumeDriver()
    driver.refuse("ensure", DriverError("broken"), times=2)

    for _ in range(2):
        with pytest.raises(DriverError, match="broken"):
            await driver.ensure(volume_spec(1))
        assert () == (await driver.list()).volumes

    assert 1 == (await driver.ensure(volume_spec(1))).size_gib


async def test_a_full_pool_refuses_to_grow_a_volume():
    driver = FakeVolumeDriver()
    await driver.ensure(volume_spec(1))
    driver.full = True

    with pytest.raises(NoSpace):
        await driver.extend(volume_spec(1).name, 2)


async def test_names_and_sizes_outlive_the_process(tmp_path):
    first = FakeVolumeDriver(memory=tmp_path / "volumes.json")
    await first.ensure(volume_spec(1, size_gib=3))
    await first.ensure_export(export_spec(1, 1))

    second = FakeVolumeDriver(memory=tmp_path / "volumes.json")

    assert await first.list() == await second.list()


async def test_data_in_the_middle_of_a_hole_are_read(tmp_path):
    file = tmp_path / "sparse"
    with file.open("wb") as out:
        out.truncate(2**20)
        for place in (4096 * 17, 4096 * 20, 2**19):
            out.seek(place)
            out.write(b"here")
    driver = FakeVolumeDriver()

    await driver.ensure(volume_spec(1, source=FromFile(str(file), "raw")))

    blocks = driver.pool.volume(volume_spec(1).name).blocks.data
    assert [1, 8] == sorted(blocks)
    assert (b"here", b"here") == (blocks[1][4096:4100], blocks[1][16384:16388])
    assert b"here" == blocks[8][:4]


async def test_a_power_cut_ends_exports_and_keeps_what_was_written():
    driver = FakeVolumeDriver()
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(export_spec(1, 1))
    driver.write(driver.behind(connection), {3: b"kept"})

    driver.power_cut()

    assert ("", {3: b"kept"}) == (driver.behind(connection), driver.pool.volume(volume_spec(1).name).blocks.data)
    with pytest.raises(DriverError):
        reached([driver], connection)
    assert await driver.ensure_export(export_spec(1, 1)) == connection
    assert {3: b"kept"} == reached([driver], connection).blocks.data
