"""Trunks: a port that carries others under tags; they follow it from host to host, and it tells what is real."""

import pytest
from network.network_world import ADMIN, ALICE, room

from micronova.errors import DriverError
from micronova.network.contract import NicRequest
from micronova.network.driver import ParentSpec
from micronova.network.specs import device_name


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


@pytest.fixture
async def served():
    async with room("host1", "host2") as made:
        yield made


async def ports(r, count=3):
    """Ports, each on a network of its own."""
    found = []
    for number in range(count):
        network, _ = await r.network(f"10.{number}.0.0/24")
        found.append(await r.make("port", network_id=network))
    return found


def tagged(port, tag=5, kind="vlan"):
    return {"port_id": port["id"], "segmentation_type": kind, "segmentation_id": tag}


async def shown(r, path):
    (value,) = (await r.call("GET", path)).values()
    return value


async def change(r, trunk, action, *sub_ports):
    return await r.call("PUT", f"/trunks/{trunk['id']}/{action}", {"sub_ports": list(sub_ports)})


async def test_a_trunk_is_made_shown_changed_and_removed(r):
    parent, one, two = await ports(r)

    made = await r.make("trunk", port_id=parent["id"], name="t", sub_ports=[tagged(one)])
    added = await change(r, made, "add_subports", tagged(two, 7))
    carried = await r.call("GET", f"/trunks/{made['id']}/get_subports")
    details = (await shown(r, f"/ports/{parent['id']}"))["trunk_details"]
    owner = (await shown(r, f"/ports/{two['id']}"))["device_owner"]
    left = await change(r, made, "remove_subports", {"port_id": one["id"]})
    renamed = await r.call("PUT", f"/trunks/{made['id']}", {"trunk": {"name": "u"}})
    listed = await shown(r, f"/trunks?port_id={parent['id']}&status=DOWN")
    await r.call("DELETE", f"/trunks/{made['id']}")

    assert {
        "id", "name", "description", "project_id", "tenant_id", "port_id", "status", "admin_state_up", "sub_ports",
        "tags", "created_at", "updated_at", "revision_number",
    } == set(made)  # fmt: skip
    assert ("DOWN", True, [tagged(one)]) == (made["status"], made["admin_state_up"], made["sub_ports"])
    assert [tagged(one), tagged(two, 7)] == added["sub_ports"] == carried["sub_ports"]
    assert made["id"] == details["trunk_id"]
    assert [one["mac_address"], two["mac_address"]] == [sub["mac_address"] for sub in details["sub_ports"]]
    assert "trunk:subport" == owner
    assert [tagged(two, 7)] == left["sub_ports"]
    assert [renamed["trunk"]] == listed
    assert "trunk_details" not in await shown(r, f"/ports/{parent['id']}")
    assert "" == (await shown(r, f"/ports/{two['id']}"))["device_owner"]


async def test_ports_in_use_are_not_carried_and_carry_nothing(r):
    parent, one, two = await ports(r)
    made = await r.make("trunk", port_id=parent["id"], sub_ports=[tagged(one)])
    busy = await r.make("port", network_id=two["network_id"], device_id="somebody")
    add = f"/trunks/{made['id']}/add_subports"

    assert (409, "ParentPortInUse") == await r.refused("POST", "/trunks", {"trunk": {"port_id": parent["id"]}})
    assert (409, "TrunkPortInUse") == await r.refused("POST", "/trunks", {"trunk": {"port_id": one["id"]}})
    for sub_port, wanted in (
        (tagged(parent, 9), (409, "ParentPortInUse")),
        (tagged(one, 9), (409, "TrunkPortInUse")),
        (tagged(two), (409, "DuplicateSubPort")),
        (tagged(busy, 9), (409, "PortInUse")),
        (tagged(made, 9), (404, "PortNotFound")),
        (tagged(two, 9, "inherit"), (400, "InvalidInput")),
        (tagged(two, 0), (400, "HTTPBadRequest")),
        (tagged(two, 4095), (400, "HTTPBadRequest")),
        (tagged(two, 9, "vxlan"), (400, "HTTPBadRequest")),
        ({"port_id": two["id"], "segmentation_type": "vlan"}, (400, "HTTPBadRequest")),
        ({"segmentation_type": "vlan", "segmentation_id": 3}, (400, "HTTPBadRequest")),
    ):
        assert wanted == await r.refused("PUT", add, {"sub_ports": [sub_port]}), sub_port
    for body in ({}, {"sub_ports": tagged(two, 9)}, {"sub_ports": [tagged(two, 9), tagged(busy, 9)]}, [], {"x": 1}):
        assert (400, "HTTPBadRequest") == await r.refused("PUT", add, body), body
    for port, reason in ((parent, "PortInUseAsTrunkParent"), (one, "PortInUseAsSubPort")):
        assert (409, reason) == await r.refused("DELETE", f"/ports/{port['id']}")
    remove = f"/trunks/{made['id']}/remove_subports"
    assert (404, "SubPortNotFound") == await r.refused("PUT", remove, {"sub_ports": [tagged(two)]})
    assert (404, "TrunkNotFound") == await r.refused("PUT", add, {"sub_ports": [tagged(two, 9)]}, token="bob")


