"""The image room's world for its tests."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from image_world import World, make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A running image service with a store in memory."""
    made = make_world(tmp_path)
    await made.runtime.bus.start()
    await made.service.start()
    yield made
    await made.service.stop()
    await made.runtime.bus.stop()
