"""Would a packet pass, where does it end, and which rule said so."""

import pytest
from network.network_world import ADMIN, ALICE, room

from micronova.errors import BadRequest, Conflict, Forbidden, NotFound
from micronova.network.contract import NicRequest

EXTERNAL = {"router:external": True}
POOL = [{"start": "10.7.0.10", "end": "10.7.0.20"}]


@pytest.fixture
async def r():
    async with room("host1", "host2") as made:
        yield made


async def boot(r, network, server, host="host1", port_id=None):
    """The port of a new server."""
    manager = r.hosts[host].manager
    wanted = NicRequest(port_id=port_id) if port_id else NicRequest(network_id=network)
    requests = await manager.check_requests(ALICE, (wanted,), ())
    nics = await manager.allocate_for_server(ALICE, server, host, server, requests, ())
    await manager.plug_server(ALICE, server)
    return nics[0].port_id, nics[0].fixed_ips[0][1]


async def change(r, port, token=None, **values):
    await r.call("PUT", f"/ports/{port}", {"port": values}, token=token)


async def join(r, router, subnet):
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})


async def asked(r, port, ip, protocol="icmp", number=None, source=None):
    return await r.manager.trace(ADMIN, port, ip, protocol, number, source)


async def ended(r, *question):
    """Whether it passes, and where and why it ended."""
    found = await asked(r, *question)
    last = found.hops[-1]
    return found.passes, last.at, last.reason


async def pair(r, host="host2", **subnet):
    """Two servers on one network: port and address of each."""
    network = (await r.make("network", name="net"))["id"]
    await r.make("subnet", network_id=network, **{"cidr": "10.0.0.0/24", **subnet})
    return await boot(r, network, "one"), await boot(r, network, "two", host)


async def group_with(r, *rules):
    """A group that lets only these come in."""
    group = (await r.make("security_group", name="web"))["id"]
    for rule in rules:
        await r.make("security_group_rule", security_group_id=group, **rule)
    return group


async def test_two_of_one_group_on_one_host_meet_by_the_rule_that_trusts_the_group(r):
    one, two = await pair(r, "host1")

    found = await asked(r, one[0], two[1])

    assert (True, "it passes") == (found.passes, found.verdict)
    assert [
        f"sender, port {one[0]}", "anti-spoofing", f"egress rules of port {one[0]}", "network net",
        f"receiver, port {two[0]}", f"ingress rules of port {two[0]}", "reply",
    ] == [hop.at for hop in found.hops]  # fmt: skip
    assert "straight over the bridge" in found.hops[3].reason
    assert "ingress IPv4 anything from members of group default" in found.hops[5].reason
    assert "" == found.hops[5].rules[-1].why


async def test_there_is_no_path_between_hosts_on_one_network(r):
    one, two = await pair(r)

    passes, at, why = await ended(r, one[0], two[1])

    assert (False, "network net") == (passes, at)
    assert "host host2" in why
    assert "no path between them" in why


@pytest.mark.parametrize(
    ("rule", "question", "passes", "why"),
    [
        ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, ("tcp", 22), True, ""),
        ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, ("tcp", 23), False, "other ports than 23"),
        ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, ("udp", 22), False, "is for tcp"),
        ({"protocol": "tcp"}, ("tcp", 9), True, ""),
        ({"protocol": "6"}, ("tcp", 9), True, ""),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, (), True, ""),
        ({"protocol": "icmp", "port_range_min": 3}, (), False, "ping sends 8"),
        ({"remote_ip_prefix": "10.0.0.0/25"}, (), True, ""),
        ({"remote_ip_prefix": "10.9.0.0/16"}, (), False, "is not in 10.9.0.0/16"),
        ({"remote_ip_prefix": "0.0.0.0/0"}, ("udp", 53), True, ""),
        ({"ethertype": "IPv6"}, (), False, "is for IPv6"),
    ],
)
async def test_the_receivers_rules_are_looked_at_one_by_one(r, rule, question, passes, why):
    one, two = await pair(r, "host1")
    await change(r, two[0], security_groups=[await group_with(r, {"direction": "ingress", **rule})])

    found = await asked(r, one[0], two[1], *question)

    judged = next(hop for hop in found.hops if hop.at.startswith("ingress"))
    assert passes == found.passes
    assert why in judged.rules[-1].why
    assert bool(why) == bool(judged.rules[-1].why)


