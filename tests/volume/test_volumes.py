"""Volumes from request to removal: made from each kind of source, given up, let go; and what failure leaves."""

import pytest
from volume.volume_world import ADMIN, ALICE, BOB, NOWHERE, READER, SERVER

from micronova.errors import BadRequest, DriverError, Forbidden, NotFound, QuotaExceeded, Rejected, WrongState
from micronova.testing.volume_ground import taken
from micronova.volume.changes import Reset
from micronova.volume.contract import AttachRequest
from micronova.volume.copies import Upload
from micronova.volume.db import Message, Placement, Volume
from micronova.volume.driver import FromVolume
from micronova.volume.managed import Adoption
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume


async def data(world, volume, length=8):
    path = str(world.folder / "look")
    await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((0, length),))[0]


# -- made


async def test_a_blank_volume_is_made_on_its_back_end(world):
    volume = await world.volume(size_gib=3)

    there = await world.driver.list()
    placed = await world.rows(Placement, volume_id=volume.id)
    assert [(volume.id, 3)] == [(one.name, one.size_gib) for one in there.volumes]
    assert ("h1", "file", "nova") == (volume.host, volume.backend, volume.zone)
    assert "has the most room of 1" in placed[0].message


async def test_a_volume_from_an_image_has_its_bytes_and_can_be_booted_from(world):
    image_id = await world.image(b"boot me!" * 100)

    volume = await world.volume(image_id=image_id)

    assert volume.bootable
    assert (image_id, "none") == (volume.image_metadata["image_id"], volume.image_metadata["os_distro"])
    assert b"boot me!" == await data(world, volume)


async def test_a_volume_from_a_volume_takes_size_bytes_and_bootable_from_it(world):
    origin = await world.volume(size_gib=2, image_id=await world.image(b"original"))

    copy = await world.volume(size_gib=None, source_volume_id=origin.id)

    assert (2, True) == (copy.size_gib, copy.bootable)
    assert b"original" == await data(world, copy)


async def test_a_volume_from_a_snapshot_has_the_bytes_of_that_moment(world):
    origin = await world.volume(image_id=await world.image(b"original"))
    snapshot = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=origin.id))
    await world.when(lambda: world.snapshot_row(snapshot.id), lambda row: row.status == "available")

    copy = await world.volume(size_gib=None, snapshot_id=snapshot.id)

    assert b"original" == await data(world, copy)
    assert copy.bootable


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"size_gib": 0}, BadRequest),
        ({"size_gib": None}, BadRequest),
        ({"zone": "elsewhere"}, BadRequest),
        ({"type_ref": "nothing"}, NotFound),
        ({"image_id": NOWHERE}, BadRequest),
        ({"snapshot_id": NOWHERE}, NotFound),
        ({"source_volume_id": NOWHERE}, NotFound),
        ({"backup_id": NOWHERE}, NotFound),
        ({"snapshot_id": NOWHERE, "source_volume_id": NOWHERE}, BadRequest),
        ({"multiattach": True}, BadRequest),
    ],
)
async def test_what_can_not_be_made_is_refused_and_leaves_no_row(world, fields, error):
    with pytest.raises(error):
        await world.volumes.create(ALICE, NewVolume(**{"size_gib": 1, **fields}))

    assert [] == await world.rows(Volume)


async def test_a_reader_makes_no_volumes(world):
    with pytest.raises(Forbidden):
        await world.volumes.create(READER, NewVolume(size_gib=1))


async def test_a_volume_smaller_than_its_source_is_refused(world):
    origin = await world.volume(size_gib=2)

    with pytest.raises(BadRequest):
        await world.volumes.create(ALICE, NewVolume(size_gib=1, source_volume_id=origin.id))


