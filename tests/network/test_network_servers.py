"""What servers ask of the network: requests checked, ports made, bound, shown and given back."""

import pytest
from network.network_world import ADMIN, ALICE, BOB, room

from micronova.errors import BadRequest, Conflict, Forbidden, InUse, QuotaExceeded
from micronova.network.contract import NicRequest

NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def allocate(r, server, *requests, groups=("default",), host="host1", ctx=ALICE):
    checked = await r.manager.check_requests(ctx, requests or None, groups)
    return await r.manager.allocate_for_server(ctx, server, host, server, checked, groups)


async def test_without_a_network_a_server_has_no_interface(r):
    assert () == await r.manager.check_requests(ALICE, None, ())


async def test_the_only_network_is_taken_and_of_several_none(r):
    network, _ = await r.network()

    found = await r.manager.check_requests(ALICE, None, ())

    assert (NicRequest(network_id=network),) == found
    await r.network()
    with pytest.raises(Conflict, match="Multiple possible networks found"):
        await r.manager.check_requests(ALICE, None, ())


async def test_a_shared_network_is_taken_where_there_is_no_own_one(r):
    shared, _ = await r.network(token="admin", shared=True)

    assert (NicRequest(network_id=shared),) == await r.manager.check_requests(ALICE, None, ())


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        ({"network_id": NOWHERE}, BadRequest, f"Network {NOWHERE} could not be found."),
        ({"port_id": NOWHERE}, BadRequest, f"Port id {NOWHERE} could not be found."),
        ({}, BadRequest, "A network or a port must be given."),
        ({"network_id": "EMPTY"}, BadRequest, "requires a subnet"),
        ({"network_id": "EXTERNAL"}, Forbidden, "external network"),
        ({"network_id": "NET", "fixed_ip": "nonsense"}, BadRequest, "Invalid fixed IP address"),
        ({"network_id": "NET", "fixed_ip": "10.9.9.9"}, BadRequest, "not in any subnet"),
        ({"network_id": "NET", "fixed_ip": "10.0.0.2"}, BadRequest, "already in use on instance"),
        ({"port_id": "USED"}, InUse, "is still in use"),
    ],
)
async def test_a_request_that_cannot_be_is_refused_in_novas_words(r, request_, error, sentence):
    network, _ = await r.network()
    external, _ = await r.network("10.2.0.0/24", token="admin", **{"router:external": True})
    used = await r.make("port", network_id=network, device_id="other")
    empty = await r.make("network")
    ids = {"NET": network, "EXTERNAL": external, "USED": used["id"], "EMPTY": empty["id"]}

    with pytest.raises(error, match=sentence):
        await r.manager.check_requests(
            ALICE, (NicRequest(**{name: ids.get(value, value) for name, value in request_.items()}),), ()
        )


async def test_groups_are_found_by_name_or_id_and_only_one(r):
    group = await r.make("security_group", name="web")
    await r.make("security_group", name="twice")
    await r.make("security_group", name="twice")

    await r.manager.check_requests(ALICE, (), ("web", group["id"], "default"))

    with pytest.raises(Conflict, match="Multiple security groups"):
        await r.manager.check_requests(ALICE, (), ("twice",))
    for ctx, name in ((ALICE, "nope"), (BOB, group["id"])):
        with pytest.raises(BadRequest, match="not found"):
            await r.manager.check_requests(ctx, (), (name,))


async def test_the_quota_of_ports_counts_for_servers():
    async with room(serve=False, quota__ports=1) as r:
        network, _ = await r.network()
        request = NicRequest(network_id=network)

        with pytest.raises(QuotaExceeded, match="Maximum number of ports exceeded"):
            await r.manager.check_requests(ALICE, (request, request), ())

        assert 1 == len(await allocate(r, "srv", request))


async def test_ports_are_made_once_in_the_asked_order(r):
    one, _ = await r.network()
    two, _ = await r.network("10.1.0.0/24")
    mine = await r.make("port", network_id=two, name="mine")
    requests = (
        NicRequest(network_id=two, fixed_ip="10.1.0.7", tag="fast"),
        NicRequest(port_id=mine["id"]),
        NicRequest(network_id=one),
    )

    first = await allocate(r, "srv", *requests)
    checked = tuple(NicRequest(network_id=nic.network_id, port_id=None) for nic in first)
    again = await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", checked, ())

    assert first == again
    assert [("10.1.0.7", True, "fast"), ("10.1.0.2", False, None), ("10.0.0.2", True, None)] == [
        (nic.fixed_ips[0][1], nic.created, nic.tag) for nic in first
    ]
    port = (await r.call("GET", f"/ports/{mine['id']}", token="admin"))["port"]
    assert ("srv", "compute:nova", "host1", "srv") == (
        port["device_id"], port["device_owner"], port["binding:host_id"], port["dns_name"]
    )  # fmt: skip