async def test_who_is_in_no_group_sends_and_gets_nothing_unless_port_security_is_off(r):
    one, two = await pair(r, "host1")
    await change(r, one[0], security_groups=[])

    shut = await ended(r, one[0], two[1])
    shut_in = await ended(r, two[0], one[1])
    await change(r, one[0], port_security_enabled=False)
    found = await asked(r, one[0], two[1], "icmp", None, "1.2.3.4")

    assert (False, f"egress rules of port {one[0]}") == shut[:2]
    assert (False, f"ingress rules of port {one[0]}") == shut_in[:2]
    assert "port security is off" in found.hops[1].reason
    assert "port security is off" in found.hops[2].reason


async def test_a_guest_sends_from_its_own_addresses_and_allowed_pairs_only(r):
    one, two = await pair(r, "host1")

    strange = await ended(r, one[0], two[1], "icmp", None, "10.0.0.99")
    await change(r, one[0], allowed_address_pairs=[{"ip_address": "10.0.0.99"}])
    allowed = await asked(r, one[0], two[1], "icmp", None, "10.0.0.99")
    met = await asked(r, two[0], "10.0.0.99")

    assert (False, "anti-spoofing") == strange[:2]
    assert (True, "10.0.0.99") == (allowed.passes, allowed.source)
    assert "allowed address pair" in allowed.hops[1].reason
    assert (True, f"receiver, port {one[0]}") == (met.passes, met.hops[4].at)


async def test_a_port_that_is_down_or_nowhere_passes_nothing(r):
    one, two = await pair(r, "host1")
    loose = await r.make("port", network_id=(await r.call("GET", f"/ports/{one[0]}"))["port"]["network_id"])

    nowhere = await ended(r, loose["id"], two[1])
    await change(r, two[0], admin_state_up=False)
    down = await ended(r, one[0], two[1])
    await r.manager.unplug_server(ALICE, "one")
    unplugged = await ended(r, one[0], two[1])

    assert (False, "the port is not bound to a host: no server has it") == (nowhere[0], nowhere[2])
    assert (False, f"receiver, port {two[0]}", "the port is administratively down") == down
    assert "status is DOWN" in unplugged[2]


async def test_without_a_router_the_network_has_its_own_nat_and_without_a_gateway_no_way(r):
    one, _ = await pair(r)
    network = (await r.make("network"))["id"]
    await r.make("subnet", network_id=network, cidr="10.5.0.0/24", gateway_ip=None)
    shut = await boot(r, network, "shut")

    out = await asked(r, one[0], "192.0.2.1", "tcp", 80)
    none = await ended(r, shut[0], "192.0.2.1")

    assert out.passes
    assert "the network's own NAT" in out.hops[-2].reason
    assert out.verdict.startswith("it passes as far as is known here: 192.0.2.1 is not this cloud's")
    assert not none[0]
    assert "has no gateway" in none[2]


@pytest.mark.parametrize(
    ("ip", "question", "passes"),
    [
        ("10.0.0.1", (), True),
        ("10.0.0.1", ("udp", 53), True),
        ("10.0.0.1", ("tcp", 22), False),
        ("169.254.169.254", ("tcp", 80), True),
        ("169.254.169.254", (), True),
        ("169.254.169.254", ("tcp", 443), False),
        ("10.0.0.77", (), False),
    ],
)
async def test_what_the_gateway_and_metadata_answer(r, ip, question, passes):
    one, _ = await pair(r)

    assert passes == (await asked(r, one[0], ip, *question)).passes


async def test_metadata_is_open_to_who_may_send_nothing_else(r):
    one, _ = await pair(r)
    await change(r, one[0], security_groups=[])

    assert (await asked(r, one[0], "169.254.169.254", "tcp", 80)).passes


