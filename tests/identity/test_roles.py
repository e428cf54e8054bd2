"""Roles, what they imply, grants of all kinds, and the list of assignments."""

from typing import Any

import pytest
from identity_world import Cloud, in_project, token_of

ROLES = "/identity/v3/roles"
ASSIGNMENTS = "/identity/v3/role_assignments"
UNKNOWN = "0" * 32


async def test_a_role_is_made_changed_and_deleted(cloud: Cloud) -> None:
    made = await cloud.make("role", name="r", description="d")
    changed = await cloud.patch(f"{ROLES}/{made['id']}", {"role": {"name": "s"}})
    gone = await cloud.delete(f"{ROLES}/{made['id']}")

    assert {"id", "name", "domain_id", "description", "options", "links"} == set(made)
    assert ("s", "d") == (changed.json["role"]["name"], changed.json["role"]["description"])
    assert 204 == gone.status
    assert f"Could not find role: {made['id']}." == (await cloud.get(f"{ROLES}/{made['id']}")).json["error"]["message"]


async def test_the_roles_a_cloud_stands_on_are_immutable(cloud: Cloud) -> None:
    admin = f"{ROLES}/{await cloud.role_id('admin')}"

    assert 403 == (await cloud.delete(admin)).status
    assert 403 == (await cloud.patch(admin, {"role": {"name": "root"}})).status
    assert 200 == (await cloud.patch(admin, {"role": {"options": {"immutable": None}}})).status
    assert 200 == (await cloud.patch(admin, {"role": {"description": "now"}})).status


async def test_role_names_are_unique_but_for_domains(cloud: Cloud) -> None:
    mine = await cloud.make("role", name="member", domain_id="default")

    listed = await cloud.get(ROLES)
    of_domain = await cloud.get(ROLES, domain_id="default")

    assert 409 == (await cloud.post(ROLES, {"role": {"name": "member"}})).status
    assert 400 == (await cloud.post(ROLES, {"role": {}})).status
    assert ["admin", "manager", "member", "reader", "service"] == [role["name"] for role in listed.json["roles"]]
    assert [mine] == of_domain.json["roles"]


async def test_members_may_not_touch_roles(cloud: Cloud) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{UNKNOWN}"), ("GET", f"/{UNKNOWN}")):
        assert 403 == (await cloud.request(method, ROLES + path, {}, token=cloud.demo)).status


# -- implied roles


async def test_a_role_implies_another(cloud: Cloud) -> None:
    prior, implied = await cloud.make("role", name="prior"), await cloud.make("role", name="implied")
    rule = f"{ROLES}/{prior['id']}/implies/{implied['id']}"

    put = await cloud.put(rule)
    shown = await cloud.get(rule)
    listed = await cloud.get(f"{ROLES}/{prior['id']}/implies")
    everything = await cloud.get("/identity/v3/role_inferences")
    head = [(await cloud.head(rule)).status]
    gone = [(await cloud.delete(rule)).status for _ in range(2)]
    head.append((await cloud.head(rule)).status)

    assert (201, put.json) == (put.status, shown.json)
    assert ("prior", "implied") == tuple(put.json["role_inference"][key]["name"] for key in ("prior_role", "implies"))
    assert ["implied"] == [role["name"] for role in listed.json["role_inference"]["implies"]]
    assert ["admin", "manager", "member", "prior"] == [
        found["prior_role"]["name"] for found in everything.json["role_inferences"]
    ]
    assert ([204, 404], [204, 404]) == (gone, head)


async def test_no_role_implies_admin_itself_or_a_narrower_one(cloud: Cloud) -> None:
    role = await cloud.make("role", name="r")
    narrow = await cloud.make("role", name="n", domain_id="default")

    refused = [
        (await cloud.put(f"{ROLES}/{role['id']}/implies/{implied}")).status
        for implied in (await cloud.role_id("admin"), role["id"], narrow["id"], UNKNOWN)
    ]

    assert [403, 403, 403, 404] == refused


async def test_a_circle_of_implications_ends(cloud: Cloud) -> None:
    a, b = [await cloud.make("role", name=name) for name in "ab"]
    await cloud.put(f"{ROLES}/{a['id']}/implies/{b['id']}")
    await cloud.put(f"{ROLES}/{b['id']}/implies/{a['id']}")
    project, user = await cloud.project_id("demo"), await cloud.make("user", name="eve", password="pw")
    await cloud.put(f"/identity/v3/projects/{project}/users/{user['id']}/roles/{a['id']}")

    answer = await cloud.login("eve", "pw", in_project("demo"))

    assert ["a", "b"] == [role["name"] for role in answer.json["token"]["roles"]]


