"""Images on several hosts: chunks over the bus, verified copies, and their end."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from image_world import ANN, BARE, BOB, World, make_world, qcow2, stream

from micronova.errors import DriverError, HostUnreachable, NotFound, Rejected, WrongState
from micronova.image.cache import CHUNK
from micronova.image.changes import creation
from micronova.image.db import Image
from micronova.image.manager import ImageManager
from micronova.image.stores.fake import FakeStore
from micronova.image.stores.file import FileStore
from micronova.service import Service

DATA = os.urandom(CHUNK * 2 + 77)


class Far:
    """A second host of the same cloud with a store of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.store = FakeStore()
        self.images: ImageManager = world.another("host2", self.store)
        self.images._cache._files = FileStore(folder / "host2")  # host1's is in the state folder
        self.folder = folder / "host2"
        self.service = Service(world.runtime, [self.images], "host2")


@pytest.fixture
async def far(world: World, tmp_path: Path) -> AsyncIterator[Far]:
    made = Far(world, tmp_path)
    await made.service.start()
    yield made
    await made.service.stop()


async def test_another_host_brings_the_bytes_here_once(world: World, far: Far) -> None:
    id = await world.image(data=DATA)
    before = world.store.committed.copy()

    files = await asyncio.gather(*(far.images.local(ANN, id) for _ in range(5)))

    assert 1 == len(set(files_paths(files)))
    assert DATA == Path(files[0].path).read_bytes()
    assert ("raw", len(DATA), len(DATA)) == (files[0].format, files[0].size, files[0].virtual_size)
    assert before == world.store.committed
    world.store.refuse("read", DriverError("not needed any more"))
    assert files[0] == await far.images.local(ANN, id)


def files_paths(files: list[object]) -> list[str]:
    return [file.path for file in files]  # type: ignore[attr-defined]


async def test_a_download_finds_the_bytes_wherever_they_are(world: World, far: Far) -> None:
    made = await far.images.create(ANN, creation({"name": "far", **BARE}))
    await far.images.upload(ANN, made.id, stream([DATA[:1000], DATA[1000:]]), len(DATA))

    reply = await world.client.get(f"/image/v2/images/{made.id}/file")

    assert DATA == reply.body
    assert not world.store.committed


async def test_bytes_on_a_host_that_is_down_are_told_as_such(world: World, far: Far) -> None:
    made = await far.images.create(ANN, creation(dict(BARE)))
    await far.images.upload(ANN, made.id, stream([b"x"]))
    await far.service.stop()

    reply = await world.client.get(f"/image/v2/images/{made.id}/file")

    assert 503 == reply.status
    with pytest.raises(HostUnreachable):
        await world.images.local(ANN, made.id)


async def test_deleting_removes_the_bytes_on_their_host(world: World, far: Far) -> None:
    made = await far.images.create(ANN, creation(dict(BARE)))
    await far.images.upload(ANN, made.id, stream([b"x"]))

    await world.images.delete(ANN, made.id)

    for _ in range(500):
        if not far.store.committed:
            break
        await asyncio.sleep(0.01)
    assert not far.store.committed


async def test_damaged_bytes_are_not_used_and_not_kept(world: World, far: Far) -> None:
    id = await world.image(data=DATA)
    location = next(iter(world.store.committed))
    world.store.committed[location] = b"evil" + DATA[4:]

    with pytest.raises(DriverError, match="damaged"):
        await far.images.local(ANN, id)

    assert [] == await FileStore(far.folder).names()
    world.store.committed[location] = DATA
    assert DATA == Path((await far.images.local(ANN, id)).path).read_bytes()


async def test_bytes_that_end_too_early_are_damaged(world: World, far: Far) -> None:
    id = await world.image(data=DATA)
    location = next(iter(world.store.committed))
    world.store.committed[location] = DATA[:-5]

    with pytest.raises(DriverError, match="damaged"):
        await far.images.local(ANN, id)


async def test_a_fetch_goes_on_when_the_first_who_wanted_it_gives_up(world: World, far: Far) -> None:
    id = await world.image(data=DATA)
    world.store.delay = 0.02
    first = asyncio.create_task(far.images.local(ANN, id))
    await asyncio.sleep(0)
    second = asyncio.create_task(far.images.local(ANN, id))
    await asyncio.sleep(0.01)
    first.cancel()

    file = await second

    assert DATA == Path(file.path).read_bytes()
    assert first.cancelled()


async def test_copies_of_deleted_images_are_freed(world: World, far: Far) -> None:
    kept, gone = await world.image(data=DATA), await world.image(data=b"other")
    await far.images.local(ANN, kept)
    await far.images.local(ANN, gone)
    await world.images.delete(ANN, gone)

    await far.images.reconcile(far.service.ctx)

    assert 1 == len(await FileStore(far.folder).names())
    assert await far.images.local(ANN, kept)


async def test_an_upload_of_a_host_that_is_down_is_settled_by_others(world: World, far: Far) -> None:
    made = await far.images.create(ANN, creation(dict(BARE)))
    db, ctx = world.runtime.db, world.service.ctx
    await db.write(lambda tx: far.images._begin(tx, ctx, made.id, None, "lost"), ctx, why="to be lost")
    await world.images.reconcile(ctx)
    assert "saving" == (await world.shown(made.id))["status"]

    await far.service.stop()
    await world.images.reconcile(ctx)

    assert "queued" == (await world.shown(made.id))["status"]


async def test_only_those_who_see_an_image_get_it_and_only_when_active(world: World) -> None:
    id = await world.image(data=DATA, visibility="private")
    empty = await world.image(visibility="private")

    with pytest.raises(NotFound):
        await world.images.local(BOB, id)
    with pytest.raises(WrongState):
        await world.images.local(ANN, empty)
    await world.images.deactivate(ANN, id)
    with pytest.raises(WrongState):
        await world.images.local(ANN, id)


async def test_a_store_of_files_gives_its_own_file(tmp_path: Path) -> None:
    world = make_world(tmp_path, store=FileStore(tmp_path / "images"))  # type: ignore[arg-type]
    id = await world.image(data=qcow2(), disk_format="qcow2", kernel_id="k")

    file = await world.images.local(ANN, id)

    assert str(tmp_path / "images") == str(Path(file.path).parent)
    assert ("qcow2", 1 << 30, {"kernel_id": "k"}) == (file.format, file.virtual_size, file.properties)


async def test_what_the_row_says_of_the_bytes_stays_inside(world: World) -> None:
    id = await world.image(data=b"x")
    image: Image = await world.images.get(ANN, id)

    shown = await world.shown(id)

    assert image.location
    assert not {"location", "store_host", "content", "revision"} & set(shown)
    assert image == msgspec.json.decode(msgspec.json.encode(image), type=Image)


async def test_an_unopenable_image_is_refused_before_it_travels(world: World, far: Far) -> None:
    id = await world.image(data=DATA, disk_format="vmdk")

    with pytest.raises(Rejected):
        await far.images.local(ANN, id)

    assert [] == await FileStore(far.folder).names()
