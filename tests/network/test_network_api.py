"""The API as clients see it: shapes, statuses, filters, pages, tags, revisions, sharing."""

import pytest
from network.network_world import ALICE, room

NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def names(r, query, token=None):
    return [one["name"] for one in (await r.call("GET", f"/networks{query}", token=token))["networks"]]


# -- what it says of itself


async def test_versions_are_told_to_everybody(r):
    root = await r.client.request("GET", "/network/", token="")
    version = await r.client.request("GET", "/network/v2.0/", token="")

    link = {"rel": "self", "href": "http://cloud.test/network/v2.0/"}
    assert {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]} == root.json
    assert "networks" in [resource["collection"] for resource in version.json["resources"]]


async def test_extensions_are_those_that_work(r):
    aliases = [extension["alias"] for extension in (await r.call("GET", "/extensions"))["extensions"]]

    assert "security-group" in aliases
    assert "segment" not in aliases
    assert "security-group" == (await r.call("GET", "/extensions/security-group"))["extension"]["alias"]
    assert (404, "ExtensionNotFound") == await r.refused("GET", "/extensions/segment")
    assert 404 == (await r.client.get("/network/v2.0/segments")).status


async def test_without_a_token_nothing_is_told(r):
    reply = await r.client.request("GET", "/network/v2.0/networks", token="nobody")

    assert (401, 401) == (reply.status, reply.json["error"]["code"])


async def test_agents_and_free_addresses_are_for_administrators(r):
    await r.network("10.0.0.0/29")

    free = (await r.call("GET", "/network-ip-availabilities?ip_version=4", token="admin"))["network_ip_availabilities"]

    assert (5, 0) == (free[0]["total_ips"], free[0]["used_ips"])
    assert {"network_ip_availabilities": []} == await r.call("GET", "/network-ip-availabilities")
    assert {"agents": []} == await r.call("GET", "/agents")
    assert "nova" == (await r.call("GET", "/availability_zones"))["availability_zones"][0]["name"]


# -- making and changing


async def test_a_network_is_made_shown_changed_and_deleted(r):
    made = await r.make("network", name="one", description="d")
    path = f"/networks/{made['id']}"

    changed = (await r.call("PUT", path, {"network": {"name": "two", "admin_state_up": False}}))["network"]

    assert ("two", False, "d") == (changed["name"], changed["admin_state_up"], changed["description"])
    assert (1, 2) == (made["revision_number"], changed["revision_number"])
    assert {"network": changed} == await r.call("GET", path)
    await r.call("DELETE", path)
    assert (404, "NetworkNotFound") == await r.refused("GET", path)


async def test_many_are_made_at_once_or_none(r):
    made = await r.call("POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    refused = await r.refused("POST", "/networks", {"networks": [{"name": "c"}, {"nam": "d"}]})

    assert ["a", "b"] == [network["name"] for network in made["networks"]]
    assert (400, "HTTPBadRequest") == refused
    assert ["a", "b"] == sorted(await names(r, ""))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"network": {"nam": "x", "foo": 1}}, "Unrecognized attribute(s) 'foo, nam'"),
        ({"network": {"status": "x"}}, "Attribute 'status' not allowed in POST"),
        ({"network": {"admin_state_up": "maybe"}}, "Invalid input for admin_state_up. Reason: 'maybe' cannot be"),
        ({"network": {"name": "x" * 256}}, "Invalid input for name. Reason:"),
        ({"network": {"tenant_id": "x"}}, "requires admin privileges"),
        ({"network": {"tenant_id": "x", "project_id": "y"}}, "'project_id' and 'tenant_id' do not match"),
        ({"networks": []}, "Resources required"),
        ({"net": {}}, "Unable to find 'network' in request body"),
        ([], "not a JSON object"),
        (b"{", "not valid JSON"),
        (b"[" * 100000, ""),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(r, body, sentence):
    reply = await r.client.request("POST", "/network/v2.0/networks", body)

    assert 400 == reply.status
    assert "HTTPBadRequest" == reply.json["NeutronError"]["type"]
    assert sentence in reply.json["NeutronError"]["message"]


