"""Sharing images with other projects."""

from pathlib import Path

import pytest
from image_world import World, make_world

IMAGES = "/image/v2/images"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing here needs a running service."""
    return make_world(tmp_path)


@pytest.fixture
async def shared(world: World) -> str:
    id = await world.image(name="ours", visibility="shared")
    reply = await world.client.post(f"{IMAGES}/{id}/members", json={"member": "p-bob"})
    assert 200 == reply.status
    assert ("pending", "p-bob", id) == tuple(reply.json()[key] for key in ("status", "member_id", "image_id"))
    return id


async def answer(world: World, id: str, status: str, token: str = "bob") -> int:
    path = f"{IMAGES}/{id}/members/p-bob"
    return (await world.client.put(path, json={"status": status}, token=token)).status


async def test_an_offered_image_can_be_looked_at_but_is_not_listed(world: World, shared: str) -> None:
    assert 200 == (await world.client.get(f"{IMAGES}/{shared}", token="bob")).status
    assert [] == await world.names(token="bob")
    assert ["ours"] == await world.names("?member_status=pending", token="bob")
    assert ["ours"] == await world.names("?member_status=all&visibility=shared", token="bob")


async def test_an_accepted_image_is_listed_and_a_rejected_one_is_not(world: World, shared: str) -> None:
    assert 200 == await answer(world, shared, "accepted")
    assert ["ours"] == await world.names(token="bob")
    assert 200 == await answer(world, shared, "rejected")
    assert [] == await world.names(token="bob")


async def test_only_the_member_answers(world: World, shared: str) -> None:
    assert 403 == await answer(world, shared, "accepted", token="ann")
    assert 400 == await answer(world, shared, "odd")
    assert 200 == await answer(world, shared, "accepted", token="admin")


async def test_only_the_owner_shares_and_takes_back(world: World, shared: str) -> None:
    path = f"{IMAGES}/{shared}/members"

    assert 403 == (await world.client.post(path, json={"member": "p-carl"}, token="bob")).status
    assert 403 == (await world.client.delete(f"{path}/p-bob", token="bob")).status
    assert 204 == (await world.client.delete(f"{path}/p-bob")).status
    assert 404 == (await world.client.delete(f"{path}/p-bob")).status
    assert 404 == (await world.client.get(f"{IMAGES}/{shared}", token="bob")).status


async def test_nobody_is_offered_an_image_twice(world: World, shared: str) -> None:
    reply = await world.client.post(f"{IMAGES}/{shared}/members", json={"member": "p-bob"})

    assert 409 == reply.status
    assert f"Member p-bob is duplicated for image {shared}" in reply.text


async def test_a_member_sees_only_itself(world: World, shared: str) -> None:
    path = f"{IMAGES}/{shared}/members"
    await world.client.post(path, json={"member": "p-carl"})

    mine = (await world.client.get(path, token="bob")).json()["members"]
    all_of_them = (await world.client.get(path)).json()["members"]

    assert ["p-bob"] == [member["member_id"] for member in mine]
    assert ["p-bob", "p-carl"] == [member["member_id"] for member in all_of_them]
    assert 404 == (await world.client.get(f"{path}/p-carl", token="bob")).status
    assert 200 == (await world.client.get(f"{path}/p-carl")).status


async def test_only_shared_images_have_members(world: World) -> None:
    id = await world.image(visibility="private")

    made = await world.client.post(f"{IMAGES}/{id}/members", json={"member": "p-bob"})
    listed = await world.client.get(f"{IMAGES}/{id}/members")
    shown = await world.client.get(f"{IMAGES}/{id}/members/p-bob")

    assert (403, 403, 404) == (made.status, listed.status, shown.status)
    assert "Only shared images have members." in listed.text


@pytest.mark.parametrize("body", [{}, {"member": ""}, {"member": 5}, {"member": "x" * 256}, {"member": "a\u0000"}, []])
async def test_a_wrong_member_is_refused(world: World, body: object) -> None:
    id = await world.image()

    assert 400 == (await world.client.post(f"{IMAGES}/{id}/members", json=body)).status


async def test_members_have_a_limit_and_go_with_the_image(world: World) -> None:
    id = await world.image()
    path = f"{IMAGES}/{id}/members"
    for i in range(128):
        assert 200 == (await world.client.post(path, json={"member": f"p-{i}"})).status

    assert 413 == (await world.client.post(path, json={"member": "p-more"})).status
    assert 204 == (await world.client.delete(f"{IMAGES}/{id}")).status


async def test_no_longer_shared_means_no_longer_seen(world: World, shared: str) -> None:
    await answer(world, shared, "accepted")

    await world.client.patch(f"{IMAGES}/{shared}", [{"op": "replace", "path": "/visibility", "value": "private"}])

    assert [] == await world.names(token="bob")
    assert 404 == (await world.client.get(f"{IMAGES}/{shared}", token="bob")).status
