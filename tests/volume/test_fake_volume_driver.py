"""The pretending volume driver keeps the contract, with all capabilities and with none."""

import pytest

from micronova.errors import DriverError, NoSpace
from micronova.testing.volume_ground import export_spec, volume_spec
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import Capabilities, VolumeDriver
from micronova.volume.drivers.fake import FakeVolumeDriver


class TestFakeVolumeDriver(VolumeDriverKit):
    @pytest.fixture
    def driver(self) -> FakeVolumeDriver:
        return FakeVolumeDriver()

    async def fill(self, driver: VolumeDriver) -> None:
        driver.full = True


class TestFakeVolumeDriverOfFewWords(VolumeDriverKit):
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