async def test_what_cannot_change_is_refused(r):
    network, subnet = await r.network()

    assert (400, "HTTPBadRequest") == await r.refused("PUT", f"/subnets/{subnet}", {"subnet": {"cidr": "10.1.0.0/24"}})
    assert (400, "HTTPBadRequest") == await r.refused("PUT", f"/networks/{network}", {"network": {"id": NOWHERE}})


async def test_a_change_may_be_tied_to_a_revision(r):
    path = f"/networks/{(await r.make('network'))['id']}"
    body = {"network": {"name": "x"}}

    await r.call("PUT", path, body, **{"If-Match": "revision_number=1"})

    stale = {"If-Match": "revision_number=1"}
    assert (412, "RevisionNumberConstraintFailed") == await r.refused("PUT", path, body, **stale)
    assert (412, "RevisionNumberConstraintFailed") == await r.refused("DELETE", path, **stale)
    assert (400, "HTTPBadRequest") == await r.refused("DELETE", path, **{"If-Match": "x"})


# -- sharing and roles


async def test_networks_of_others_are_not_there(r):
    network, subnet = await r.network()
    port = await r.make("port", network_id=network)

    for path in (f"/networks/{network}", f"/subnets/{subnet}", f"/ports/{port['id']}"):
        status, name = await r.refused("GET", path, token="bob")
        assert (404, True) == (status, name.endswith("NotFound"))
        assert 404 == (await r.refused("DELETE", path, token="bob"))[0]
    assert [] == await names(r, "", token="bob")
    assert (404, "NetworkNotFound") == await r.refused("POST", "/ports", {"port": {"network_id": network}}, token="bob")
    assert ["net"] == await names(r, "", token="admin")


async def test_a_shared_network_is_for_all_to_use_and_for_its_owner_to_change(r):
    network, subnet = await r.network(token="admin", shared=True)

    port = await r.make("port", network_id=network)

    assert ["net"] == await names(r, "?shared=True")
    assert subnet == (await r.call("GET", f"/subnets/{subnet}"))["subnet"]["id"]
    assert (403, "PolicyNotAuthorized") == await r.refused("PUT", f"/networks/{network}", {"network": {"name": "x"}})
    assert (403, "PolicyNotAuthorized") == await r.refused("DELETE", f"/networks/{network}")
    wish = {"network_id": network, "fixed_ips": [{"ip_address": "10.0.0.77"}]}
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/ports", {"port": wish})
    unshare = {"network": {"shared": False}}
    assert (409, "InvalidSharedSetting") == await r.refused("PUT", f"/networks/{network}", unshare, token="admin")
    await r.call("DELETE", f"/ports/{port['id']}")
    await r.call("PUT", f"/networks/{network}", unshare, token="admin")
    assert [] == await names(r, "")


async def test_an_external_network_is_seen_by_all_and_used_by_its_owner(r):
    network, subnet = await r.network(token="admin", **{"router:external": True})

    assert ["net"] == await names(r, "?router:external=True")
    assert (404, "SubnetNotFound") == await r.refused("GET", f"/subnets/{subnet}")
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/ports", {"port": {"network_id": network}})


@pytest.mark.parametrize("name", ["shared", "router:external"])
async def test_only_an_administrator_shares(r, name):
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/networks", {"network": {name: True}})


async def test_a_reader_reads(r):
    await r.make("network", name="one")

    assert ["one"] == await names(r, "", token="reader")
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/networks", {"network": {}}, token="reader")


async def test_what_carries_a_network_is_told_to_administrators(r):
    made = await r.make("network", token="admin", **{"provider:network_type": "flat"})

    assert "flat" == made["provider:network_type"]
    assert "provider:network_type" not in await r.make("network")
    vlan = {"network": {"provider:network_type": "vlan"}}
    assert (400, "InvalidInput") == await r.refused("POST", "/networks", vlan, token="admin")
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/networks", vlan)


# -- lists


async def test_lists_are_filtered_by_any_of_several_values(r):
    made = [await r.make("network", name=name) for name in ("a", "b", "c")]
    ids = [network["id"] for network in made]

    assert ["a"] == await names(r, "?name=a")
    assert ["a", "c"] == sorted(await names(r, f"?id={ids[0]}&id={ids[2]}"))
    assert [] == await names(r, "?name=a&admin_state_up=False")
    assert [] == await names(r, f"?project_id={NOWHERE}")
    assert ["a", "b", "c"] == sorted(await names(r, f"?tenant_id={ALICE.project_id}"))
    assert [] == await names(r, "?name=a&name=&mtu=9000")


