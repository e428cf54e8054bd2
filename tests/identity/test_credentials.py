"""Application credentials, EC2 keys, and stored credentials."""

from datetime import timedelta
from typing import Any

import pytest
from identity_world import Cloud, in_project, token_of

V3 = "/identity/v3"
UNKNOWN = "0" * 32


async def user_id(cloud: Cloud, name: str = "demo") -> str:
    return str((await cloud.get(f"{V3}/users", name=name)).json["users"][0]["id"])


async def app(cloud: Cloud, **fields: Any) -> Any:
    path = f"{V3}/users/{await user_id(cloud)}/application_credentials"
    return await cloud.post(path, {"application_credential": {"name": "ac", **fields}}, token=cloud.demo)


async def login(cloud: Cloud, id: str, secret: str, scope: Any = None) -> Any:
    proof = {"id": id, "secret": secret}
    return await cloud.prove({"methods": ["application_credential"], "application_credential": proof}, scope)


async def test_an_application_credential_is_shown_as_keystone_does_and_its_secret_once(cloud: Cloud) -> None:
    made = (await app(cloud, description="d")).json["application_credential"]

    one = f"{V3}/users/{await user_id(cloud)}/application_credentials/{made['id']}"
    shown = (await cloud.get(one, token=cloud.demo)).json["application_credential"]
    listed = (await cloud.get(one.rpartition("/")[0], token=cloud.demo, name="ac")).json["application_credentials"]

    assert made == {**shown, "secret": made["secret"]}
    assert [shown] == listed
    assert ["member", "reader"] == sorted(role["name"] for role in shown["roles"])
    assert (await cloud.project_id("demo"), None, False) == (
        shown["project_id"],
        shown["expires_at"],
        shown["unrestricted"],
    )


@pytest.mark.parametrize("chosen", [None, "a secret of one's own"])
async def test_it_logs_in_to_its_project_with_its_roles(cloud: Cloud, chosen: str | None) -> None:
    made = (await app(cloud, secret=chosen, roles=[{"name": "reader"}])).json["application_credential"]

    answer = await login(cloud, made["id"], made["secret"])
    wrong = await login(cloud, made["id"], "wrong")
    elsewhere = await login(cloud, made["id"], made["secret"], in_project("admin"))

    token = answer.json["token"]
    assert 201 == answer.status
    assert "demo" == token["project"]["name"]
    assert ["reader"] == [role["name"] for role in token["roles"]]
    assert {"id": made["id"], "name": "ac", "restricted": True} == token["application_credential"]
    assert ["application_credential"] == token["methods"]
    assert (401, 401) == (wrong.status, elsewhere.status)
    assert chosen in (None, made["secret"])


async def test_it_logs_in_by_name_and_user(cloud: Cloud) -> None:
    made = (await app(cloud)).json["application_credential"]
    proof = {"name": "ac", "user": {"id": await user_id(cloud)}, "secret": made["secret"]}

    answer = await cloud.prove({"methods": ["application_credential"], "application_credential": proof})

    assert 201 == answer.status


async def test_its_token_earns_no_wider_one(cloud: Cloud) -> None:
    made = (await app(cloud, roles=[{"name": "reader"}])).json["application_credential"]
    token = token_of(await login(cloud, made["id"], made["secret"]))

    again = await cloud.prove({"methods": ["token"], "token": {"id": token}})
    wider = await cloud.prove({"methods": ["token"], "token": {"id": token}}, in_project("demo"))

    assert ["reader"] == [role["name"] for role in again.json["token"]["roles"]]
    assert 401 == wider.status


async def test_a_restricted_one_makes_and_deletes_no_others(cloud: Cloud) -> None:
    made = (await app(cloud)).json["application_credential"]
    free = (await app(cloud, name="free", unrestricted=True)).json["application_credential"]
    path = f"{V3}/users/{await user_id(cloud)}/application_credentials"
    body = {"application_credential": {"name": "new"}}

    token = token_of(await login(cloud, made["id"], made["secret"]))
    refused = [await cloud.post(path, body, token=token), await cloud.delete(f"{path}/{made['id']}", token=token)]
    token = token_of(await login(cloud, free["id"], free["secret"]))
    allowed = await cloud.post(path, body, token=token)

    assert [403, 403] == [answer.status for answer in refused]
    assert 201 == allowed.status


async def test_deleting_it_ends_its_tokens_at_once(cloud: Cloud) -> None:
    made = (await app(cloud)).json["application_credential"]
    token = token_of(await login(cloud, made["id"], made["secret"]))

    path = f"{V3}/users/{await user_id(cloud)}/application_credentials/{made['id']}"
    gone = [(await cloud.delete(path, token=cloud.demo)).status for _ in range(2)]

    assert [204, 404] == gone
    assert 401 == (await cloud.get(f"{V3}/auth/projects", token=token)).status
    assert 401 == (await login(cloud, made["id"], made["secret"])).status


async def test_losing_the_role_ends_it(cloud: Cloud) -> None:
    made = (await app(cloud)).json["application_credential"]
    project, demo = await cloud.project_id("demo"), await user_id(cloud)
    await cloud.put(f"{V3}/projects/{project}/users/{demo}/roles/{await cloud.role_id('reader')}")

    await cloud.delete(f"{V3}/projects/{project}/users/{demo}/roles/{await cloud.role_id('member')}")

    assert 401 == (await login(cloud, made["id"], made["secret"])).status


