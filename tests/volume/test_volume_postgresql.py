"""Many at once on PostgreSQL: one truth per attachment, quotas that rows keep, on real concurrent transactions."""

import asyncio

import pytest
from volume.volume_world import ADMIN, ALICE, HERE, POLICY, World

from micronova.clock import SystemClock
from micronova.db import Database
from micronova.db.postgresql import PostgreSQL
from micronova.errors import QuotaExceeded, WrongState
from micronova.image.db import ROWS as IMAGE_ROWS
from micronova.image.manager import ImageManager
from micronova.manager import Runtime
from micronova.testing.ground import make_tables
from micronova.testing.servers import PostgresServer, find_postgres
from micronova.volume.contract import AttachRequest
from micronova.volume.db import ROWS, Attachment, Volume
from micronova.volume.drivers.fake import FakeVolumeDriver
from micronova.volume.listing import Query
from micronova.volume.manager import VolumeManager
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is not installed")]


@pytest.fixture(scope="module")
def server():
    made = PostgresServer()
    made.start()
    yield made
    made.close()


@pytest.fixture
async def world(server, tmp_path):
    """A cloud whose rows are in PostgreSQL."""
    made = World(tmp_path, quota__volumes=6, quota__gigabytes=30)
    engine = PostgreSQL(server.dsn(server.new_database()), durable=False)
    make_tables(engine, (*ROWS, *IMAGE_ROWS))
    made.db = Database(engine, SystemClock())
    made.runtime = Runtime(made.runtime.config, made.runtime.clock, made.runtime.bus, made.db)
    await made.open("h1")
    yield made
    await made.close()
    made.db.close()


async def test_what_is_asked_of_rows_is_answered_by_postgresql(world):
    volume = await world.volume(size_gib=2, metadata={"a": "b"})
    taken = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.when(lambda: world.snapshot_row(taken.id), lambda row: row.status == "available")
    await world.attached(volume)
    await world.restart()

    shares = await world.volumes.quota_sets.shares(ALICE, ALICE.project_id)
    query = Query(where={"bootable": False}, tests=(lambda row: row.metadata == {"a": "b"},))
    views, page = await world.volumes.find(ALICE, query)

    assert (1, 4, 1) == (shares["volumes"].in_use, shares["gigabytes"].in_use, shares["snapshots"].in_use)
    assert ([volume.id], 1) == ([view.row.id for view in views], page.count)
    assert [] == await world.volumes.audit(ADMIN)


async def test_many_servers_want_a_volume_and_one_gets_it(world):
    volume = await world.volume()
    servers = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(12)]

    results = await asyncio.gather(
        *(world.volumes.reserve(ALICE, AttachRequest(volume_id=volume.id, server_id=one)) for one in servers),
        return_exceptions=True,
    )

    got = [one for one in results if not isinstance(one, Exception)]
    assert 1 == len(got) == len(await world.rows(Attachment))
    assert all(isinstance(one, WrongState) for one in results if isinstance(one, Exception))
    await world.volumes.connect(ALICE, got[0].id, HERE)


async def test_a_quota_holds_for_many_at_once(world):
    results = await asyncio.gather(
        *(world.volumes.create(ALICE, NewVolume(size_gib=1)) for _ in range(12)), return_exceptions=True
    )

    assert 6 == sum(not isinstance(one, Exception) for one in results)
    assert all(isinstance(one, QuotaExceeded) for one in results if isinstance(one, Exception))
    assert 6 == len(await world.rows(Volume))


async def test_another_host_and_another_database_are_taken(world):
    runtime = World(world.folder / "other").runtime
    image = ImageManager(runtime, driver=world.store, policy=POLICY)

    manager = VolumeManager(runtime, "h7", world.db, drivers={"file": FakeVolumeDriver()}, image=image, policy=POLICY)
    await manager.init_host(ADMIN)

    assert ("h7", world.db) == (manager.host, manager.db)
    assert {"h1@file#file", "h7@file#file"} == {view.row.id for view in await manager.all_pools(ADMIN)}
