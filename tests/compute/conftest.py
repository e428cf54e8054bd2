"""Clouds for tests of servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute.server_world import ServerWorld


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[ServerWorld]:
    """Two hosts that serve, with an image, a network, two flavors and a key pair."""
    world = ServerWorld(tmp_path)
    await world.open("h1", "h2")
    yield world
    await world.close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[ServerWorld]:
    """One host that holds little, in a cloud that allows little."""
    world = ServerWorld(tmp_path, quota__instances=3, quota__cores=20, compute__reserved_ram_mib=0)
    await world.open("h1", ram_mib=512, vcpus=4, disk_gib=20)
    yield world
    await world.close()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[ServerWorld]:
    """A cloud of one host that serves, and its API."""
    world = ServerWorld(tmp_path)
    await world.open("h1")
    yield world
    await world.close()
