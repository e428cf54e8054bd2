"""Users and groups over HTTP: shapes, changes, passwords, membership, refusals."""

from typing import Any

import pytest
from identity_world import Cloud, in_project, token_of

USERS = "/identity/v3/users"
GROUPS = "/identity/v3/groups"
UNKNOWN = "0" * 32


async def test_a_user_is_shown_as_keystone_does_with_fields_of_its_own_kept(cloud: Cloud) -> None:
    made = await cloud.make("user", name="eve", password="pw", email="eve@example.org", description="x")

    assert {
        "id": made["id"],
        "name": "eve",
        "domain_id": "default",
        "enabled": True,
        "options": {},
        "password_expires_at": None,
        "email": "eve@example.org",
        "description": "x",
        "links": {"self": f"http://cloud.test{USERS}/{made['id']}"},
    } == made
    assert 32 == len(made["id"])
    assert made == (await cloud.get(f"{USERS}/{made['id']}")).json["user"]
    assert 201 == (await cloud.login("eve", "pw")).status


async def test_lists_are_filtered_by_name_domain_and_state(cloud: Cloud) -> None:
    await cloud.make("user", name="off", enabled=False)

    async def names(**query: Any) -> list[str]:
        return [user["name"] for user in (await cloud.get(USERS, **query)).json["users"]]

    assert ["admin", "demo", "off"] == await names()
    assert ["off"] == await names(name="off")
    assert ["off"] == await names(enabled="false")
    assert ["admin", "demo"] == await names(enabled="True")
    assert [] == await names(domain_id="nowhere")


async def test_a_list_goes_on_where_a_page_ended(cloud: Cloud) -> None:
    first = (await cloud.get(USERS, limit=1, enabled="1")).json
    path = first["links"]["next"].removeprefix("http://cloud.test")
    second = (await cloud.get(path)).json

    assert ["admin"] == [user["name"] for user in first["users"]]
    assert "enabled=1" in path
    assert ["demo"] == [user["name"] for user in second["users"]]
    assert second["links"]["next"] is None


@pytest.mark.parametrize("query", ["limit=x", "limit=-1"])
async def test_a_limit_that_is_no_number_is_refused(cloud: Cloud, query: str) -> None:
    assert 400 == (await cloud.get(f"{USERS}?{query}")).status


async def test_a_change_keeps_what_it_does_not_name(cloud: Cloud) -> None:
    made = await cloud.make("user", name="eve", email="a@example.org", color="red")

    answer = await cloud.patch(f"{USERS}/{made['id']}", {"user": {"name": "eva", "color": None}})

    changed = answer.json["user"]
    assert 200 == answer.status
    assert ("eva", "a@example.org") == (changed["name"], changed["email"])
    assert "color" not in changed


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": ""},
        {"name": " "},
        {"name": "x" * 256},
        {"name": "x" * 10_000},
        {"name": "bell\x07"},
        {"name": "two\nlines"},
        {"name": 5},
        {"name": None},
        {"name": "a", "enabled": "yes"},
        {"name": "a", "password": "x" * 4097},
        {"name": "a", "password": 5},
        {"name": "a", "domain_id": "a b"},
        {"name": "a", "default_project_id": "default"},
    ],
)
async def test_a_user_that_makes_no_sense_is_refused(cloud: Cloud, fields: dict[str, Any]) -> None:
    answer = await cloud.post(USERS, {"user": fields})

    assert 400 == answer.status
    assert "Bad Request" == answer.json["error"]["title"]


@pytest.mark.parametrize("body", [b"", b"nonsense", {}, {"user": []}, [], {"project": {}}])
async def test_a_body_that_is_none_is_refused(cloud: Cloud, body: Any) -> None:
    assert 400 == (await cloud.post(USERS, body)).status


async def test_a_body_that_is_too_large_is_refused(cloud: Cloud) -> None:
    answer = await cloud.post(USERS, {"user": {"name": "a", "extra": "x" * 2_000_000}})

    assert 413 == answer.status
    assert 413 == answer.json["error"]["code"]


async def test_a_user_of_an_unknown_domain_is_not_made(cloud: Cloud) -> None:
    answer = await cloud.post(USERS, {"user": {"name": "a", "domain_id": UNKNOWN}})

    assert {"code": 404, "message": f"Could not find domain: {UNKNOWN}.", "title": "Not Found"} == answer.json["error"]


async def test_a_name_is_taken_once_in_a_domain_and_told_so(cloud: Cloud) -> None:
    other = await cloud.make("domain", name="other")
    eve = await cloud.make("user", name="eve")
    await cloud.make("user", name="eve", domain_id=other["id"])
    await cloud.make("user", name="Eve")

    again = await cloud.post(USERS, {"user": {"name": "eve"}})
    renamed = await cloud.patch(f"{USERS}/{eve['id']}", {"user": {"name": "demo"}})
    itself = await cloud.patch(f"{USERS}/{eve['id']}", {"user": {"name": "eve"}})

    assert 409 == again.status
    assert (
        "Conflict occurred attempting to store user - Duplicate entry found with name eve at domain ID default."
        == again.json["error"]["message"]
    )
    assert 409 == renamed.status
    assert 200 == itself.status


async def test_what_can_not_change_does_not(cloud: Cloud) -> None:
    other = await cloud.make("domain", name="other")
    eve = await cloud.make("user", name="eve")

    moved = await cloud.patch(f"{USERS}/{eve['id']}", {"user": {"domain_id": other["id"]}})
    replaced = await cloud.patch(f"{USERS}/{eve['id']}", {"user": {"id": UNKNOWN}})

    assert (400, 400) == (moved.status, replaced.status)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_user_is_not_found_and_others_learn_nothing(cloud: Cloud, method: str) -> None:
    body = {"user": {}} if method == "PATCH" else None

    answer = await cloud.request(method, f"{USERS}/{UNKNOWN}", body)
    by_demo = await cloud.request(method, f"{USERS}/{UNKNOWN}", body, token=cloud.demo)

    assert f"Could not find user: {UNKNOWN}." == answer.json["error"]["message"]
    assert 404 == answer.status
    assert 403 == by_demo.status


