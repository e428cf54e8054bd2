"""The bytes of images over HTTP: uploads that end well and those that don't, downloads whole and in part."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from image_world import World, make_world, qcow2, vmdk

from micronova.errors import DriverError, NoSpace, Rejected
from micronova.image.stores.fake import FakeStore

IMAGES = "/image/v2/images"


def size_of(world: World) -> tuple[int, int]:
    return len(world.store.committed), len(world.store.incoming)


async def test_bytes_that_went_up_come_down(world: World) -> None:
    data = bytes(range(256)) * 8192  # two pieces
    id = await world.image()

    sent = await world.upload(id, [data[i : i + 65536] for i in range(0, len(data), 65536)])

    image = await world.shown(id)
    got = await world.client.get(f"{IMAGES}/{id}/file")
    assert (204, 200) == (sent.status, got.status)
    assert data == got.body
    md5, sha512 = hashlib.md5(data).hexdigest(), hashlib.sha512(data).hexdigest()
    assert ("active", len(data), md5, "sha512", sha512, len(data), "file") == tuple(
        image[key] for key in ("status", "size", "checksum", "os_hash_algo", "os_hash_value", "virtual_size", "stores")
    )
    assert (str(len(data)), md5) == (got.headers["content-length"], got.headers["content-md5"])
    assert "application/octet-stream" == got.headers["content-type"]


async def test_an_image_without_bytes_has_no_content(world: World) -> None:
    id = await world.image()

    reply = await world.client.get(f"{IMAGES}/{id}/file")

    assert (204, b"") == (reply.status, reply.body)


async def test_an_image_of_no_bytes_is_active_but_of_no_use(world: World) -> None:
    id = await world.image(data=b"")

    image = await world.shown(id)
    assert ("active", 0) == (image["status"], image["size"])
    assert b"" == (await world.client.get(f"{IMAGES}/{id}/file")).body
    with pytest.raises(Rejected, match="empty"):
        await world.images.local(world.service.ctx, id)


@pytest.mark.parametrize(
    ("wanted", "told", "expected"),
    [
        ("bytes=0-3", "bytes 0-3/10", b"0123"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=-2", "bytes 8-9/10", b"89"),
        ("bytes=-99", "bytes 0-9/10", b"0123456789"),
        ("bytes=8-99", "bytes 8-9/10", b"89"),
    ],
)
async def test_a_part_can_be_had(world: World, wanted: str, told: str, expected: bytes) -> None:
    id = await world.image(data=b"0123456789")

    reply = await world.client.get(f"{IMAGES}/{id}/file", headers={"range": wanted})

    assert (206, told, expected) == (reply.status, reply.headers["content-range"], reply.body)
    assert str(len(expected)) == reply.headers["content-length"]
    assert "content-md5" not in reply.headers


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=5-4", "bytes=-", "bytes=1-2,4-5", "lines=1-2"])
async def test_a_part_that_is_not_there_is_refused(world: World, wanted: str) -> None:
    id = await world.image(data=b"0123456789")

    assert 416 == (await world.client.get(f"{IMAGES}/{id}/file", headers={"range": wanted})).status


async def test_bytes_are_taken_once(world: World) -> None:
    id = await world.image(data=b"first")

    again = await world.upload(id, b"second")

    assert 409 == again.status
    assert "Image status transition from active to saving is not allowed" in again.text
    assert b"first" == (await world.client.get(f"{IMAGES}/{id}/file")).body


async def test_bytes_need_formats_first(world: World) -> None:
    id = await world.image(disk_format=None)

    reply = await world.upload(id, b"x")

    assert 400 == reply.status
    assert "Property disk_format must be set prior to saving data." in reply.text


async def test_bytes_of_another_type_are_refused(world: World) -> None:
    id = await world.image()

    reply = await world.client.put(f"{IMAGES}/{id}/file", body=b"{}", headers={"content-type": "application/json"})

    assert 415 == reply.status


async def failed(world: World, id: str) -> bool:
    """Whether nothing is left of an upload, and the image waits for the next."""
    image = await world.shown(id)
    shown = tuple(image[key] for key in ("status", "size", "checksum", "os_hash_value"))
    return await world.emptied() and shown == ("queued", None, None, None)


async def test_a_broken_connection_leaves_nothing(world: World) -> None:
    id = await world.image()

    await world.upload(id, [b"x" * 100, b"y" * 100], lost=True)

    assert await failed(world, id)
    assert 204 == (await world.upload(id, b"whole")).status


async def test_fewer_bytes_than_were_promised_leave_nothing(world: World) -> None:
    id = await world.image()
    headers = {"content-type": "application/octet-stream", "content-length": "500"}

    reply = await world.client.put(f"{IMAGES}/{id}/file", body=[b"x" * 100], headers=headers)

    assert 400 == reply.status
    assert "ended after 100 of 500 bytes" in reply.text
    assert await failed(world, id)


async def test_a_full_store_is_told_and_leaves_nothing(world: World) -> None:
    world.store.room = 1000
    id = await world.image()

    reply = await world.upload(id, b"x" * 2000)

    assert 413 == reply.status
    assert "Image storage media is full" in reply.text
    assert await failed(world, id)


@pytest.mark.parametrize("operation", ["begin", "append", "commit"])
@pytest.mark.parametrize("error", [DriverError("the disk is on fire"), NoSpace("full")])
async def test_a_store_that_refuses_leaves_nothing(world: World, operation: str, error: DriverError) -> None:
    id = await world.image()
    world.store.refuse(operation, error)

    reply = await world.upload(id, b"x" * 2000)

    assert reply.status in (413, 500)
    assert await failed(world, id)
    assert 204 == (await world.upload(id, b"x" * 2000)).status


async def test_an_image_that_is_too_large_is_refused_before_and_while_it_comes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.images._reception._most = 1 << 20
    id = await world.image()

    told = await world.upload(id, b"x" * (1 << 20) + b"y")
    untold = await world.upload(id, [b"x" * (1 << 20), b"x" * (1 << 20)])

    assert (413, 413) == (told.status, untold.status)
    assert "too large" in told.text
    assert "queued" == (await world.shown(id))["status"]
    await world.service.start()
    assert await world.emptied()
    await world.service.stop()


@pytest.mark.parametrize(
    ("disk_format", "data"),
    [
        ("qcow2", qcow2(backing=104)),
        ("raw", qcow2(backing=104)),
        ("qcow2", qcow2(features=4)),
        ("vmdk", vmdk(extent='RW 2048 FLAT "/etc/shadow" 0')),
        ("qcow2", qcow2(virtual_size=2**63)),
    ],
)
async def test_an_unsafe_image_is_refused_and_may_be_replaced(world: World, disk_format: str, data: bytes) -> None:
    id = await world.image(disk_format=disk_format)

    reply = await world.upload(id, data)

    assert 400 == reply.status
    assert "not safe to open" in reply.text
    assert await failed(world, id)


async def test_what_is_not_what_it_says_is_kept_but_never_opened(world: World) -> None:
    id = await world.image(disk_format="qcow2", data=bytes(1 << 20))

    image = await world.shown(id)

    assert ("active", 1 << 20) == (image["status"], image["size"])
    assert 204 == (await world.client.post(f"{IMAGES}/{id}/actions/deactivate")).status
    assert 204 == (await world.client.post(f"{IMAGES}/{id}/actions/reactivate")).status
    with pytest.raises(Rejected, match="says it is qcow2, but its content is raw"):
        await world.images.local(world.service.ctx, id)


async def test_a_deactivated_image_is_only_for_administrators(world: World) -> None:
    id = await world.image(data=b"x")
    path = f"{IMAGES}/{id}"

    assert [204, 204] == [(await world.client.post(f"{path}/actions/deactivate")).status for _ in range(2)]
    assert "deactivated" == (await world.shown(id))["status"]
    assert 403 == (await world.client.get(f"{path}/file")).status
    assert 200 == (await world.client.get(f"{path}/file", token="admin")).status
    assert 204 == (await world.client.post(f"{path}/actions/reactivate")).status
    assert b"x" == (await world.client.get(f"{path}/file")).body


async def test_only_active_images_are_deactivated(world: World) -> None:
    id = await world.image()

    for action in ("deactivate", "reactivate"):
        reply = await world.client.post(f"{IMAGES}/{id}/actions/{action}")

        assert 403 == reply.status
        assert f"Not allowed to {action} image in status 'queued'" in reply.text


async def test_a_reader_may_not_take_the_bytes(world: World) -> None:
    id = await world.image(data=b"x")

    assert 403 == (await world.client.get(f"{IMAGES}/{id}/file", token="reader")).status
    assert 404 == (await world.client.get(f"{IMAGES}/{id}/file", token="bob")).status


async def test_deleting_an_image_removes_its_bytes(world: World) -> None:
    id = await world.image(data=b"x")
    assert (1, 0) == size_of(world)

    assert 204 == (await world.client.delete(f"{IMAGES}/{id}")).status

    assert await world.emptied()


async def test_a_deletion_during_the_upload_wins(world: World) -> None:
    id = await world.image()
    world.store.delay = 0.05
    upload = asyncio.create_task(world.upload(id, b"x" * 100))
    for _ in range(500):
        if world.store.incoming:
            break
        await asyncio.sleep(0.005)

    gone = await world.client.delete(f"{IMAGES}/{id}")
    sent = await upload

    assert 204 == gone.status
    assert sent.status in (410, 500)
    assert await world.emptied()
    assert 404 == (await world.client.get(f"{IMAGES}/{id}")).status


async def test_two_uploads_at_once_leave_one(world: World) -> None:
    id = await world.image()
    world.store.delay = 0.01

    replies = await asyncio.gather(world.upload(id, b"one"), world.upload(id, b"two"))

    assert [204, 409] == sorted(reply.status for reply in replies)
    assert (1, 0) == size_of(world)


async def test_an_interrupted_upload_is_settled_at_the_next_start(world: World) -> None:
    id = await world.image()
    world.store.delay = 0.05
    upload = asyncio.create_task(world.upload(id, b"x" * 100))
    for _ in range(500):
        if world.store.incoming:
            break
        await asyncio.sleep(0.005)
    upload.cancel()
    await asyncio.wait([upload])

    assert await failed(world, id)


async def test_bytes_lost_by_a_crash_are_settled_by_the_next_life(tmp_path: Path) -> None:
    store = FakeStore()
    world = make_world(tmp_path, store)
    id = await world.image()
    await store.begin("half-taken")
    image = await world.runtime.db.write(
        lambda tx: world.images._begin(tx, world.service.ctx, id, None, "lost"), world.service.ctx, why="crash to come"
    )
    await store.begin(image.location)
    assert "saving" == (await world.shown(id))["status"]

    after = World(world.runtime, store)
    await after.service.start()

    assert "queued" == (await after.shown(id))["status"]
    assert await after.emptied()
    await after.service.stop()


# -- staged first, imported then


async def stage(world: World, id: str, data: bytes) -> int:
    headers = {"content-type": "application/octet-stream"}
    return (await world.client.put(f"{IMAGES}/{id}/stage", body=data, headers=headers)).status


async def import_it(world: World, id: str, token: str = "ann") -> int:
    body = {"method": {"name": "glance-direct"}}
    return (await world.client.post(f"{IMAGES}/{id}/import", json=body, token=token)).status


async def test_staged_bytes_become_the_images_by_import(world: World) -> None:
    id = await world.image()

    assert 204 == await stage(world, id, b"0123")
    assert "uploading" == (await world.shown(id))["status"]
    assert 204 == (await world.client.get(f"{IMAGES}/{id}/file")).status
    assert 202 == await import_it(world, id)

    assert "active" == (await world.shown(id))["status"]
    assert b"0123" == (await world.client.get(f"{IMAGES}/{id}/file")).body


async def test_staged_bytes_survive_a_restart_and_go_with_the_image(world: World) -> None:
    id = await world.image()
    await stage(world, id, b"0123")

    await World(world.runtime, world.store).images.init_host(world.service.ctx)

    assert "uploading" == (await world.shown(id))["status"]
    assert 409 == (await world.upload(id, b"x")).status
    assert 204 == (await world.client.delete(f"{IMAGES}/{id}")).status
    assert await world.emptied()


async def test_unsafe_bytes_are_not_even_staged(world: World) -> None:
    id = await world.image(disk_format="qcow2")

    assert 400 == await stage(world, id, qcow2(backing=104))
    assert await failed(world, id)


@pytest.mark.parametrize("body", [{}, {"method": "x"}, {"method": {}}, {"method": {"name": "web-download"}}, []])
async def test_a_wrong_import_is_refused(world: World, body: object) -> None:
    id = await world.image()

    assert 400 == (await world.client.post(f"{IMAGES}/{id}/import", json=body)).status


async def test_only_what_was_staged_completely_is_imported(world: World) -> None:
    queued, active = await world.image(), await world.image(data=b"x")
    formless = await world.image(disk_format=None)
    await stage(world, formless, b"x")

    assert [409, 409, 409] == [await import_it(world, id) for id in (queued, active, formless)]
    assert 404 == await import_it(world, await world.image(visibility="private"), token="bob")