# -- grants


async def ends(cloud: Cloud) -> dict[str, str]:
    return {
        "users": (await cloud.make("user", name="eve", password="pw"))["id"],
        "groups": (await cloud.make("group", name="g"))["id"],
        "projects": f"projects/{await cloud.project_id('demo')}",
        "domains": "domains/default",
        "system": "system",
    }


@pytest.mark.parametrize("actor", ["users", "groups"])
@pytest.mark.parametrize("target", ["projects", "domains", "system", "OS-INHERIT/projects", "OS-INHERIT/domains"])
async def test_a_role_is_given_checked_listed_and_taken_back(cloud: Cloud, actor: str, target: str) -> None:
    found, role = await ends(cloud), await cloud.role_id("reader")
    inherit, _, kind = target.rpartition("/")
    tail = "/inherited_to_projects" if inherit else ""
    roles = "/".join(filter(None, ("/identity/v3", inherit, found[kind], actor, found[actor], "roles")))
    one = f"{roles}/{role}{tail}"

    before = await cloud.head(one)
    put = [(await cloud.put(one)).status for _ in range(2)]
    during = [(await cloud.head(one)).status, (await cloud.get(one)).status]
    listed = await cloud.get(roles + tail)
    gone = [(await cloud.delete(one)).status for _ in range(2)]

    assert (404, [204, 204], [204, 204], [204, 404]) == (before.status, put, during, gone)
    assert ["reader"] == [found["name"] for found in listed.json["roles"]]


async def test_a_grant_of_or_to_or_on_nothing_is_not_found(cloud: Cloud) -> None:
    user, project, role = UNKNOWN, await cloud.project_id("demo"), await cloud.role_id("reader")
    eve = (await cloud.make("user", name="eve"))["id"]

    for path in (
        f"projects/{project}/users/{user}/roles/{role}",
        f"projects/{UNKNOWN}/users/{eve}/roles/{role}",
        f"projects/{project}/users/{eve}/roles/{UNKNOWN}",
        f"domains/{UNKNOWN}/users/{eve}/roles/{role}",
        f"projects/{project}/groups/{eve}/roles/{role}",
    ):
        assert 404 == (await cloud.put(f"/identity/v3/{path}")).status
        assert 403 == (await cloud.put(f"/identity/v3/{path}", token=cloud.demo)).status


async def test_a_role_of_a_domain_is_given_there_only_and_says_nothing_itself(cloud: Cloud) -> None:
    other = await cloud.make("domain", name="other")
    narrow = await cloud.make("role", name="narrow", domain_id=other["id"])
    inside = await cloud.make("project", name="p", domain_id=other["id"])
    eve = (await cloud.make("user", name="eve", password="pw"))["id"]
    await cloud.put(f"{ROLES}/{narrow['id']}/implies/{await cloud.role_id('reader')}")

    refused = await cloud.put(
        f"/identity/v3/projects/{await cloud.project_id('demo')}/users/{eve}/roles/{narrow['id']}"
    )
    given = await cloud.put(f"/identity/v3/projects/{inside['id']}/users/{eve}/roles/{narrow['id']}")
    token = await cloud.login("eve", "pw", {"project": {"id": inside["id"]}})

    assert (403, 204) == (refused.status, given.status)
    assert ["reader"] == [role["name"] for role in token.json["token"]["roles"]]


async def test_what_is_inherited_counts_below_and_not_there(cloud: Cloud) -> None:
    top = await cloud.make("project", name="top")
    low = await cloud.make("project", name="low", parent_id=top["id"])
    eve, role = (await cloud.make("user", name="eve", password="pw"))["id"], await cloud.role_id("reader")
    await cloud.put(f"/identity/v3/OS-INHERIT/projects/{top['id']}/users/{eve}/roles/{role}/inherited_to_projects")

    there = await cloud.login("eve", "pw", {"project": {"id": top["id"]}})
    below = await cloud.login("eve", "pw", {"project": {"id": low["id"]}})
    token = token_of(await cloud.login("eve", "pw"))
    entered = await cloud.get("/identity/v3/auth/projects", token=token)

    assert (401, 201) == (there.status, below.status)
    assert ["low"] == [project["name"] for project in entered.json["projects"]]


