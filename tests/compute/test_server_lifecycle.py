"""A server from its order to its end, on fake drivers: what its owner sees, and that nothing is left."""

from compute.server_world import ServerWorld

from micronova.compute import states
from micronova.errors import Rejected


async def test_a_server_is_ordered_built_and_shown(cloud: ServerWorld) -> None:
    said = await cloud.ask("POST /servers", cloud.body(key_name="key", metadata={"role": "web"}))

    assert 202 == said.status
    ordered = said.body["server"]
    assert {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"} == set(ordered)
    assert said.headers["location"] == ordered["links"][0]["href"]
    shown = await cloud.until(ordered["id"], "ACTIVE")
    assert ("active", None, 1) == tuple(shown[f"OS-EXT-STS:{name}_state"] for name in ("vm", "task", "power"))
    assert ["10.60.0.2"] == [one["addr"] for one in shown["addresses"]["private"]]
    assert [{"name": "default"}] == shown["security_groups"]
    assert ("key", {"role": "web"}, "nova") == (
        shown["key_name"],
        shown["metadata"],
        shown["OS-EXT-AZ:availability_zone"],
    )
    assert shown["OS-SRV-USG:launched_at"] is not None


async def test_a_new_server_is_building_without_addresses(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.slow(30, operation="ensure")

    said = await cloud.ask("POST /servers", cloud.body())

    shown = (await cloud.ask(f"GET /servers/{said.body['server']['id']}")).body["server"]
    assert ("BUILD", {}, 0) == (shown["status"], shown["addresses"], shown["progress"])


async def test_its_guest_has_what_the_flavor_says(cloud: ServerWorld) -> None:
    id = await cloud.boot(flavorRef="2", config_drive=True)

    row = await cloud.row(id)
    assert row is not None
    guest = cloud.hosts[row.host].driver._guests[id]
    assert (2, 512) == (guest.spec.vcpus, guest.spec.ram_mib)
    assert guest.spec.disk is not None
    assert 5 == guest.spec.disk.size_gib
    assert 1 == len(guest.spec.nics)
    assert guest.spec.config_drive is not None
    assert "openstack/latest/meta_data.json" in guest.spec.config_drive


async def test_a_server_without_networks_has_no_ports(cloud: ServerWorld) -> None:
    id = await cloud.boot(networks="none")

    assert {} == (await cloud.ask(f"GET /servers/{id}")).body["server"]["addresses"]


async def test_networks_auto_takes_the_only_one(cloud: ServerWorld) -> None:
    id = await cloud.boot(networks="auto")

    assert ["private"] == list((await cloud.ask(f"GET /servers/{id}")).body["server"]["addresses"])


async def test_stop_start_and_reboot(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    assert 202 == (await cloud.act(id, "os-stop")).status
    assert 4 == (await cloud.until(id, "SHUTOFF"))["OS-EXT-STS:power_state"]
    assert 202 == (await cloud.act(id, "os-start")).status
    assert 1 == (await cloud.until(id, "ACTIVE"))["OS-EXT-STS:power_state"]
    for kind in ("SOFT", "HARD"):
        assert 202 == (await cloud.act(id, "reboot", {"type": kind})).status
        await cloud.until(id, "ACTIVE")


async def test_a_hard_reboot_starts_a_stopped_server(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")

    await cloud.act(id, "reboot", {"type": "HARD"})

    await cloud.until(id, "ACTIVE")


async def test_what_the_state_forbids_is_a_conflict(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = {action: await cloud.act(id, action) for action in ("os-start", "unpause", "resume", "confirmResize")}

    for action, answer in said.items():
        wanted = f"Cannot '{action.removeprefix('os-')}' instance {id} while it is in vm_state active"
        assert {"conflictingRequest": {"code": 409, "message": wanted}} == answer.body


async def test_what_no_driver_can_is_not_implemented(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    actions = ("suspend", "shelve", "rescue", "resize", "createImage", "changePassword")

    said = [await cloud.act(id, action) for action in actions]

    assert [501] * len(actions) == [answer.status for answer in said]
    assert all("notImplemented" in answer.body for answer in said)


async def test_a_deleted_server_leaves_nothing(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = await cloud.ask(f"DELETE /servers/{id}")

    assert 204 == said.status
    await cloud.until_gone(id)
    assert 404 == (await cloud.ask(f"GET /servers/{id}")).status
    assert [] == await cloud.leaks()
    assert all(not host.net.ports for host in cloud.hosts.values())


async def test_deleting_twice_is_deleting_once(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    cloud.hosts[row.host].driver.slow(0.2, operation="remove")

    statuses = [(await cloud.ask(f"DELETE /servers/{id}")).status for _ in range(3)]

    assert [204, 204, 204] == statuses
    await cloud.until_gone(id)
    assert 404 == (await cloud.ask(f"DELETE /servers/{id}")).status
    assert 1 == sum(task.method == "remove" for task in await cloud.tasks(id))


async def test_a_server_that_is_being_built_can_be_deleted(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.driver.slow(30, operation="ensure")
    id = (await cloud.ask("POST /servers", cloud.body())).body["server"]["id"]
    await cloud.wait(lambda: cloud.row(id), lambda row: row is not None and row.task_state == states.SPAWNING)

    await cloud.ask(f"DELETE /servers/{id}")

    await cloud.until_gone(id)
    assert [] == await cloud.leaks()
    assert ["cancelled", "done"] == [task.state for task in await cloud.tasks(id)]


async def test_a_server_on_a_dead_host_can_be_deleted(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    dead = cloud.hosts[row.host]
    await dead.stop()

    await cloud.ask(f"DELETE /servers/{id}")
    await cloud.until_gone(id)
    await dead.start()

    assert [] == await cloud.leaks()


async def test_a_failed_delete_is_told_and_can_be_repeated(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    row = await cloud.row(id)
    assert row is not None
    cloud.hosts[row.host].driver.refuse("it is stuck", operation="remove", error=Rejected)

    await cloud.ask(f"DELETE /servers/{id}")
    shown = await cloud.until(id, "ERROR")

    assert "Deleting failed: it is stuck" == shown["fault"]["message"]
    await cloud.ask(f"DELETE /servers/{id}")
    await cloud.until_gone(id)
    assert [] == await cloud.leaks()


async def test_force_delete(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    assert 202 == (await cloud.act(id, "forceDelete")).status

    await cloud.until_gone(id)


async def test_a_rebuilt_server_keeps_id_and_address(cloud: ServerWorld) -> None:
    id = await cloud.boot(metadata={"a": "b"})
    other = await cloud.new_image(name="other")

    said = await cloud.act(id, "rebuild", {"imageRef": other, "name": "new", "metadata": {"c": "d"}})

    assert 202 == said.status
    assert "REBUILD" == said.body["server"]["status"]
    shown = await cloud.until(id, "ACTIVE")
    assert (other, "new", {"c": "d"}) == (shown["image"]["id"], shown["name"], shown["metadata"])
    assert "10.60.0.2" == shown["addresses"]["private"][0]["addr"]


async def test_a_stopped_server_is_stopped_after_its_rebuild(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")

    await cloud.act(id, "rebuild", {"imageRef": cloud.image_id})

    shown = await cloud.until(id, "SHUTOFF")
    assert 4 == shown["OS-EXT-STS:power_state"]


async def test_a_locked_server_is_left_alone(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    assert 202 == (await cloud.act(id, "lock", {"locked_reason": "mine"})).status

    shown = (await cloud.ask(f"GET /servers/{id}")).body["server"]
    assert (True, "mine") == (shown["locked"], shown["locked_reason"])
    for what, body in (("POST", {"os-stop": None}), ("DELETE", None)):
        path = f"/servers/{id}" + ("/action" if what == "POST" else "")
        said = await cloud.ask(f"{what} {path}", body)
        assert (409, f"Instance {id} is locked") == (said.status, said.body["conflictingRequest"]["message"])
    assert 202 == (await cloud.act(id, "os-stop", who="admin")).status
    await cloud.until(id, "SHUTOFF")
    assert 202 == (await cloud.act(id, "unlock")).status
    assert 202 == (await cloud.act(id, "os-start")).status


async def test_only_an_administrator_opens_an_administrators_lock(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "lock", who="admin")

    assert 403 == (await cloud.act(id, "unlock")).status
    assert 202 == (await cloud.act(id, "unlock", who="admin")).status


async def test_others_do_not_see_it(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = [
        (await cloud.ask(f"GET /servers/{id}", who="other")).status,
        (await cloud.ask(f"DELETE /servers/{id}", who="other")).status,
        (await cloud.act(id, "os-stop", who="other")).status,
        (await cloud.ask(f"GET /servers/{id}", who="reader")).status,
        (await cloud.act(id, "os-stop", who="reader")).status,
        (await cloud.ask("POST /servers", cloud.body(), who="reader")).status,
    ]

    assert [404, 404, 404, 200, 403, 403] == said


async def test_an_administrator_resets_a_state(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    assert 403 == (await cloud.act(id, "os-resetState", {"state": "error"})).status
    assert 202 == (await cloud.act(id, "os-resetState", {"state": "error"}, who="admin")).status

    await cloud.until(id, "ERROR")


async def test_the_console_is_what_the_guest_wrote(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    everything = await cloud.act(id, "os-getConsoleOutput", {})
    last = await cloud.act(id, "os-getConsoleOutput", {"length": 1})

    assert "fake: ready" in everything.body["output"]
    assert "web1 login: " == last.body["output"]