async def test_another_projects_volume_is_not_found(world):
    volume = await world.volume()

    for call in (
        world.volumes.get(BOB, volume.id),
        world.volumes.delete(BOB, volume.id),
        world.volumes.create(BOB, NewVolume(size_gib=1, source_volume_id=volume.id)),
        world.volumes.reserve(BOB, AttachRequest(volume_id=volume.id, server_id=SERVER)),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_refused_build_is_told_in_the_row_and_in_a_message(world):
    world.driver.refuse("ensure", Rejected("never, at /secret/path"))

    made = await world.volumes.create(ALICE, NewVolume(size_gib=1))
    volume = await world.until(made.row.id, "error")

    messages = await world.rows(Message, resource_id=volume.id)
    assert ["create volume:The back end could not do it."] == [one.text for one in messages]
    assert () == (await world.driver.list()).volumes


async def test_a_build_that_fails_for_now_is_repeated(world):
    world.driver.refuse("ensure", DriverError("busy"), times=2)

    volume = await world.volume()

    assert "available" == volume.status


async def test_a_volume_that_fits_nowhere_is_in_error_with_the_reason(wide):
    made = await wide.volumes.create(ADMIN, NewVolume(size_gib=20))
    await wide.volumes.types.create(ADMIN, {"name": "tape", "extra_specs": {"volume_backend_name": "tape"}})

    nowhere = await wide.volumes.create(ALICE, NewVolume(size_gib=1, type_ref="tape"))

    placed = await wide.rows(Placement, volume_id=nowhere.row.id)
    assert "error" == nowhere.row.status
    assert "h1@fast#fast has volume_backend_name fast, not tape" in placed[0].message
    await wide.volumes.delete(ALICE, nowhere.row.id)
    await wide.gone(nowhere.row.id)
    assert made.row.host


async def test_a_type_chooses_the_back_end(wide):
    await wide.volumes.types.create(ADMIN, {"name": "quick", "extra_specs": {"volume_backend_name": "fast"}})

    volume = await wide.volume(type_ref="quick")

    assert "fast" == volume.backend


async def test_volumes_spread_over_hosts_and_back_ends(wide):
    made = [await wide.volume(size_gib=4) for _ in range(4)]

    assert 4 == len({(one.host, one.backend) for one in made})


async def test_the_build_is_done_by_the_host_that_was_chosen_also_after_its_restart(wide):
    await wide.hosts["h2"].stop()
    await wide.volumes.freeze(ADMIN, "h1", frozen=True)
    made = (await wide.volumes.create(ALICE, NewVolume(size_gib=1))).row
    assert ("error", "") == (made.status, made.host)

    await wide.hosts["h2"].start()
    volume = await wide.volume()

    assert "h2" == volume.host


# -- quotas


async def test_quotas_count_rows(wide):
    await wide.volume(size_gib=15)
    with pytest.raises(QuotaExceeded, match="Requested 6G, quota is 20G and 15G"):
        await wide.volumes.create(ALICE, NewVolume(size_gib=6))
    for _ in range(4):
        await wide.volume(size_gib=1)

    with pytest.raises(QuotaExceeded, match="Maximum number of volumes"):
        await wide.volumes.create(ALICE, NewVolume(size_gib=1))

    assert (await wide.volume(BOB)).project_id == BOB.project_id


async def test_a_type_has_quotas_of_its_own(world):
    await world.volumes.quota_sets.update(ADMIN, ALICE.project_id, {"volumes___DEFAULT__": 1})
    await world.volume()

    with pytest.raises(QuotaExceeded):
        await world.volumes.create(ALICE, NewVolume(size_gib=1))


# -- given up


async def test_a_deleted_volume_leaves_nothing(world):
    volume = await world.volume()

    await world.volumes.delete(ALICE, volume.id)
    await world.gone(volume.id)

    assert () == (await world.driver.list()).volumes
    assert [] == await world.rows(Placement)


async def test_a_volume_can_be_given_up_while_it_is_made(world):
    world.driver.slow(30, operation="ensure")
    made = (await world.volumes.create(ALICE, NewVolume(size_gib=1))).row
    await world.when(world.driver.list, lambda there: bool(there.volumes))
    world.driver.slow(0, operation="ensure")

    await world.volumes.delete(ADMIN, made.id, force=True)
    await world.gone(made.id)

    assert () == (await world.driver.list()).volumes


async def test_a_volume_in_use_stays(world):
    volume = await world.volume()
    await world.attached(volume)

    with pytest.raises(WrongState):
        await world.volumes.delete(ALICE, volume.id)


async def test_a_volume_with_snapshots_goes_with_them_or_not_at_all(world):
    volume = await world.volume()
    for _ in range(3):
        await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.idle()
    with pytest.raises(WrongState):
        await world.volumes.delete(ALICE, volume.id)

    await world.volumes.delete(ALICE, volume.id, cascade=True)
    await world.gone(volume.id)

    there = await world.driver.list()
    assert ((), ()) == (there.volumes, there.snapshots)


async def test_a_removal_that_fails_for_good_is_told_and_can_be_asked_for_again(world):
    volume = await world.volume()
    world.driver.refuse("remove", Rejected("no"))
    await world.volumes.delete(ALICE, volume.id)
    await world.until(volume.id, "error_deleting")

    await world.volumes.reset(ADMIN, volume.id, Reset(status="error"))
    await world.volumes.delete(ALICE, volume.id)

    await world.gone(volume.id)


async def test_a_source_stays_while_it_is_copied(world):
    origin = await world.volume()
    world.driver.slow(0.05, operation="ensure")
    copy = (await world.volumes.create(ALICE, NewVolume(size_gib=1, source_volume_id=origin.id))).row

    with pytest.raises(WrongState):
        await world.volumes.delete(ALICE, origin.id)

    await world.until(copy.id, "available")


# -- images


async def test_a_volume_becomes_an_image(world):
    volume = await world.volume(image_id=await world.image(b"there and back"))

    _, image_id = await world.volumes.upload(ALICE, volume.id, Upload(name="copy", disk_format="qcow2"))
    await world.until(volume.id, "available")

    image = await world.hosts["h1"].image.get(ALICE, image_id)
    assert ("active", "none") == (image.status, image.properties["os_distro"])


async def test_an_upload_that_fails_leaves_no_image_and_the_volume_as_it_was(world):
    volume = await world.volume()
    world.driver.refuse("copy_out", Rejected("no"))

    _, image_id = await world.volumes.upload(ALICE, volume.id, Upload(name="copy", disk_format="qcow2"))
    await world.until(volume.id, "available")

    with pytest.raises(NotFound):
        await world.hosts["h1"].image.get(ALICE, image_id)


# -- taken over, let go


async def test_a_volume_is_let_go_and_taken_over_again(world):
    volume = await world.volume(size_gib=2, image_id=await world.image(b"still me"))
    await world.volumes.unmanage(ADMIN, volume.id)
    await world.gone(volume.id)
    pool = "h1@file#file"
    assert [(f"volume-{volume.id}", None)] == [
        (one.name, one.volume_id) for one in await world.volumes.manageable(ADMIN, pool)
    ]

    made = await world.volumes.adopt(ADMIN, Adoption(pool=pool, source_name=f"volume-{volume.id}", name="back"))
    back = await world.until(made.id, "available")

    assert (2, "back") == (back.size_gib, back.name)
    assert b"still me" == await data(world, back)


async def test_what_is_not_there_can_not_be_taken_over(world):
    made = await world.volumes.adopt(ADMIN, Adoption(pool="h1@file", source_name="nothing"))

    await world.until(made.id, "error_managing")
    await world.volumes.delete(ADMIN, made.id)
    await world.gone(made.id)