async def test_a_disabled_trunk_stays_as_it_is(r):
    parent, one, _ = await ports(r)
    made = await r.make("trunk", port_id=parent["id"], admin_state_up=False)
    path = f"/trunks/{made['id']}"

    for action in ("add_subports", "remove_subports"):
        assert (409, "TrunkDisabled") == await r.refused("PUT", f"{path}/{action}", {"sub_ports": [tagged(one)]})
    assert (409, "TrunkDisabled") == await r.refused("DELETE", path)
    await r.call("PUT", path, {"trunk": {"admin_state_up": True}})
    await change(r, made, "add_subports", tagged(one))
    assert (403, "PolicyNotAuthorized") == await r.refused(
        "PUT", f"{path}/remove_subports", {"sub_ports": [tagged(one)]}, token="reader"
    )
    await r.call("DELETE", path)


async def test_what_is_carried_is_not_larger_than_what_carries(r):
    small, _ = await r.network(mtu=1400)
    large, _ = await r.network("10.9.0.0/24")
    parent, other = await r.make("port", network_id=small), await r.make("port", network_id=large)

    body = {"trunk": {"port_id": parent["id"], "sub_ports": [tagged(other)]}}
    assert (409, "SubPortMtuGreaterThanTrunkPortMtu") == await r.refused("POST", "/trunks", body)
    await r.make("trunk", port_id=other["id"], sub_ports=[tagged(parent)])


async def test_a_port_that_is_carried_is_no_servers_own(r):
    parent, one, _ = await ports(r)
    await r.make("trunk", port_id=parent["id"], sub_ports=[tagged(one)])

    with pytest.raises(Exception, match="still in use"):
        await r.manager.check_requests(ALICE, (NicRequest(port_id=one["id"]),), ())


async def test_a_port_of_somebody_else_is_neither_carrier_nor_carried(r):
    network, _ = await r.network("10.7.0.0/24", "admin", shared=True)
    (own,) = await ports(r, 1)
    port = await r.make("port", "bob", network_id=network)
    bobs = await r.make("network", "bob", name="bobs")
    rbac = {"object_type": "network", "object_id": bobs["id"], "action": "access_as_shared", "target_tenant": "b" * 32}
    await r.call("POST", "/rbac-policies", {"rbac_policy": rbac}, token="bob")
    guest = await r.make("port", network_id=bobs["id"])  # bob sees it, it is on his network

    for carrier, carried in ((port, None), (own, port)):
        body = {"port_id": carrier["id"], "sub_ports": [tagged(carried)] if carried else []}
        assert (404, "PortNotFound") == await r.refused("POST", "/trunks", {"trunk": body})
    seen = await r.call("GET", f"/ports/{guest['id']}", token="bob")
    assert guest["id"] == seen["port"]["id"]
    assert (404, "PortNotFound") == await r.refused(
        "POST", "/trunks", {"trunk": {"port_id": port["id"], "sub_ports": [tagged(guest)]}}, token="bob"
    )


async def test_another_owner_in_words_does_not_free_what_is_carried(served):
    r = served
    parent, one, _ = await ports(r)
    await r.make("trunk", port_id=parent["id"], sub_ports=[tagged(one)])
    await boot(r, parent, "host1")

    await r.call("PUT", f"/ports/{one['id']}", {"port": {"device_owner": "mine"}})
    await r.hosts["host1"].manager.reconcile(ADMIN)

    assert r.driver.ports[one["id"]].parent is not None
    with pytest.raises(Exception, match="still in use"):
        await r.manager.check_requests(ALICE, (NicRequest(port_id=one["id"]),), ())


