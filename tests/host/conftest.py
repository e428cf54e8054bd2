"""Fixtures for tests on a host that is a network namespace, and for those with real guests."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from netlab import Lab, enter, need_tools
from qemu_bench import QemuBench

from micronova.clock import SystemClock
from micronova.errors import DriverError
from micronova.guestimage import tiny
from micronova.network.drivers.linux.driver import LinuxNetworkDriver


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    need_tools()
    with Lab(tmp_path).running() as lab:
        yield lab


@pytest.fixture
async def driver(lab: Lab, tmp_path: Path) -> AsyncIterator[LinuxNetworkDriver]:
    driver = LinuxNetworkDriver(tmp_path / "network", SystemClock())
    try:
        await driver.init_host()
        yield driver
    finally:
        await driver.erase()
        await driver.close()


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that QEMU's user can reach, which pytest's own temporary folders are not."""
    with tempfile.TemporaryDirectory(prefix="micronova-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def image(place: Path) -> tiny.TinyImage:
    try:
        return asyncio.run(tiny.build(place / "images"))
    except DriverError as err:
        pytest.skip(str(err))


@pytest.fixture
def apart(image: tiny.TinyImage) -> Iterator[None]:
    """The test's thread, and what it starts, is in a network namespace of its own; the image is fetched before."""
    path = Path("/run/netns") / f"qemu-{SystemClock().new_id()[:8]}"
    subprocess.run(["ip", "netns", "add", path.name], check=True, timeout=20)
    try:
        with enter(path):
            yield
    finally:
        subprocess.run(["ip", "netns", "delete", path.name], check=False, timeout=20)


@pytest.fixture
async def bench(place: Path, image: tiny.TinyImage, apart: None) -> AsyncIterator[QemuBench]:
    bench = QemuBench(place / "state", image)
    await bench.driver.init_host()
    try:
        yield bench
    finally:
        await bench.erase()
