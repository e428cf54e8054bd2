"""Hosts that refuse, guests that fall over, services that die in the middle: what the owner is told, what is left."""

import asyncio
from pathlib import Path

import pytest
from compute.server_world import CTX, ServerWorld

from micronova.compute import states
from micronova.db import Tx
from micronova.errors import Conflict, NoSpace, Rejected


async def test_a_refused_build_is_told_in_the_row(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.refuse("no such CPU in /var/lib/x/y.img", error=Rejected)

    said = await cloud.ask("POST /servers", cloud.body())
    shown = await cloud.until(said.body["server"]["id"], "ERROR")

    fault = shown["fault"]
    assert (500, f"Build of instance {shown['id']} aborted: no such CPU in (a file)") == (
        fault["code"],
        fault["message"],
    )
    assert None is shown["OS-EXT-SRV-ATTR:host"]
    assert {} == shown["addresses"]
    assert [] == await cloud.leaks()


async def test_a_build_that_fails_once_is_tried_again(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.refuse("the disk is busy", error=NoSpace)

    said = await cloud.ask("POST /servers", cloud.body())

    shown = await cloud.until(said.body["server"]["id"], "ACTIVE")
    assert "fault" not in shown


async def test_a_server_in_error_can_be_deleted_and_leaves_nothing(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.refuse("no", error=Rejected)
    id = (await cloud.ask("POST /servers", cloud.body())).body["server"]["id"]
    await cloud.until(id, "ERROR")

    said = await cloud.ask(f"DELETE /servers/{id}")

    assert 204 == said.status
    assert None is await cloud.row(id)
    assert [] == await cloud.leaks()


async def test_no_host_is_told_with_numbers(small: ServerWorld) -> None:
    await small.boot(flavorRef="1")
    id = await small.boot(flavorRef="1")

    said = await small.ask("POST /servers", small.body(flavorRef="2"))

    shown = await small.until(said.body["server"]["id"], "ERROR")
    assert shown["fault"]["message"].startswith("No valid host was found")
    assert any(character.isdigit() for character in shown["fault"]["message"])
    assert 500 == shown["fault"]["code"]
    assert 204 == (await small.ask(f"DELETE /servers/{id}")).status


async def test_a_server_that_no_host_took_is_explained_after_it_is_gone(small: ServerWorld) -> None:
    await small.boot(flavorRef="1")
    await small.boot(flavorRef="1")
    said = await small.ask("POST /servers", small.body(flavorRef="2", name="big"))
    id = said.body["server"]["id"]
    await small.until(id, "ERROR")
    await small.ask(f"DELETE /servers/{id}")

    by_name = await small.compute.explain(CTX, "big")
    by_id = await small.compute.explain(CTX, id)

    assert f"server {id} is gone" == by_name["lines"][0]
    assert by_name["lines"] == by_id["lines"]
    assert "short" in by_name["decisions"]


async def test_why_asks_which_server_when_several_have_the_name(cloud: ServerWorld) -> None:
    ids = sorted([await cloud.boot(name="twin"), await cloud.boot(name="twin")])

    with pytest.raises(Conflict, match=f"twin means several servers, name one: {ids[0]}, {ids[1]}"):
        await cloud.compute.explain(CTX, "twin")


async def test_a_crashed_guest_is_shut_off(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]
    host.driver.crash(id)

    await host.compute.reconcile(CTX)

    shown = await cloud.until(id, "SHUTOFF")
    assert 6 == shown["OS-EXT-STS:power_state"]
    assert 202 == (await cloud.act(id, "os-start")).status
    await cloud.until(id, "ACTIVE")


async def test_a_lost_guest_is_an_error_that_a_hard_reboot_mends(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]
    host.driver.lose(id)

    await host.compute.reconcile(CTX)

    shown = await cloud.until(id, "ERROR")
    assert "The guest is no longer on its host." == shown["fault"]["message"]
    assert 202 == (await cloud.act(id, "reboot", {"type": "HARD"})).status
    await cloud.until(id, "ACTIVE")


async def test_a_guest_that_no_row_wants_is_removed(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]

    def forget(tx: Tx) -> None:
        tx.delete(row)

    await cloud.db.write(forget, CTX, why="test")
    await host.compute.reconcile(CTX)

    assert [] == await host.driver.list()


async def test_a_failed_start_says_so_and_stays_off(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")
    row = await cloud.row(id)
    assert row is not None
    cloud.hosts[row.host].driver.refuse("no memory", error=Rejected)

    await cloud.act(id, "os-start")

    await cloud.wait(lambda: cloud.row(id), lambda row: row.fault is not None)
    shown = await cloud.until(id, "SHUTOFF")
    assert 4 == shown["OS-EXT-STS:power_state"]


async def test_what_should_run_runs_after_a_power_cut(cloud: ServerWorld) -> None:
    ids = [await cloud.boot(name=f"s{n}") for n in range(2)]
    rows = [await cloud.row(id) for id in ids]
    await cloud.act(ids[1], "os-stop")
    await cloud.until(ids[1], "SHUTOFF")
    for host in cloud.hosts.values():
        await host.stop()
    for row in rows:
        assert row is not None
        cloud.hosts[row.host].driver.crash(row.id)

    for host in cloud.hosts.values():
        await host.start()

    await cloud.until(ids[0], "ACTIVE")
    await cloud.until(ids[1], "SHUTOFF")


async def test_a_service_killed_while_a_guest_is_made_finishes_it_later(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.slow(30, operation="ensure")
    id = (await cloud.ask("POST /servers", cloud.body())).body["server"]["id"]
    row = await cloud.wait(lambda: cloud.row(id), lambda row: row.task_state == states.SPAWNING)
    host = cloud.hosts[row.host]
    await host.stop()
    host.driver.slow(0, operation="ensure")

    await host.start()

    await cloud.until(id, "ACTIVE")
    assert [] == await cloud.leaks()


async def test_a_service_killed_anywhere_in_a_build_leaves_a_server_or_nothing(small: ServerWorld) -> None:
    host = small.hosts["h1"]
    for turns in range(0, 120, 8):
        id = (await small.ask("POST /servers", small.body())).body["server"]["id"]
        for _ in range(turns):
            await asyncio.sleep(0)
        await host.stop()
        await host.start()
        await small.until(id, "ACTIVE")
        await small.ask(f"DELETE /servers/{id}")
        for _ in range(turns // 4):
            await asyncio.sleep(0)
        await host.stop()
        await host.start()
        await small.until_gone(id)
    assert [] == await small.leaks()


async def test_an_image_that_is_gone_does_not_keep_a_server_off(cloud: ServerWorld) -> None:
    image = await cloud.new_image(name="short-lived")
    id = await cloud.boot(imageRef=image)
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")
    await cloud.api.image.delete(CTX, image)

    await cloud.act(id, "os-start")

    await cloud.until(id, "ACTIVE")


async def test_pretended_guests_come_back_with_their_process(cloud: ServerWorld) -> None:
    ids = [await cloud.boot(name=f"s{n}") for n in range(2)]
    await cloud.act(ids[1], "os-stop")
    await cloud.until(ids[1], "SHUTOFF")
    for host in cloud.hosts.values():
        await host.stop()
        for id in ids:
            host.driver.lose(id)

    for host in cloud.hosts.values():
        await host.start()

    await cloud.until(ids[0], "ACTIVE")
    await cloud.until(ids[1], "SHUTOFF")
    await cloud.act(ids[1], "os-start")
    await cloud.until(ids[1], "ACTIVE")


async def test_a_server_whose_host_died_while_building_it_can_be_deleted(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.slow(30, operation="ensure")
    id = (await cloud.ask("POST /servers", cloud.body())).body["server"]["id"]
    row = await cloud.wait(lambda: cloud.row(id), lambda row: row.task_state == states.SPAWNING)
    await cloud.hosts[row.host].stop()

    assert 204 == (await cloud.ask(f"DELETE /servers/{id}")).status

    await cloud.until_gone(id)
    await cloud.hosts[row.host].start()
    assert [] == await cloud.leaks()


async def test_the_time_limit_of_a_build_is_configured(tmp_path: Path) -> None:
    cloud = ServerWorld(tmp_path, compute__build_seconds=10)
    await cloud.open("h1")
    cloud.hosts["h1"].driver.slow(30, operation="ensure")

    id = (await cloud.ask("POST /servers", cloud.body())).body["server"]["id"]

    task = (await cloud.tasks(id))[0]
    assert 10 == (task.deadline_at - task.created_at).total_seconds()
    await cloud.close()
