"""Projects, domains and tags over HTTP."""

from typing import Any

import pytest
from identity_world import Cloud, in_project, token_of

PROJECTS = "/identity/v3/projects"
DOMAINS = "/identity/v3/domains"
UNKNOWN = "0" * 32


async def test_a_project_is_shown_as_keystone_does(cloud: Cloud) -> None:
    made = await cloud.make("project", name="p", description="d", k1="v1")

    assert {
        "id": made["id"],
        "name": "p",
        "domain_id": "default",
        "parent_id": "default",
        "is_domain": False,
        "description": "d",
        "enabled": True,
        "tags": [],
        "options": {},
        "k1": "v1",
        "links": {"self": f"http://cloud.test{PROJECTS}/{made['id']}"},
    } == made
    assert made == (await cloud.get(f"{PROJECTS}/{made['id']}")).json["project"]


async def test_a_project_is_changed_and_deleted(cloud: Cloud) -> None:
    made = await cloud.make("project", name="p", k1="v1")

    changed = await cloud.patch(f"{PROJECTS}/{made['id']}", {"project": {"description": "e", "k2": "v2"}})
    gone = await cloud.delete(f"{PROJECTS}/{made['id']}")

    assert {"description": "e", "k1": "v1", "k2": "v2"}.items() <= changed.json["project"].items()
    assert 204 == gone.status
    assert 404 == (await cloud.delete(f"{PROJECTS}/{made['id']}")).status


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "a\x00"},
        {"name": "a", "enabled": 1},
        {"name": "a", "tags": ["a,b"]},
        {"name": "a", "tags": ["x"] * 81},
        {"name": "a", "description": 7},
        {"name": "a", "is_domain": True, "parent_id": "default"},
    ],
)
async def test_a_project_that_makes_no_sense_is_refused(cloud: Cloud, fields: dict[str, Any]) -> None:
    assert 400 == (await cloud.post(PROJECTS, {"project": fields})).status


async def test_a_project_name_is_taken_once_in_a_domain(cloud: Cloud) -> None:
    answer = await cloud.post(PROJECTS, {"project": {"name": "demo"}})

    assert 409 == answer.status
    assert (
        "Conflict occurred attempting to store project - Duplicate entry found with name demo at domain ID default."
        == answer.json["error"]["message"]
    )


async def test_projects_form_a_tree(cloud: Cloud) -> None:
    top = await cloud.make("project", name="top")
    low = await cloud.make("project", name="low", parent_id=top["id"])

    below = await cloud.get(PROJECTS, parent_id=top["id"])
    parents = await cloud.get(f"{PROJECTS}/{low['id']}?parents_as_ids")
    subtree = await cloud.get(f"{PROJECTS}/{top['id']}?subtree_as_list")
    refused = await cloud.delete(f"{PROJECTS}/{top['id']}")
    moved = await cloud.patch(f"{PROJECTS}/{low['id']}", {"project": {"parent_id": "default"}})

    assert ["low"] == [project["name"] for project in below.json["projects"]]
    assert {top["id"]: None} == parents.json["project"]["parents"]
    assert ["low"] == [entry["project"]["name"] for entry in subtree.json["project"]["subtree"]]
    assert (403, 403) == (refused.status, moved.status)


async def test_a_tree_is_not_deeper_than_five(cloud: Cloud) -> None:
    parent = "default"
    for level in range(5):
        parent = (await cloud.make("project", name=f"p{level}", parent_id=parent))["id"]

    answer = await cloud.post(PROJECTS, {"project": {"name": "p5", "parent_id": parent}})

    assert 403 == answer.status


async def test_a_parent_decides_the_domain(cloud: Cloud) -> None:
    other = await cloud.make("domain", name="other")
    top = await cloud.make("project", name="top", domain_id=other["id"])
    low = await cloud.make("project", name="low", parent_id=top["id"])

    wrong = await cloud.post(PROJECTS, {"project": {"name": "x", "parent_id": top["id"], "domain_id": "default"}})
    unknown = await cloud.post(PROJECTS, {"project": {"name": "x", "parent_id": UNKNOWN}})

    assert other["id"] == low["domain_id"]
    assert (400, 404) == (wrong.status, unknown.status)