async def test_it_ends_when_it_said(cloud: Cloud) -> None:
    soon = f"{cloud.clock.now() + timedelta(hours=1):%Y-%m-%dT%H:%M:%S.%f}"
    made = (await app(cloud, expires_at=soon)).json["application_credential"]
    answer = await login(cloud, made["id"], made["secret"])

    cloud.clock.ahead = timedelta(hours=2)

    assert soon == made["expires_at"]
    assert f"{soon}Z" == answer.json["token"]["expires_at"]
    assert 401 == (await cloud.get(f"{V3}/auth/projects", token=token_of(answer))).status
    assert 401 == (await login(cloud, made["id"], made["secret"])).status


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": 5},
        {"color": "red"},
        {"expires_at": "tomorrow"},
        {"expires_at": "2001-01-01T00:00:00"},
        {"roles": [{"name": "admin"}]},
        {"roles": [{"id": UNKNOWN}]},
        {"roles": ["member"]},
        {"access_rules": [{"path": "/", "method": "GET", "service": "compute"}]},
    ],
)
async def test_one_that_makes_no_sense_is_refused(cloud: Cloud, fields: dict[str, Any]) -> None:
    assert 400 == (await app(cloud, **fields)).status


async def test_its_name_is_taken_once(cloud: Cloud) -> None:
    assert [201, 409] == [(await app(cloud)).status for _ in range(2)]


async def test_nobody_makes_one_for_another(cloud: Cloud) -> None:
    path = f"{V3}/users/{await user_id(cloud, 'admin')}/application_credentials"
    body = {"application_credential": {"name": "ac"}}

    unscoped = token_of(await cloud.login("demo", "demo-secret"))
    own = f"{V3}/users/{await user_id(cloud)}/application_credentials"

    assert 403 == (await cloud.post(path, body, token=cloud.demo)).status
    assert 403 == (await cloud.get(path, token=cloud.demo)).status
    assert 403 == (await cloud.post(own, body)).status
    assert 400 == (await cloud.post(own, body, token=unscoped)).status


# -- EC2 keys


async def test_a_user_has_ec2_keys(cloud: Cloud) -> None:
    keys, project = f"{V3}/users/{await user_id(cloud)}/credentials/OS-EC2", await cloud.project_id("demo")

    made = await cloud.post(keys, {"tenant_id": project}, token=cloud.demo)
    key = made.json["credential"]
    shown = await cloud.get(f"{keys}/{key['access']}", token=cloud.demo)
    listed = await cloud.get(keys, token=cloud.demo)
    gone = [(await cloud.delete(f"{keys}/{key['access']}", token=cloud.demo)).status for _ in range(2)]

    assert 201 == made.status
    assert {"access", "secret", "user_id", "tenant_id", "trust_id", "links"} == set(key)
    assert key == shown.json["credential"]
    assert [key] == listed.json["credentials"]
    assert [204, 404] == gone


async def test_ec2_keys_of_others_are_not_shown(cloud: Cloud) -> None:
    keys = f"{V3}/users/{await user_id(cloud, 'admin')}/credentials/OS-EC2"

    assert 403 == (await cloud.get(keys, token=cloud.demo)).status
    assert 403 == (await cloud.post(keys, {"tenant_id": "x"}, token=cloud.demo)).status
    assert 404 == (await cloud.post(keys, {"tenant_id": UNKNOWN})).status


# -- stored credentials


async def test_a_secret_is_kept_for_a_user(cloud: Cloud) -> None:
    demo = await user_id(cloud)
    made = await cloud.make("credential", type="cert", blob="{}", user_id=demo)
    one = f"{V3}/credentials/{made['id']}"

    changed = await cloud.patch(one, {"credential": {"blob": "new"}}, token=cloud.demo)
    own = await cloud.get(f"{V3}/credentials", token=cloud.demo)
    stolen = await cloud.patch(one, {"credential": {"user_id": await user_id(cloud, "admin")}}, token=cloud.demo)
    gone = [(await cloud.delete(one)).status for _ in range(2)]

    assert {"id", "type", "blob", "user_id", "project_id", "links"} == set(made)
    assert "new" == changed.json["credential"]["blob"]
    assert [made["id"]] == [found["id"] for found in own.json["credentials"]]
    assert 403 == stolen.status
    assert [204, 404] == gone


async def test_a_secret_of_another_is_not_shown(cloud: Cloud) -> None:
    made = await cloud.make("credential", type="cert", blob="{}", user_id=await user_id(cloud, "admin"))

    assert 403 == (await cloud.get(f"{V3}/credentials/{made['id']}", token=cloud.demo)).status
    assert [] == (await cloud.get(f"{V3}/credentials", token=cloud.demo)).json["credentials"]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "cert"},
        {"type": "ec2", "blob": "nonsense", "project_id": "p"},
        {"type": "ec2", "blob": "{}", "project_id": "p"},
        {"type": "ec2", "blob": '{"access": "a"}'},
        {"type": 5, "blob": "x"},
    ],
)
async def test_a_secret_that_makes_no_sense_is_refused(cloud: Cloud, fields: dict[str, Any]) -> None:
    body = {"credential": {"user_id": await user_id(cloud), **fields}}

    assert 400 == (await cloud.post(f"{V3}/credentials", body)).status