async def test_a_server_that_goes_elsewhere_takes_its_ports_along(r):
    network, _ = await r.network()
    first = await allocate(r, "srv", NicRequest(network_id=network))

    moved = await r.manager.allocate_for_server(ALICE, "srv", "h2", "srv", (NicRequest(network_id=network),), ())

    assert first == moved
    port = (await r.call("GET", f"/ports/{first[0].port_id}", token="admin"))["port"]
    assert "h2" == port["binding:host_id"]


async def test_a_server_that_goes_leaves_its_users_ports(r):
    network, _ = await r.network()
    mine = await r.make("port", network_id=network)
    nics = await allocate(r, "srv", NicRequest(port_id=mine["id"]), NicRequest(network_id=network))

    for _ in range(2):
        await r.manager.deallocate_for_server(ALICE, "srv")

    left = (await r.call("GET", "/ports", token="admin"))["ports"]
    assert [(mine["id"], "", "")] == [(port["id"], port["device_id"], port["binding:host_id"]) for port in left]
    assert 2 == len(nics)


async def test_two_servers_at_once_do_not_get_the_same_port(r):
    network, _ = await r.network()
    mine = await r.make("port", network_id=network)
    request = NicRequest(port_id=mine["id"])
    checked = [await r.manager.check_requests(ALICE, (request,), ()) for _ in range(2)]
    await r.manager.allocate_for_server(ALICE, "one", "host1", "one", checked[0], ())

    with pytest.raises(InUse, match="still in use"):
        await r.manager.allocate_for_server(ALICE, "two", "host1", "two", checked[1], ())


async def test_servers_are_known_by_address_group_and_interface(r):
    network, _ = await r.network()
    await r.make("security_group", name="web")
    nics = await allocate(r, "srv", NicRequest(network_id=network), groups=("web", "default"))

    assert "srv" == await r.manager.server_at(ADMIN, network, "10.0.0.2")
    assert await r.manager.server_at(ADMIN, network, "10.0.0.3") is None
    assert {"srv": nics} == await r.manager.nics_of(ADMIN, ["srv", "other"])
    assert {"srv"} == set(await r.manager.security_groups_of(ADMIN, ["srv"]))
    assert ({}, {}) == (await r.manager.nics_of(ADMIN, []), await r.manager.security_groups_of(ADMIN, []))


async def test_the_default_group_is_named_before_it_was_made(r):
    network, _ = await r.network()

    await allocate(r, "srv", NicRequest(network_id=network), groups=("default",))

    assert {"srv": ("default",)} == await r.manager.security_groups_of(ALICE, ["srv"])


AUTO = NicRequest(auto=True)


async def furnish(r):
    """What it takes to make a project a network: a default way out, and a default pool."""
    out = await r.make("network", "admin", **{"router:external": True}, is_default=True)
    await r.make("subnet", "admin", network_id=out["id"], cidr="198.51.100.0/24")
    pool = {"prefixes": ["10.88.0.0/16"], "default_prefixlen": 24, "is_default": True, "shared": True}
    await r.make("subnetpool", "admin", **pool)


async def test_a_network_is_made_when_a_server_needs_any_and_there_is_none(r):
    await furnish(r)

    checked = await r.manager.check_requests(ALICE, (AUTO,), ())
    before = (await r.call("GET", "/networks?router:external=False"))["networks"]
    nics = [
        nic
        for server in ("s1", "s2")
        for nic in await r.manager.allocate_for_server(ALICE, server, "host1", server, checked, ())
    ]

    [network] = (await r.call("GET", "/networks?router:external=False"))["networks"]
    assert ((AUTO,), []) == (checked, before)
    assert "auto_allocated_network" == network["name"]
    assert [network["id"]] * 2 == [nic.network_id for nic in nics]
    assert (NicRequest(network_id=network["id"]),) == await r.manager.check_requests(ALICE, (AUTO,), ())


async def test_no_network_is_made_where_there_is_one(r):
    await furnish(r)
    checked = await r.manager.check_requests(ALICE, (AUTO,), ())
    network, _ = await r.network()

    [nic] = await r.manager.allocate_for_server(ALICE, "s1", "host1", "s1", checked, ())

    assert network == nic.network_id
    assert [] == (await r.call("GET", "/routers"))["routers"]


async def test_a_server_that_needs_a_network_is_refused_where_none_can_be_made(r):
    with pytest.raises(BadRequest, match="Unable to automatically allocate a network for project"):
        await r.manager.check_requests(ALICE, (AUTO,), ())