async def test_a_member_sees_its_own_project_only(cloud: Cloud) -> None:
    own = await cloud.get(f"{PROJECTS}/{await cloud.project_id('demo')}", token=cloud.demo)
    other = await cloud.get(f"{PROJECTS}/{await cloud.project_id('admin')}", token=cloud.demo)
    unknown = await cloud.get(f"{PROJECTS}/{UNKNOWN}", token=cloud.demo)
    every = await cloud.get(PROJECTS, token=cloud.demo)

    assert [200, 403, 403, 403] == [r.status for r in (own, other, unknown, every)]


async def test_projects_of_a_user_are_listed_for_that_user(cloud: Cloud) -> None:
    demo = (await cloud.get("/identity/v3/users", name="demo")).json["users"][0]["id"]

    answer = await cloud.get(f"/identity/v3/users/{demo}/projects", token=cloud.demo)

    assert ["demo"] == [project["name"] for project in answer.json["projects"]]


async def test_whether_a_project_exists_is_answered_for_other_rooms(cloud: Cloud) -> None:
    assert await cloud.manager.project_exists(cloud.ctx, await cloud.project_id("demo"))
    assert not await cloud.manager.project_exists(cloud.ctx, UNKNOWN)


# -- tags


async def test_tags_are_set_found_and_removed(cloud: Cloud) -> None:
    made = await cloud.make("project", name="p", tags=["a"])
    tags = f"{PROJECTS}/{made['id']}/tags"

    one = await cloud.put(f"{tags}/b")
    both = await cloud.get(tags)
    found = await cloud.get(PROJECTS, tags="a,b")
    either = await cloud.get(PROJECTS, **{"tags-any": "b,z"})
    none = await cloud.get(PROJECTS, **{"not-tags-any": "a"})
    replaced = await cloud.put(tags, {"tags": ["c"]})
    check = [(await cloud.get(f"{tags}/{tag}")).status for tag in "ac"]
    removed = [(await cloud.delete(f"{tags}/c")).status for _ in range(2)]
    cleared = await cloud.delete(tags)

    assert (201, 204) == (one.status, cleared.status)
    assert ["a", "b"] == both.json["tags"]
    assert ["p"] == [project["name"] for project in found.json["projects"]]
    assert ["p"] == [project["name"] for project in either.json["projects"]]
    assert "p" not in [project["name"] for project in none.json["projects"]]
    assert ["c"] == replaced.json["tags"]
    assert ([404, 204], [204, 404]) == (check, removed)


async def test_a_tag_that_makes_no_sense_is_refused(cloud: Cloud) -> None:
    tags = f"{PROJECTS}/{await cloud.project_id('demo')}/tags"

    assert 400 == (await cloud.put(tags, {"tags": ["a/b"]})).status
    assert 400 == (await cloud.put(f"{tags}/a,b")).status


# -- domains


async def test_a_domain_is_shown_as_keystone_does_and_is_a_project_too(cloud: Cloud) -> None:
    made = await cloud.make("domain", name="d", description="x")
    project = (await cloud.get(f"{PROJECTS}/{made['id']}")).json["project"]
    listed = await cloud.get(PROJECTS, is_domain="true")

    assert {"id", "name", "description", "enabled", "tags", "options", "links"} == set(made)
    assert (True, None, None) == (project["is_domain"], project["domain_id"], project["parent_id"])
    assert ["Default", "d"] == [found["name"] for found in listed.json["projects"]]


async def test_a_project_that_acts_as_domain_is_a_domain(cloud: Cloud) -> None:
    made = await cloud.make("project", name="d", is_domain=True)

    assert "d" == (await cloud.get(f"{DOMAINS}/{made['id']}")).json["domain"]["name"]