async def test_a_router_leads_to_its_networks_and_out_only_by_a_gateway(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    (a, first), (b, second) = await r.network(), await r.network("10.1.0.0/24")
    one, two = await boot(r, a, "one"), await boot(r, b, "two")
    apart = await ended(r, one[0], two[1])
    router = (await r.make("router", name="rt"))["id"]
    for subnet in (first, second):
        await join(r, router, subnet)
    path = f"/routers/{router}"

    joined = await asked(r, one[0], two[1])
    closed = await ended(r, one[0], "192.0.2.1")
    await r.call("PUT", path, {"router": {"external_gateway_info": {"network_id": out}}})
    hidden = await asked(r, one[0], "192.0.2.1")
    plain = {"network_id": out, "enable_snat": False}
    await r.call("PUT", path, {"router": {"external_gateway_info": plain}}, token="admin")
    open_ = await asked(r, one[0], "192.0.2.1")
    await r.call("PUT", path, {"router": {"admin_state_up": False}})
    down = await ended(r, one[0], two[1])

    assert not apart[0]
    assert "hosts keep them apart" in apart[2]
    assert joined.passes
    assert "router rt" in [hop.at for hop in joined.hops]
    assert (False, "router rt") == closed[:2]
    assert "no external gateway" in closed[2]
    assert "(SNAT)" in hidden.hops[-2].reason
    assert "SNAT is off" in open_.hops[-2].reason
    assert (False, "router rt") == down[:2]
    assert "administratively down" in down[2]


async def test_where_networks_are_not_joined_a_router_without_snat_or_another_host_makes_a_difference(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    (a, _), (b, second) = await r.network(), await r.network("10.1.0.0/24")
    one, near, far = await boot(r, a, "one"), await boot(r, b, "near"), await boot(r, b, "far", "host2")
    for port in (near, far):
        await change(r, port[0], port_security_enabled=False, security_groups=[])
    info = {"network_id": out, "enable_snat": False}
    router = (await r.make("router", "admin", project_id=ALICE.project_id, external_gateway_info=info))["id"]

    apart = await asked(r, one[0], near[1])
    await join(r, router, second)
    plain = await asked(r, one[0], near[1])
    away = await asked(r, one[0], far[1])

    assert not apart.passes
    assert (True, "reply") == (plain.passes, plain.hops[-1].at)
    assert "as far as is known here" in away.verdict
    assert "on host host2" in away.verdict


async def test_a_reply_needs_a_way_back(r):
    network, _ = await r.network()
    lost = await r.make("subnet", network_id=network, cidr="10.7.0.0/24", gateway_ip=None, allocation_pools=POOL)
    one = await boot(r, network, "one")
    made = await r.make("port", network_id=network, fixed_ips=[{"subnet_id": lost["id"]}])
    two = await boot(r, network, "two", port_id=made["id"])

    passes, at, why = await ended(r, one[0], two[1])
    await r.call("PUT", f"/subnets/{lost['id']}", {"subnet": {"gateway_ip": "10.7.0.1"}})
    healed = await asked(r, one[0], two[1])

    assert (False, "reply") == (passes, at)
    assert f"no route back to {one[1]}" in why
    assert healed.passes


async def test_the_gateway_of_a_joined_network_answers_ping_only(r):
    (_, first), (b, second) = await r.network(), await r.network("10.1.0.0/24")
    router = (await r.make("router"))["id"]
    for subnet in (first, second):
        await join(r, router, subnet)
    one = await boot(r, b, "one")

    assert (await asked(r, one[0], "10.0.0.1")).passes
    assert not (await asked(r, one[0], "10.0.0.1", "udp", 53)).passes


async def test_a_host_route_goes_before_the_gateway(r):
    route = {"destination": "192.0.2.0/24", "nexthop": "10.0.0.3"}
    one, two = await pair(r, "host1", host_routes=[route])

    found = await asked(r, one[0], "192.0.2.5")
    other = await asked(r, one[0], "198.51.100.5")

    assert ("10.0.0.3", True, "beyond") == (two[1], found.passes, found.hops[-1].at)
    assert "outside" == other.hops[-1].at


async def test_an_extra_route_leads_to_its_next_hop_and_no_further_is_known(r):
    network, subnet = await r.network()
    one, two = await boot(r, network, "one"), await boot(r, network, "two")
    router = (await r.make("router", name="rt"))["id"]
    await join(r, router, subnet)
    routes = [{"destination": "10.8.0.0/16", "nexthop": two[1]}, {"destination": "10.9.0.0/16", "nexthop": "10.0.0.99"}]
    await r.call("PUT", f"/routers/{router}", {"router": {"routes": routes}})

    found = await asked(r, one[0], "10.8.1.1")
    nobody = await ended(r, one[0], "10.9.1.1")

    assert (True, "beyond") == (found.passes, found.hops[-1].at)
    assert f"receiver, port {two[0]}" in [hop.at for hop in found.hops]
    assert "no port of the network has next hop 10.0.0.99" == nobody[2]


async def test_a_floating_ip_is_met_as_somebody_else_and_the_rules_see_that(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    network, subnet = await r.network()
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    await join(r, router, subnet)
    one, two, far = [
        await boot(r, network, name, host) for name, host in (("a", "host1"), ("b", "host1"), ("c", "host2"))
    ]
    near, away = [
        (await r.make("floatingip", floating_network_id=out, port_id=port))["floating_ip_address"]
        for port in (two[0], far[0])
    ]
    unused = (await r.make("floatingip", floating_network_id=out))["floating_ip_address"]

    distrusted = await ended(r, one[0], near)
    group = await group_with(r, {"direction": "ingress"})
    for port in (two[0], far[0]):
        await change(r, port, security_groups=[group])
    hairpin = await asked(r, one[0], near)
    across = await asked(r, one[0], away)
    from_floating = await asked(r, two[0], away)

    assert (False, f"ingress rules of port {two[0]}") == distrusted[:2]
    assert "the gateway's address 10.0.0.1" in distrusted[2]
    assert hairpin.passes
    assert across.passes
    assert any("host host2 answers" in hop.reason for hop in across.hops)
    assert any(f"source is {near}" in hop.reason for hop in from_floating.hops)
    assert "stands for no port" in (await ended(r, one[0], unused))[2]


async def test_every_question_about_every_port_has_an_answer(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    (a, first), (b, second) = await r.network(), await r.network("10.1.0.0/24")
    await r.make("subnet", network_id=a, cidr="fd00:1::/64", ip_version=6)
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    for subnet in (first, second):
        await join(r, router, subnet)
    one, _, _ = await boot(r, a, "one"), await boot(r, b, "two", "host2"), await boot(r, b, "three")
    await r.make("floatingip", floating_network_id=out, port_id=one[0])
    ports = (await r.call("GET", "/ports", token="admin"))["ports"]
    addresses = {fixed["ip_address"] for port in ports for fixed in port["fixed_ips"]} | {"192.0.2.1", "2001:db8::1"}

    answers = [await asked(r, port["id"], ip) for port in ports for ip in sorted(addresses)]

    assert len(answers) == len(ports) * len(addresses)
    assert {True, False} == {answer.passes for answer in answers}
    assert all(answer.hops[-1].reason in answer.verdict for answer in answers if not answer.passes)
    assert all(hop.verdict == "passes" for answer in answers for hop in answer.hops[:-1])


async def test_ipv6_stays_on_its_network(r):
    six = {"cidr": "fd00:1::/64", "ip_version": 6}
    one, two = await pair(r, "host1", **six)

    met = await asked(r, one[0], two[1])
    out = await ended(r, one[0], "2001:db8::1")
    four = await ended(r, one[0], "10.0.0.5")

    assert met.passes
    assert (False, "gateway") == out[:2]
    assert "no IPv4 address" in four[2]


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (("nope", "10.0.0.1"), NotFound),
        (("", "10.0.0.1"), NotFound),
        (("one", "nonsense"), BadRequest),
        (("one", "10.0.0.0/24"), BadRequest),
        (("one", "224.0.0.1"), BadRequest),
        (("one", "::"), BadRequest),
        (("one", "fe80::1"), BadRequest),
        (("one", "10.0.0.1", "sctp"), BadRequest),
        (("one", "10.0.0.1", "tcp"), BadRequest),
        (("one", "10.0.0.1", "tcp", 65536), BadRequest),
        (("one", "10.0.0.1", "icmp", 1), BadRequest),
        (("one", "10.0.0.1", "icmp", None, "x"), BadRequest),
        (("one", "10.0.0.1", "icmp", None, "fd00::1"), BadRequest),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(r, question, error):
    await pair(r)

    with pytest.raises(error):
        await asked(r, *question)


async def test_a_port_is_known_by_name_and_by_its_server_if_only_one_fits(r):
    one, two = await pair(r, "host1")
    for port in (one, two):
        await change(r, port[0], name="same")

    by_server = await asked(r, "one", two[1])

    assert one[0] == by_server.port_id
    with pytest.raises(Conflict, match=one[1]):
        await asked(r, "same", two[1])
    with pytest.raises(Forbidden):
        await r.manager.trace(ALICE, one[0], two[1])


async def test_the_lines_for_a_person_number_the_hops_and_end_with_the_verdict(r):
    one, two = await pair(r, "host1")
    await change(r, two[0], security_groups=[await group_with(r)])

    lines = (await asked(r, one[0], two[1])).lines()

    assert f"icmp from {one[1]} (port {one[0]}) to {two[1]}" == lines[0]
    assert lines[1].startswith("  1. passes   sender")
    assert lines[-1].startswith(f"it is dropped at hop 6, ingress rules of port {two[0]}, because ")
