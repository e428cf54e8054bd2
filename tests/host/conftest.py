"""Fixtures for tests on a host that is a network namespace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from netlab import Lab, need_tools

from micronova.clock import SystemClock
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
