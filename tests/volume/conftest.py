"""Clouds for tests of volumes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from volume.s3_server import S3Server
from volume.volume_world import World

from micronova.volume.drivers.backup_s3 import S3BackupStore


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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that speaks S3."""
    with S3Server(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(scope="session")
def bucket(server: S3Server) -> S3BackupStore:
    """A store in its bucket, for all tests: its client takes a while to be made."""
    return server.store()
