"""The file driver keeps the contract: thin files and storage daemons, and files in a folder that hosts share."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.testing.volume_group_kit import GroupDriverKit
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import VolumeDriver
from micronova.volume.drivers.file.driver import FileVolumeDriver
from micronova.volume.drivers.file.options import FileOptions

NEEDED = ("qemu-img", "qemu-storage-daemon", "setpriv", "setsid")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]


class FileKit(VolumeDriverKit, GroupDriverKit):
    options = FileOptions()

    @pytest.fixture
    async def driver(self, tmp_path: Path) -> AsyncIterator[FileVolumeDriver]:
        driver = self.fresh(tmp_path)
        await driver.init_host()
        self.made = [driver]
        try:
            yield driver
        finally:
            await self.made[-1].erase()

    def fresh(self, folder: Path) -> FileVolumeDriver:
        return FileVolumeDriver(folder / "volumes", SystemClock(), self.options)

    async def restarted(self, driver: VolumeDriver) -> VolumeDriver:
        await driver.close()
        self.made.append(self.fresh(self.folder))
        await self.made[-1].init_host()
        return self.made[-1]

    async def fill(self, driver: VolumeDriver) -> None:
        assert isinstance(driver, FileVolumeDriver)
        driver.options = FileOptions(reserve_mib=1 << 40)


class TestRawFiles(FileKit):
    """Raw files, with qcow2 layers on them where the file system can't share blocks."""


class TestQcow2Files(FileKit):
    options = FileOptions(format="qcow2")


class TestASharedFolder(FileKit):
    options = FileOptions(shared=True)