async def test_a_domain_is_deleted_when_it_is_off_with_all_in_it(cloud: Cloud) -> None:
    domain = await cloud.make("domain", name="d")
    made = {
        "users": await cloud.make("user", name="u", domain_id=domain["id"]),
        "groups": await cloud.make("group", name="g", domain_id=domain["id"]),
        "projects": await cloud.make("project", name="p", domain_id=domain["id"]),
        "roles": await cloud.make("role", name="r", domain_id=domain["id"]),
    }

    refused = await cloud.delete(f"{DOMAINS}/{domain['id']}")
    await cloud.patch(f"{DOMAINS}/{domain['id']}", {"domain": {"enabled": False}})
    gone = await cloud.delete(f"{DOMAINS}/{domain['id']}")

    assert 403 == refused.status
    assert "Cannot delete a domain that is enabled, please disable it first." == refused.json["error"]["message"]
    assert 204 == gone.status
    for plural, row in made.items():
        assert 404 == (await cloud.get(f"/identity/v3/{plural}/{row['id']}")).status


async def test_domain_names_are_unique_and_bounded(cloud: Cloud) -> None:
    assert 409 == (await cloud.post(DOMAINS, {"domain": {"name": "Default"}})).status
    assert 400 == (await cloud.post(DOMAINS, {"domain": {"name": "x" * 65}})).status
    assert 400 == (await cloud.post(DOMAINS, {"domain": {"name": ""}})).status


async def test_domains_are_found_by_name_and_state(cloud: Cloud) -> None:
    await cloud.make("domain", name="off", enabled=False)

    found = await cloud.get(DOMAINS, enabled="false")
    unknown = await cloud.get(f"{DOMAINS}/Default")

    assert ["off"] == [domain["name"] for domain in found.json["domains"]]
    assert 404 == unknown.status


async def test_a_member_may_look_at_its_own_domain(cloud: Cloud) -> None:
    other = await cloud.make("domain", name="other")

    assert 200 == (await cloud.get(f"{DOMAINS}/default", token=cloud.demo)).status
    assert 403 == (await cloud.get(f"{DOMAINS}/{other['id']}", token=cloud.demo)).status


async def test_a_domain_manager_rules_its_domain_and_no_other(cloud: Cloud) -> None:
    domain, role = await cloud.make("domain", name="d"), await cloud.role_id("manager")
    boss = await cloud.make("user", name="boss", password="pw", domain_id=domain["id"])
    await cloud.put(f"{DOMAINS}/{domain['id']}/users/{boss['id']}/roles/{role}")
    user = {"id": boss["id"], "password": "pw"}
    proof = {"methods": ["password"], "password": {"user": user}}
    token = token_of(await cloud.prove(proof, {"domain": {"id": domain["id"]}}))

    made = await cloud.post("/identity/v3/users", {"user": {"name": "eve"}}, token=token)
    project = await cloud.post(PROJECTS, {"project": {"name": "p"}}, token=token)
    listed = await cloud.get("/identity/v3/users", token=token)
    abroad = await cloud.post("/identity/v3/users", {"user": {"name": "x", "domain_id": "default"}}, token=token)
    grafted = await cloud.post(
        PROJECTS, {"project": {"name": "x", "parent_id": await cloud.project_id("demo")}}, token=token
    )

    assert (201, domain["id"]) == (made.status, made.json["user"]["domain_id"])
    assert (201, domain["id"]) == (project.status, project.json["project"]["domain_id"])
    assert {"boss", "eve"} == {found["name"] for found in listed.json["users"]}
    assert (403, 400) == (abroad.status, grafted.status)


async def test_the_scope_of_a_disabled_project_is_refused(cloud: Cloud) -> None:
    await cloud.patch(f"{PROJECTS}/{await cloud.project_id('demo')}", {"project": {"enabled": False}})

    assert 401 == (await cloud.login("demo", "demo-secret", in_project("demo"))).status
    assert 201 == (await cloud.login("demo", "demo-secret")).status
