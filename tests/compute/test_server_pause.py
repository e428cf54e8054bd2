"""Servers that stand still for a while: paused, seen so, and made to go on."""

from compute.server_world import CTX, ServerWorld

from micronova.errors import Rejected


async def test_a_server_is_paused_and_goes_on(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    paused = await cloud.act(id, "pause")
    shown = await cloud.until(id, "PAUSED")
    again = await cloud.act(id, "pause")
    resumed = await cloud.act(id, "unpause")

    assert (202, 409, 202) == (paused.status, again.status, resumed.status)
    assert ("paused", 3) == (shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:power_state"])
    assert 1 == (await cloud.until(id, "ACTIVE"))["OS-EXT-STS:power_state"]
    actions = (await cloud.ask(f"GET /servers/{id}/os-instance-actions")).body["instanceActions"]
    assert ["unpause", "pause", "create"] == [one["action"] for one in actions]


async def test_while_it_is_being_paused_its_task_state_says_so(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    for host in cloud.hosts.values():
        host.driver.slow(30, operation="pause")

    await cloud.act(id, "pause")

    row = await cloud.row(id)
    assert row is not None
    assert ("active", "pausing") == (row.vm_state, row.task_state)
    assert 409 == (await cloud.act(id, "os-stop")).status


async def test_a_hard_reboot_ends_a_pause_and_a_delete_does_too(cloud: ServerWorld) -> None:
    ids = [await cloud.boot(name=f"s{n}") for n in range(2)]
    for id in ids:
        await cloud.act(id, "pause")
        await cloud.until(id, "PAUSED")

    await cloud.act(ids[0], "reboot", {"type": "HARD"})
    await cloud.ask(f"DELETE /servers/{ids[1]}")

    await cloud.until(ids[0], "ACTIVE")
    await cloud.until_gone(ids[1])


async def test_a_pause_that_is_refused_leaves_it_running(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    for host in cloud.hosts.values():
        host.driver.refuse("it does not obey", operation="pause", error=Rejected)

    await cloud.act(id, "pause")

    await cloud.wait(lambda: cloud.row(id), lambda row: row.fault is not None)
    await cloud.until(id, "ACTIVE")


async def test_rows_follow_guests_that_are_paused_or_not(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]

    await host.driver.pause(id, paused=True)
    await host.compute.reconcile(CTX)
    found = await cloud.until(id, "PAUSED")
    await host.driver.pause(id, paused=False)
    await host.compute.reconcile(CTX)

    assert 3 == found["OS-EXT-STS:power_state"]
    await cloud.until(id, "ACTIVE")


async def test_a_paused_server_is_paused_after_its_service_started_again(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "pause")
    row = (await cloud.until(id, "PAUSED")) and await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]

    await host.stop()
    await host.start()

    await cloud.until(id, "PAUSED")
    assert "paused" == (await host.driver.inspect(id)).power


async def test_a_paused_guest_that_died_is_shut_off(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "pause")
    row = (await cloud.until(id, "PAUSED")) and await cloud.row(id)
    assert row is not None
    host = cloud.hosts[row.host]
    await host.stop()
    host.driver.crash(id)

    await host.start()

    await cloud.until(id, "SHUTOFF")
    assert 202 == (await cloud.act(id, "os-start")).status
    await cloud.until(id, "ACTIVE")


async def test_others_may_not_pause_it(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = [(await cloud.act(id, "pause", who=who)).status for who in ("reader", "other")]

    assert [403, 404] == said
