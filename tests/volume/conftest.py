"""Clouds for tests of volumes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from volume.volume_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One host with one back end."""
    made = World(tmp_path)
    await made.open("h1")
    yield made
    await made.close()


@pytest.fixture
async def wide(tmp_path: Path) -> AsyncIterator[World]:
    """Two hosts with two back ends each, in a cloud that allows little."""
    made = World(tmp_path, ("slow", "fast"), quota__volumes=5, quota__gigabytes=20, quota__snapshots=2)
    await made.open("h1", "h2")
    yield made
    await made.close()