async def boot(r, port, host):
    requests = (NicRequest(network_id=port["network_id"], port_id=port["id"]),)
    await r.manager.allocate_for_server(ALICE, "server1", host, "vm", requests, ())
    return await r.hosts[host].manager.plug_server(ADMIN, "server1")


async def states(r, trunk, *its):
    return [
        (await shown(r, f"/trunks/{trunk['id']}"))["status"],
        *[(await shown(r, f"/ports/{port['id']}"))["status"] for port in its],
    ]


async def test_what_is_carried_is_where_its_carrier_is_and_real_with_it(served):
    r = served
    parent, one, two = await ports(r)
    made = await r.make("trunk", port_id=parent["id"], sub_ports=[tagged(one)])
    driver = r.hosts["host2"].driver

    plugged = await boot(r, parent, "host2")
    await change(r, made, "add_subports", tagged(two, 7))
    await r.idle()
    both = await states(r, made, parent, one, two)
    there = {id: spec.parent for id, spec in driver.ports.items()}
    await change(r, made, "remove_subports", tagged(one))
    await r.idle()
    left = set(driver.ports)
    refused = await r.refused("DELETE", f"/trunks/{made['id']}")
    await r.hosts["host2"].manager.unplug_server(ADMIN, "server1")
    await r.manager.deallocate_for_server(ADMIN, "server1")

    assert [parent["id"]] == [one.port_id for one in plugged]
    carrier = device_name(parent["id"])
    assert {
        parent["id"]: None,
        one["id"]: ParentSpec(port_id=parent["id"], device=carrier, vlan=5),
        two["id"]: ParentSpec(port_id=parent["id"], device=carrier, vlan=7),
    } == there
    assert ["ACTIVE"] * 4 == both
    assert {parent["id"], two["id"]} == left
    assert (409, "TrunkInUse") == refused
    assert {} == driver.ports
    assert {} == driver.networks
    assert ["DOWN"] * 3 == await states(r, made, parent, two)
    seen = (await r.call("GET", f"/ports/{two['id']}", token="admin"))["port"]
    assert ("", "trunk:subport") == (seen["binding:host_id"], seen["device_owner"])
    await r.call("DELETE", f"/trunks/{made['id']}")


async def test_a_trunk_tells_that_its_host_cannot_carry_all_and_heals(served):
    r = served
    parent, one, _ = await ports(r)
    made = await r.make("trunk", port_id=parent["id"], sub_ports=[tagged(one)])
    host = r.hosts["host1"]
    real = host.driver.ensure_port

    async def unable(spec, groups=()):
        if spec.parent is not None:
            raise DriverError("this kernel knows no VLAN interfaces")
        return await real(spec, groups)

    host.driver.ensure_port = unable
    await boot(r, parent, "host1")
    degraded = await states(r, made, parent, one)
    host.driver.ensure_port = real
    await host.manager.reconcile(ADMIN)

    assert ["DEGRADED", "ACTIVE", "DOWN"] == degraded
    assert ["ACTIVE"] * 3 == await states(r, made, parent, one)


async def test_a_trunk_goes_with_a_port_that_was_made_for_a_server(served):
    r = served
    network, _ = await r.network()
    (other,) = await ports(r, 1)
    (nic,) = await r.manager.allocate_for_server(ALICE, "s", "host1", "vm", (NicRequest(network_id=network),), ())
    await r.hosts["host1"].manager.plug_server(ADMIN, "s")
    made = await r.make("trunk", port_id=nic.port_id, sub_ports=[tagged(other)])
    await r.idle()
    before = await states(r, made, other)

    await r.hosts["host1"].manager.unplug_server(ADMIN, "s")
    await r.manager.deallocate_for_server(ADMIN, "s")

    assert ["ACTIVE", "ACTIVE"] == before
    assert [] == await shown(r, "/trunks")
    free = await shown(r, f"/ports/{other['id']}")
    assert ("DOWN", "") == (free["status"], free["device_owner"])
    assert {} == r.driver.ports