async def test_a_member_sees_itself_and_nobody_else(cloud: Cloud) -> None:
    users = {user["name"]: user["id"] for user in (await cloud.get(USERS)).json["users"]}

    own = await cloud.get(f"{USERS}/{users['demo']}", token=cloud.demo)
    other = await cloud.get(f"{USERS}/{users['admin']}", token=cloud.demo)
    everybody = await cloud.get(USERS, token=cloud.demo)
    new = await cloud.post(USERS, {"user": {"name": "a"}}, token=cloud.demo)
    itself = await cloud.patch(f"{USERS}/{users['demo']}", {"user": {"name": "root"}}, token=cloud.demo)

    assert [200, 403, 403, 403, 403] == [r.status for r in (own, other, everybody, new, itself)]
    assert {
        "code": 403,
        "message": "You are not authorized to perform the requested action: identity:list_users.",
        "title": "Forbidden",
    } == everybody.json["error"]


async def test_a_user_changes_its_password_and_its_tokens_end(cloud: Cloud) -> None:
    demo = (await cloud.get(USERS, name="demo")).json["users"][0]
    change = {"user": {"original_password": "demo-secret", "password": "new"}}

    answer = await cloud.post(f"{USERS}/{demo['id']}/password", change, token=cloud.demo)

    assert 204 == answer.status
    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status
    assert 401 == (await cloud.login("demo", "demo-secret")).status
    assert 201 == (await cloud.login("demo", "new")).status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"original_password": "wrong", "password": "new"}, 401),
        ({"password": "new"}, 400),
        ({"original_password": "demo-secret", "password": 5}, 400),
        ({"original_password": "demo-secret", "password": "new", "name": "x"}, 400),
    ],
)
async def test_a_password_is_not_changed_without_the_original(
    cloud: Cloud, change: dict[str, Any], status: int
) -> None:
    demo = (await cloud.get(USERS, name="demo")).json["users"][0]

    answer = await cloud.post(f"{USERS}/{demo['id']}/password", {"user": change}, token=cloud.demo)
    unknown = await cloud.post(f"{USERS}/{UNKNOWN}/password", {"user": change}, token=cloud.demo)

    assert (status, status) == (answer.status, unknown.status)
    assert 201 == (await cloud.login("demo", "demo-secret")).status


async def test_no_password_is_written_down_anywhere(cloud: Cloud) -> None:
    from micronova.db.journal import Entry

    made = await cloud.make("user", name="eve", password="hunter2")
    shown = (await cloud.get(f"{USERS}/{made['id']}")).content

    lines = await cloud.runtime.db.read(lambda tx: tx.find(Entry, row_id=made["id"]))

    assert b"hunter2" not in shown
    assert "hash" not in str(made)
    assert "***" == lines[0].after["password_hash"]
    assert "created by request" == lines[0].why


# -- groups


async def test_a_group_is_made_changed_and_deleted(cloud: Cloud) -> None:
    made = await cloud.make("group", name="g", description="d")
    changed = await cloud.patch(f"{GROUPS}/{made['id']}", {"group": {"description": "e"}})
    listed = await cloud.get(GROUPS, name="g")
    gone = await cloud.delete(f"{GROUPS}/{made['id']}")

    assert {"id", "name", "domain_id", "description", "links"} == set(made)
    assert "e" == changed.json["group"]["description"]
    assert [made["id"]] == [group["id"] for group in listed.json["groups"]]
    assert 204 == gone.status
    assert 404 == (await cloud.get(f"{GROUPS}/{made['id']}")).status


async def test_a_group_name_is_taken_once(cloud: Cloud) -> None:
    await cloud.make("group", name="g")

    assert 409 == (await cloud.post(GROUPS, {"group": {"name": "g"}})).status
    assert 400 == (await cloud.post(GROUPS, {"group": {"name": "g" * 65}})).status


async def test_members_come_and_go(cloud: Cloud) -> None:
    group, user = await cloud.make("group", name="g"), await cloud.make("user", name="eve")
    member = f"{GROUPS}/{group['id']}/users/{user['id']}"

    before = await cloud.head(member)
    put = [(await cloud.put(member)).status for _ in range(2)]
    during = await cloud.head(member)
    members = await cloud.get(f"{GROUPS}/{group['id']}/users")
    groups = await cloud.get(f"{USERS}/{user['id']}/groups")
    gone = [(await cloud.delete(member)).status for _ in range(2)]

    assert (404, [204, 204], 204, [204, 404]) == (before.status, put, during.status, gone)
    assert ["eve"] == [found["name"] for found in members.json["users"]]
    assert ["g"] == [found["name"] for found in groups.json["groups"]]


async def test_a_role_of_a_group_is_one_of_its_members_until_they_leave(cloud: Cloud) -> None:
    group, user = await cloud.make("group", name="g"), await cloud.make("user", name="eve", password="pw")
    project, role = await cloud.project_id("demo"), await cloud.role_id("reader")
    member = f"{GROUPS}/{group['id']}/users/{user['id']}"
    await cloud.put(f"/identity/v3/projects/{project}/groups/{group['id']}/roles/{role}")
    outside = await cloud.login("eve", "pw", in_project("demo"))
    await cloud.put(member)
    token = token_of(await cloud.login("eve", "pw", in_project("demo")))

    await cloud.delete(member)

    assert 401 == outside.status
    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=token)).status
