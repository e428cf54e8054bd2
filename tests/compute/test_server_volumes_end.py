"""A server that ends frees its volumes, whatever state its attachments are in and whoever began them."""

from typing import Any

import pytest
from compute.server_world import CTX, MEMBER, PEOPLE, ServerWorld
from compute.test_server_volumes import all_tasks, attached, exports, now

from micronova.volume import states
from micronova.volume.changes import Reset
from micronova.volume.contract import AttachRequest, Connector
from micronova.volume.db import Attachment, Volume


async def half_way(cloud: ServerWorld, id: str, status: str, **more: Any) -> str:
    """A volume whose attachment to the server was begun, and left in this status."""
    volume = await cloud.new_volume()
    manager = cloud.api.volume
    asked = AttachRequest(volume_id=volume, server_id=id, device="/dev/vdx", **more)
    info = await manager.reserve(MEMBER, asked)
    if status != states.RESERVED:
        await manager.connect(CTX, info.id, Connector(host="h1"))
    if status in (states.ATTACHED, states.DETACHING, states.ERROR_DETACHING):
        await manager.complete(CTX, info.id)
    if status == states.DETACHING:
        await manager.begin_detach(CTX, info.id)
    if status == states.ERROR_DETACHING:
        await cloud.db.write(lambda tx: tx.change(tx.get(Attachment, info.id), status=status), CTX, why="test")
    assert [status] == [row.status for row in await cloud.attachments(volume)]
    return volume


STATUSES = (states.RESERVED, states.ATTACHING, states.ATTACHED, states.DETACHING, states.ERROR_DETACHING)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("status", STATUSES)
async def test_an_attachment_in_any_state_goes_with_its_server(one: ServerWorld, status: str, ends: bool) -> None:
    id = await one.boot()
    volume = await half_way(one, id, status, delete_on_termination=ends)

    await one.ask(f"DELETE /servers/{id}")

    await one.until_gone(id)
    if ends:
        await one.wait(lambda: one.volume(volume), lambda row: row is None)
    else:
        await one.until_volume(volume, "available")
    assert [] == await one.attachments(volume)
    assert [] == await exports(one)
    assert [] == await one.leaks()
    await one.wait(lambda: all_tasks(one), lambda tasks: not any(task.open and now(task) for task in tasks))


@pytest.mark.parametrize("status", ["error", "maintenance", "error_extending"])
async def test_a_volume_in_trouble_loses_its_attachment_and_keeps_its_status(one: ServerWorld, status: str) -> None:
    id, volume = await attached(one)
    await one.api.volume.reset(PEOPLE["admin"], volume, Reset(status="error"))
    await one.db.write(lambda tx: tx.change(tx.get(Volume, volume), status=status), CTX, why="test")

    await one.ask(f"DELETE /servers/{id}")

    await one.until_gone(id)
    await one.wait(lambda: one.attachments(volume), lambda rows: not rows)
    assert status == (await one.until_volume(volume, status)).status
    assert [] == await exports(one)


async def test_what_others_attached_in_the_servers_name_goes_too(one: ServerWorld) -> None:
    id, volume = await one.boot(), await one.new_volume()
    info = await one.api.volume.reserve(MEMBER, AttachRequest(volume_id=volume, server_id=id))
    await one.api.volume.connect(CTX, info.id, Connector(host="elsewhere", ip="192.0.2.9"))

    await one.ask(f"DELETE /servers/{id}")

    await one.until_gone(id)
    await one.until_volume(volume, "available")
    assert [] == await exports(one)
