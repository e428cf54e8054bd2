"""Tokens over HTTP: proof, scope, what they say, and how they end."""

from datetime import timedelta
from typing import Any

import pytest
from identity_world import Cloud, in_project, token_of

from micronova.errors import Unauthorized

REFUSED = {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}
TOKENS = "/identity/v3/auth/tokens"


async def test_a_password_earns_a_token_that_says_who_where_and_with_which_roles(cloud: Cloud) -> None:
    answer = await cloud.login("demo", "demo-secret", in_project("demo"))

    token = answer.json["token"]
    assert 201 == answer.status
    assert "X-Auth-Token" == answer.headers["vary"]
    assert ["password"] == token["methods"]
    assert {"id": "default", "name": "Default"} == token["user"]["domain"]
    assert "demo" == token["project"]["name"]
    assert ["member", "reader"] == [role["name"] for role in token["roles"]]
    assert ["compute", "identity"] == [service["type"] for service in token["catalog"]]
    assert "http://cloud.test/compute/v2.1" == token["catalog"][0]["endpoints"][0]["url"]
    assert 1 == len(token["audit_ids"])


async def test_the_identity_behind_a_token_has_lower_case_roles_and_knows_an_administrator(cloud: Cloud) -> None:
    ctx = await cloud.manager.authenticate(cloud.token)
    demo = await cloud.manager.authenticate(cloud.demo)

    assert ("admin", "manager", "member", "reader") == ctx.roles
    assert ctx.is_admin
    assert ("member", "reader") == demo.roles
    assert not demo.is_admin
    assert ("demo", "demo", "default", "default") == (
        demo.user_name,
        demo.project_name,
        demo.user_domain_id,
        demo.project_domain_id,
    )


async def test_a_token_without_scope_has_neither_roles_nor_catalog(cloud: Cloud) -> None:
    answer = await cloud.login("demo", "demo-secret")

    assert {"methods", "user", "audit_ids", "expires_at", "issued_at"} == set(answer.json["token"])


async def test_the_default_project_is_the_scope_unless_none_is_asked_for(cloud: Cloud) -> None:
    project_id = await cloud.project_id("demo")
    users = await cloud.get("/identity/v3/users", name="demo")
    await cloud.patch(
        f"/identity/v3/users/{users.json['users'][0]['id']}", {"user": {"default_project_id": project_id}}
    )

    implied = await cloud.login("demo", "demo-secret")
    unscoped = await cloud.login("demo", "demo-secret", "unscoped")
    also_unscoped = await cloud.login("demo", "demo-secret", {"unscoped": {}})

    assert project_id == implied.json["token"]["project"]["id"]
    assert "project" not in unscoped.json["token"]
    assert "project" not in also_unscoped.json["token"]


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ({"domain": {"id": "default"}}, {"domain": {"id": "default", "name": "Default"}}),
        ({"domain": {"name": "Default"}}, {"domain": {"id": "default", "name": "Default"}}),
        ({"system": {"all": True}}, {"system": {"all": True}}),
    ],
)
async def test_a_domain_and_the_system_are_scopes_too(cloud: Cloud, scope: Any, shown: Any) -> None:
    answer = await cloud.login("admin", "secret", scope)

    assert 201 == answer.status
    assert shown.items() <= answer.json["token"].items()
    assert "project" not in answer.json["token"]


@pytest.mark.parametrize(
    ("name", "password", "scope"),
    [
        ("demo", "wrong", None),
        ("nobody", "demo-secret", None),
        ("demo", "", None),
        ("demo", "x" * 10_000, None),
        ("demo", "demo-secret", in_project("admin")),
        ("demo", "demo-secret", in_project("nowhere")),
        ("demo", "demo-secret", {"project": {"id": "default"}}),
        ("demo", "demo-secret", {"domain": {"id": "default"}}),
        ("demo", "demo-secret", {"domain": {"name": "nowhere"}}),
        ("demo", "demo-secret", {"system": {"all": True}}),
    ],
)
async def test_whatever_is_wrong_the_refusal_is_the_same(cloud: Cloud, name: str, password: str, scope: Any) -> None:
    answer = await cloud.login(name, password, scope)

    assert 401 == answer.status
    assert REFUSED == answer.json["error"]
    assert "x-subject-token" not in answer.headers
    assert answer.headers["www-authenticate"].startswith("Keystone uri=")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        ({}, 400),
        ({"auth": {}}, 400),
        ({"auth": {"identity": {"methods": "password"}}}, 400),
        ({"auth": {"identity": {"methods": ["password"]}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": "b"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "b"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "b"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": 5, "password": "b"}}}}}, 400),
        ({"auth": {"identity": {"methods": []}}}, 401),
        ({"auth": {"identity": {"methods": ["saml2"]}}}, 401),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": "nonsense"}}}}, 404),
        ({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {}}}}, 400),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(cloud: Cloud, body: Any, status: int) -> None:
    answer = await cloud.post(TOKENS, body, token="")

    assert status == answer.status
    assert status == answer.json["error"]["code"]


