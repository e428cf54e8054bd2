"""The identity room's world for its tests."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from identity_world import Cloud


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """A cloud that is identity only, with an administrator and user demo, logged in."""
    made = Cloud(tmp_path_factory.mktemp("identity"))
    asyncio.run(made.start())
    return made


@pytest.fixture
async def cloud(started: Cloud) -> Cloud:
    """The same as it was after its start."""
    await started.restore()
    return started