async def test_a_role_inherited_from_a_domain_counts_in_all_its_projects(cloud: Cloud) -> None:
    eve, role = (await cloud.make("user", name="eve", password="pw"))["id"], await cloud.role_id("reader")
    await cloud.put(f"/identity/v3/OS-INHERIT/domains/default/users/{eve}/roles/{role}/inherited_to_projects")

    project = await cloud.login("eve", "pw", in_project("demo"))
    domain = await cloud.login("eve", "pw", {"domain": {"id": "default"}})

    assert (201, 401) == (project.status, domain.status)


# -- the list


async def entries(cloud: Cloud, **query: Any) -> list[Any]:
    answer = await cloud.get(ASSIGNMENTS, **query)
    assert 200 == answer.status, answer.content
    return list(answer.json["role_assignments"])


async def test_assignments_are_shown_as_keystone_does(cloud: Cloud) -> None:
    project, role = await cloud.project_id("demo"), await cloud.role_id("member")
    demo = (await cloud.get("/identity/v3/users", name="demo")).json["users"][0]["id"]

    plain = await entries(cloud, **{"user.id": demo})
    named = await entries(cloud, include_names="true", **{"scope.project.id": project})

    path = f"/projects/{project}/users/{demo}/roles/{role}"
    links = {"assignment": f"http://cloud.test/identity/v3{path}"}
    default = {"id": "default", "name": "Default"}
    assert [
        {"role": {"id": role}, "user": {"id": demo}, "scope": {"project": {"id": project}}, "links": links}
    ] == plain
    assert [
        {
            "role": {"id": role, "name": "member"},
            "user": {"id": demo, "name": "demo", "domain": default},
            "scope": {"project": {"id": project, "name": "demo", "domain": default}},
            "links": links,
        }
    ] == named


async def test_assignments_are_filtered(cloud: Cloud) -> None:
    admin = await cloud.role_id("admin")

    system = await entries(cloud, **{"scope.system": "all"})
    domain = await entries(cloud, **{"scope.domain.id": "default"})
    by_role = await entries(cloud, **{"role.id": admin})
    nobody = await entries(cloud, **{"user.id": UNKNOWN})

    assert [{"system": {"all": True}}] == [entry["scope"] for entry in system]
    assert [{"domain": {"id": "default"}}] == [entry["scope"] for entry in domain]
    assert 3 == len(by_role)
    assert [] == nobody


async def test_effective_assignments_name_members_projects_below_and_implied_roles(cloud: Cloud) -> None:
    top = await cloud.make("project", name="top")
    low = await cloud.make("project", name="low", parent_id=top["id"])
    group, eve = await cloud.make("group", name="g"), await cloud.make("user", name="eve")
    await cloud.put(f"/identity/v3/groups/{group['id']}/users/{eve['id']}")
    path = f"projects/{top['id']}/groups/{group['id']}/roles/{await cloud.role_id('member')}/inherited_to_projects"
    await cloud.put(f"/identity/v3/OS-INHERIT/{path}")

    found = await entries(cloud, effective="", include_names="", **{"user.id": eve["id"]})
    here = await entries(cloud, effective="true", **{"scope.project.id": top["id"]})
    subtree = await entries(cloud, include_subtree="1", **{"scope.project.id": top["id"]})

    assert {"member", "reader"} == {entry["role"]["name"] for entry in found}
    assert {low["id"]} == {entry["scope"]["project"]["id"] for entry in found}
    assert "projects" == found[0]["scope"]["OS-INHERIT:inherited_to"]
    assert f"http://cloud.test/identity/v3/groups/{group['id']}/users/{eve['id']}" == found[0]["links"]["membership"]
    assert found[0]["links"]["assignment"].startswith(
        f"http://cloud.test/identity/v3/OS-INHERIT/projects/{top['id']}/groups/{group['id']}/roles/"
    )
    assert [] == here
    assert 1 == len(subtree)


@pytest.mark.parametrize(
    "query",
    [
        "scope.domain.id=a&scope.project.id=b",
        "scope.system=all&scope.project.id=b",
        "scope.system=all&scope.domain.id=b",
        "user.id=a&group.id=b",
        "effective&group.id=b",
        "effective&scope.domain.id=a&scope.OS-INHERIT:inherited_to=projects",
        "include_subtree",
    ],
)
async def test_filters_that_exclude_each_other_are_refused(cloud: Cloud, query: str) -> None:
    assert 400 == (await cloud.get(f"{ASSIGNMENTS}?{query}")).status