@pytest.mark.parametrize(
    "query",
    [
        "?foo=1", "?admin_state_up=x", "?mtu=x", "?limit=-1", "?limit=x", "?sort_key=foo", "?sort_key=subnets",
        "?sort_key=name&sort_dir=up", "?sort_key=name&sort_dir=asc&sort_dir=asc", "?page_reverse=x", "?name=%00",
        "?provider:network_type=flat", "?changed_since=yesterday", "?name=%ff", "?revision_number=x",
    ],
)  # fmt: skip
async def test_a_wrong_query_is_refused(r, query):
    assert 400 == (await r.refused("GET", f"/networks{query}"))[0]


async def test_lists_show_the_asked_fields_in_the_asked_order(r):
    for name in ("b", "c", "a"):
        await r.make("network", name=name)

    shown = await r.call("GET", "/networks?fields=name&fields=mtu&sort_key=name&sort_dir=desc")

    assert [{"name": name, "mtu": 1500} for name in ("c", "b", "a")] == shown["networks"]


async def test_pages_go_forth_and_back(r):
    for name in ("a", "b", "c", "d", "e"):
        await r.make(
            "network", name=name, token="admin" if name == "c" else None, **{"shared": True} if name == "c" else {}
        )
    seen, href = [], "/networks?sort_key=name&limit=2"

    while href:
        page = await r.call("GET", href)
        seen.append([network["name"] for network in page["networks"]])
        links = {link["rel"]: link["href"] for link in page.get("networks_links", [])}
        back = links.get("previous")
        href = links.get("next", "").removeprefix("http://cloud.test/network/v2.0")

    assert [["a", "b"], ["c", "d"], ["e"]] == seen
    before = await r.call("GET", back.removeprefix("http://cloud.test/network/v2.0"))
    assert ["c", "d"] == [network["name"] for network in before["networks"]]


async def test_a_list_without_a_limit_is_bounded_and_says_so():
    async with room(serve=False, api__max_page=2) as r:
        for name in ("a", "b", "c"):
            await r.make("network", name=name)

        page = await r.call("GET", "/networks?sort_key=name")

        assert ["a", "b"] == [network["name"] for network in page["networks"]]
        assert ["next", "previous"] == [link["rel"] for link in page["networks_links"]]


async def test_ports_are_found_by_address_network_device_and_group(r):
    network, subnet = await r.network()
    one = await r.make("port", network_id=network, device_id="dev")
    two = await r.make("port", network_id=network, security_groups=[])

    async def found(query):
        return sorted(port["id"] for port in (await r.call("GET", f"/ports?{query}"))["ports"])

    assert [one["id"]] == await found("fixed_ips=ip_address=10.0.0.2")
    assert [one["id"]] == await found("fixed_ips=ip_address%3D10.0.0.2&fixed_ips=subnet_id%3D" + subnet)
    assert sorted([one["id"], two["id"]]) == await found("fixed_ips=ip_address_substr=10.0.0.")
    assert sorted([one["id"], two["id"]]) == await found(f"network_id={network}")
    assert [one["id"]] == await found("device_id=dev")
    assert [one["id"]] == await found(f"security_groups={one['security_groups'][0]}")
    assert [two["id"]] == await found(f"mac_address={two['mac_address']}")
    assert (400, "HTTPBadRequest") == await r.refused("GET", "/ports?fixed_ips=foo")


# -- tags