@pytest.mark.parametrize("scope", [{"project": {}}, {"project": {"name": "demo"}}, {"domain": {}}, "elsewhere", {}])
async def test_a_scope_that_makes_no_sense_is_refused(cloud: Cloud, scope: Any) -> None:
    assert 400 == (await cloud.login("demo", "demo-secret", scope)).status


@pytest.mark.parametrize("token", ["nonsense", "gAAAAA", "x" * 5000, "gAAAAA\u00fc"])
async def test_what_is_no_token_of_ours_is_refused(cloud: Cloud, token: str) -> None:
    with pytest.raises(Unauthorized):
        await cloud.manager.authenticate(token)


async def test_a_changed_letter_makes_a_token_worthless(cloud: Cloud) -> None:
    changed = cloud.demo[:50] + ("A" if cloud.demo[50] != "A" else "B") + cloud.demo[51:]

    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=changed)).status


async def test_a_token_ends_when_its_time_is_over(cloud: Cloud) -> None:
    cloud.clock.ahead = timedelta(hours=13)

    answer = await cloud.get("/identity/v3/auth/projects", token=cloud.demo)

    assert REFUSED == answer.json["error"]


async def test_a_token_earns_another_that_ends_no_later(cloud: Cloud) -> None:
    unscoped = await cloud.login("demo", "demo-secret")
    cloud.clock.ahead = timedelta(hours=1)

    answer = await cloud.prove({"methods": ["token"], "token": {"id": token_of(unscoped)}}, in_project("demo"))

    first, second = unscoped.json["token"], answer.json["token"]
    assert first["expires_at"] == second["expires_at"]
    assert first["issued_at"] != second["issued_at"]
    assert {"password", "token"} == set(second["methods"])
    assert first["audit_ids"][0] == second["audit_ids"][1]
    assert "demo" == second["project"]["name"]


async def test_two_proofs_must_be_of_the_same_user(cloud: Cloud) -> None:
    user = {"name": "admin", "domain": {"id": "default"}, "password": "secret"}

    answer = await cloud.prove(
        {"methods": ["password", "token"], "password": {"user": user}, "token": {"id": cloud.demo}}
    )

    assert REFUSED == answer.json["error"]


# -- validation and revocation


async def subject(cloud: Cloud, method: str, token: str, by: str) -> Any:
    return await cloud.request(method, TOKENS, token=by, headers={"X-Subject-Token": token})


async def test_an_administrator_can_look_at_any_token_and_everybody_at_their_own(cloud: Cloud) -> None:
    by_admin = await subject(cloud, "GET", cloud.demo, cloud.token)
    by_owner = await subject(cloud, "GET", cloud.demo, cloud.demo)
    by_other = await subject(cloud, "GET", cloud.token, cloud.demo)
    head = await subject(cloud, "HEAD", cloud.demo, cloud.token)

    assert (200, 200, 403) == (by_admin.status, by_owner.status, by_other.status)
    assert cloud.demo == by_admin.headers["x-subject-token"]
    assert by_admin.json == by_owner.json
    assert (200, b"") == (head.status, head.content)


async def test_a_catalog_is_left_out_on_request(cloud: Cloud) -> None:
    answer = await cloud.request("GET", TOKENS + "?nocatalog", headers={"X-Subject-Token": cloud.demo})

    assert "catalog" not in answer.json["token"]


async def test_looking_at_what_is_no_token_finds_nothing(cloud: Cloud) -> None:
    assert 404 == (await subject(cloud, "GET", "nonsense", cloud.token)).status
    assert 404 == (await cloud.get(TOKENS)).status


async def test_a_token_that_was_given_back_ends_at_once_in_every_process(cloud: Cloud) -> None:
    other = cloud.another()
    await other.authenticate(cloud.demo)

    gone = await subject(cloud, "DELETE", cloud.demo, cloud.demo)

    assert 204 == gone.status
    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status
    assert 404 == (await subject(cloud, "GET", cloud.demo, cloud.token)).status
    with pytest.raises(Unauthorized):
        await other.authenticate(cloud.demo)


async def test_giving_back_a_scoped_token_leaves_the_one_it_came_from(cloud: Cloud) -> None:
    first = token_of(await cloud.login("demo", "demo-secret"))
    second = token_of(await cloud.prove({"methods": ["token"], "token": {"id": first}}, in_project("demo")))

    await subject(cloud, "DELETE", second, second)

    assert 200 == (await cloud.get("/identity/v3/auth/projects", token=first)).status


async def test_nobody_ends_the_token_of_another(cloud: Cloud) -> None:
    assert 403 == (await subject(cloud, "DELETE", cloud.token, cloud.demo)).status
    assert 200 == (await cloud.get("/identity/v3/users")).status