async def test_tags_are_set_asked_for_and_filtered_by(r):
    path = f"/networks/{(await r.make('network', name='red'))['id']}"
    await r.make("network", name="plain")

    await r.call("PUT", f"{path}/tags", {"tags": ["b", "a", "a"]})

    assert {"tags": ["a", "b"]} == await r.call("GET", f"{path}/tags")
    assert ["red"] == await names(r, "?tags=a,b")
    assert ["plain"] == await names(r, "?not-tags=a")
    assert ["red"] == await names(r, "?tags-any=a,z")
    assert 204 == (await r.client.get(f"/network/v2.0{path}/tags/a")).status
    assert 201 == (await r.client.put(f"/network/v2.0{path}/tags/c")).status
    await r.call("DELETE", f"{path}/tags/a")
    assert (404, "TagNotFound") == await r.refused("GET", f"{path}/tags/a")
    assert (404, "TagNotFound") == await r.refused("DELETE", f"{path}/tags/a")
    await r.call("DELETE", f"{path}/tags")
    assert {"tags": []} == await r.call("GET", f"{path}/tags")


@pytest.mark.parametrize(
    "body", [{"tags": "a"}, {"tags": ["a,b"]}, {"tags": [1]}, {}, {"tags": [""]}, {"tags": [], "x": 1}]
)
async def test_wrong_tags_are_refused(r, body):
    network = await r.make("network")

    assert (400, "HTTPBadRequest") == await r.refused("PUT", f"/networks/{network['id']}/tags", body)


# -- quotas


async def test_a_quota_is_kept(r):
    project = ALICE.project_id
    path = f"/quotas/{project}"

    told = await r.call("PUT", path, {"quota": {"network": 1, "port": "7"}}, token="admin")
    await r.make("network")

    assert (1, 7) == (told["quota"]["network"], told["quota"]["port"])
    assert (409, "OverQuota") == await r.refused("POST", "/networks", {"network": {}})
    details = (await r.call("GET", f"{path}/details"))["quota"]
    assert {"limit": 1, "used": 1, "reserved": 0} == details["network"]
    assert [project] == [one["project_id"] for one in (await r.call("GET", "/quotas", token="admin"))["quotas"]]
    await r.call("DELETE", path, token="admin")
    assert 500 == (await r.call("GET", path))["quota"]["network"]
    assert 500 == (await r.call("GET", f"{path}/default"))["quota"]["network"]
    assert (404, "TenantQuotaNotFound") == await r.refused("DELETE", path, token="admin")


async def test_a_limit_below_what_is_used_is_refused_when_asked_to_check(r):
    await r.make("network")
    await r.make("network")
    path = f"/quotas/{ALICE.project_id}"

    refused = await r.refused("PUT", path, {"quota": {"network": 1, "check_limit": True}}, token="admin")
    unsure = await r.refused("PUT", path, {"quota": {"network": 9, "check_limit": "perhaps"}}, token="admin")
    before = (await r.call("GET", path))["quota"]
    asked = ({"network": 2}, {"network": -1}, {"network": 1, "force": True})
    told = [await r.call("PUT", path, {"quota": {"check_limit": True, **limits}}, token="admin") for limits in asked]

    assert (400, "HTTPBadRequest") == refused == unsure
    assert 500 == before["network"]
    assert [2, -1, 1] == [one["quota"]["network"] for one in told]
    assert "check_limit" not in told[0]["quota"]


async def test_quotas_are_set_by_administrators_with_sense(r):
    path = f"/quotas/{ALICE.project_id}"

    assert (403, "PolicyNotAuthorized") == await r.refused("PUT", path, {"quota": {"network": 1}})
    assert (403, "PolicyNotAuthorized") == await r.refused("GET", path, token="bob")
    for quota in ({"network": -2}, {"network": "x"}, {"server": 1}, []):
        assert (400, "HTTPBadRequest") == await r.refused("PUT", path, {"quota": quota}, token="admin")


async def test_the_owner_of_a_network_sees_its_guests_ports(r):
    network, _ = await r.network(token="admin", shared=True)
    await r.call("PUT", f"/networks/{network}", {"network": {"name": "n"}}, token="admin")
    own = await r.make("network", token="admin", project_id=ALICE.project_id, shared=True)
    guest = await r.make("port", network_id=own["id"], token="bob")
    other = await r.make("port", network_id=network, token="bob")

    seen = [port["id"] for port in (await r.call("GET", "/ports"))["ports"]]

    assert [guest["id"]] == seen
    assert (404, "PortNotFound") == await r.refused("GET", f"/ports/{other['id']}")
    await r.call("DELETE", f"/ports/{guest['id']}")