async def demo_user(cloud: Cloud) -> str:
    return f"/identity/v3/users/{(await cloud.get('/identity/v3/users', name='demo')).json['users'][0]['id']}"


async def disable_user(cloud: Cloud) -> None:
    await cloud.patch(await demo_user(cloud), {"user": {"enabled": False}})


async def reset_password(cloud: Cloud) -> None:
    await cloud.patch(await demo_user(cloud), {"user": {"password": "new"}})


async def delete_user(cloud: Cloud) -> None:
    await cloud.delete(await demo_user(cloud))


async def disable_project(cloud: Cloud) -> None:
    await cloud.patch(f"/identity/v3/projects/{await cloud.project_id('demo')}", {"project": {"enabled": False}})


async def delete_project(cloud: Cloud) -> None:
    await cloud.delete(f"/identity/v3/projects/{await cloud.project_id('demo')}")


async def disable_domain(cloud: Cloud) -> None:
    await cloud.patch("/identity/v3/domains/default", {"domain": {"enabled": False}})


async def remove_role(cloud: Cloud) -> None:
    project, role = await cloud.project_id("demo"), await cloud.role_id("member")
    user = (await demo_user(cloud)).rpartition("/")[2]
    assert 204 == (await cloud.delete(f"/identity/v3/projects/{project}/users/{user}/roles/{role}")).status


@pytest.mark.parametrize(
    "end", [disable_user, reset_password, delete_user, disable_project, delete_project, disable_domain, remove_role]
)
async def test_what_takes_rights_away_ends_tokens_at_once_in_every_process(cloud: Cloud, end: Any) -> None:
    other = cloud.another()
    await other.authenticate(cloud.demo)

    await end(cloud)

    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status
    with pytest.raises(Unauthorized):
        await other.authenticate(cloud.demo)
    with pytest.raises(Unauthorized):
        await other.authenticate(cloud.demo)


@pytest.mark.parametrize(("noun", "plural"), [("user", "users"), ("project", "projects")])
async def test_enabling_again_does_not_bring_old_tokens_back(cloud: Cloud, noun: str, plural: str) -> None:
    found = (await cloud.get(f"/identity/v3/{plural}", name="demo")).json[plural][0]
    for enabled in (False, True):
        await cloud.patch(f"/identity/v3/{plural}/{found['id']}", {noun: {"enabled": enabled}})

    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status
    assert 201 == (await cloud.login("demo", "demo-secret", in_project("demo"))).status


async def test_an_unchanged_update_ends_no_token(cloud: Cloud) -> None:
    await cloud.patch(await demo_user(cloud), {"user": {"enabled": True, "email": "a@example.org"}})

    assert 200 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status


async def test_a_new_role_shows_in_the_token_one_holds(cloud: Cloud) -> None:
    project, role = await cloud.project_id("demo"), await cloud.role_id("manager")
    user = (await demo_user(cloud)).rpartition("/")[2]

    await cloud.put(f"/identity/v3/projects/{project}/users/{user}/roles/{role}")

    assert "manager" in (await cloud.manager.authenticate(cloud.demo)).roles


async def test_revocations_are_forgotten_once_their_tokens_have_expired(cloud: Cloud) -> None:
    from micronova.identity.db import Revocation

    await subject(cloud, "DELETE", cloud.demo, cloud.demo)
    await cloud.manager.forget_revocations(cloud.ctx)
    before = await cloud.runtime.db.read(lambda tx: tx.count(Revocation))
    cloud.clock.ahead = timedelta(hours=13)

    await cloud.manager.forget_revocations(cloud.ctx)

    assert 1 == before
    assert 0 == await cloud.runtime.db.read(lambda tx: tx.count(Revocation))
    assert 401 == (await cloud.get("/identity/v3/auth/projects", token=cloud.demo)).status


async def test_the_memory_for_tokens_is_bounded(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micronova.identity.authentication.REMEMBERED", 3)
    manager = cloud.another()
    tokens = [token_of(await cloud.login("demo", "demo-secret")) for _ in range(5)]

    for token in tokens:
        await manager.authenticate(token)

    assert 3 == len(manager._known)


async def test_what_one_can_enter_is_listed(cloud: Cloud) -> None:
    projects = await cloud.get("/identity/v3/auth/projects", token=cloud.demo)
    domains = await cloud.get("/identity/v3/auth/domains", token=cloud.demo)
    system = await cloud.get("/identity/v3/auth/system", token=cloud.demo)
    admins = await cloud.get("/identity/v3/auth/system")

    assert ["demo"] == [project["name"] for project in projects.json["projects"]]
    assert [] == domains.json["domains"]
    assert [] == system.json["system"]
    assert [{"all": True}] == admins.json["system"]


async def test_no_token_no_answer(cloud: Cloud) -> None:
    answer = await cloud.get("/identity/v3/users", token="")

    assert REFUSED == answer.json["error"]
