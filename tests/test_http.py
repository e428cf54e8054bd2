"""HTTP without a socket: tokens, bodies, versions, errors, paths."""

import json
from typing import Annotated, Any

import falcon.testing
import msgspec
import pytest

from micronova.clock import SystemClock
from micronova.compute.inputs import NAME
from micronova.context import Context
from micronova.errors import BadRequest, Conflict, Error, Forbidden, NotFound, Unauthorized
from micronova.http import Answer, Api, Front, Route, decode, explain
from micronova.microversion import Microversions


class Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Named(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(pattern=NAME)]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    thing: Name


class OnlyReaders:
    def require(self, ctx, rule, target=None):
        if "reader" not in ctx.roles:
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


def render(status, error):
    return "application/json", json.dumps(
        {"oops": {"code": status, "message": error.message, "type": error.type}}
    ).encode()


async def authenticate(token):
    if token == "good":
        return Context(request_id="", user_id="u", project_id="p", roles=("reader",))
    if token == "weak":
        return Context(request_id="", user_id="w", project_id="p")
    raise Unauthorized("The request you have made requires authentication.")


async def show(request):
    if request.path["id"] == "missing":
        raise NotFound("No such thing.")
    if request.path["id"] == "bug":
        raise ZeroDivisionError("secret detail")
    if request.path["id"] == "busy":
        raise Conflict("Not now.")
    return {"id": request.path["id"], "user": request.ctx.user_id, "request": request.ctx.request_id}


async def create(request):
    return Answer(
        status=201, body={"name": (await request.body(Body)).thing.name}, headers={"Location": request.root + "/x"}
    )


async def listed(request):
    return {"limit": request.limit(100), "names": request.get_all("name"), "last": request.get("name")}


async def newer(request):
    return {"version": request.version}


async def down(request):
    async def parts():
        yield b"ab"
        yield b"cd"

    return Answer(stream=parts(), content_type="application/octet-stream", length=4)


@pytest.fixture
def client():
    routes = (
        Route("GET", "/things/{id}", show, policy="show_thing"),
        Route("POST", "/things", create),
        Route("GET", "/things", listed),
        Route("GET", "/newer", newer, since=(2, 5), public=True),
        Route("GET", "/down", down, public=True),
    )
    api = Api(
        name="thing",
        prefix="/thing",
        routes=routes,
        render=render,
        statuses={Conflict: 423},
        microversions=Microversions(service="thing", minimum=(2, 1), maximum=(2, 9), legacy="X-Thing"),
    )
    front = Front([api], authenticate, OnlyReaders(), SystemClock(), max_body_bytes=1024)
    return falcon.testing.TestClient(front.app)


def get(client, path, token="good", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.simulate_get("/thing" + path, headers={"X-Auth-Token": token, **named})


def test_a_handler_sees_who_asks_and_the_request_id_goes_back(client):
    answer = get(client, "/things/t1")

    assert {"id": "t1", "user": "u", "request": answer.headers["x-openstack-request-id"]} == answer.json


@pytest.mark.parametrize(("token", "status"), [("", 401), ("garbled", 401), ("weak", 403), ("good", 200)])
def test_tokens_decide(client, token, status):
    assert status == get(client, "/things/t1", token).status_code


def test_401_says_where_to_log_in(client):
    assert "Keystone uri=" in get(client, "/things/t1", "garbled").headers["www-authenticate"]


@pytest.mark.parametrize(("id", "status", "message"), [("missing", 404, "No such thing."), ("busy", 423, "Not now.")])
def test_errors_take_the_apis_own_shape_and_status(client, id, status, message):
    answer = get(client, f"/things/{id}")

    assert (status, {"code": status, "message": message}) == (
        answer.status_code,
        {key: answer.json["oops"][key] for key in ("code", "message")},
    )


def test_a_bug_tells_the_request_id_and_nothing_else(client, caplog):
    answer = get(client, "/things/bug")

    assert 500 == answer.status_code
    assert "secret detail" not in answer.text
    assert answer.headers["x-openstack-request-id"] in answer.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"thing": {"name": 3}}', "thing.name: Expected `str`, got `int`"),
        (b'{"thing": {"name": "a", "nmae": 1}}', "unknown field `nmae`"),
        (b'{"thing": {}}', "missing required field `name`"),
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b'{"thing": {"name": "\xff"}}', "not valid JSON"),
        (b"[]", "Expected `object`, got `array`"),
    ],
)
def test_a_wrong_body_is_refused_with_the_path_of_the_field(client, body, told):
    answer = client.simulate_post("/thing/things", body=body, headers={"X-Auth-Token": "good"})

    assert 400 == answer.status_code
    assert told in answer.json["oops"]["message"]


def test_a_body_beyond_the_limit_is_refused(client):
    body = json.dumps({"thing": {"name": "x" * 2000}})

    answer = client.simulate_post("/thing/things", body=body, headers={"X-Auth-Token": "good"})

    assert 413 == answer.status_code


def test_created_things_answer_with_their_place(client):
    answer = client.simulate_post("/thing/things", json={"thing": {"name": "a"}}, headers={"X-Auth-Token": "good"})

    assert (201, {"name": "a"}) == (answer.status_code, answer.json)
    assert answer.headers["location"].endswith("/thing/x")


def test_query_parameters_may_repeat(client):
    assert {"limit": 2, "names": ["a", "b c"], "last": "b c"} == get(client, "/things?name=a&name=b%20c&limit=2").json


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", ""])
def test_a_limit_that_is_no_number_is_refused(client, limit):
    assert 400 == get(client, f"/things?limit={limit}").status_code


@pytest.mark.parametrize(
    ("headers", "status", "version"),
    [
        ({}, 404, None),
        ({"OpenStack_API_Version": "thing 2.5"}, 200, [2, 5]),
        ({"OpenStack_API_Version": "other 1.1, thing 2.6"}, 200, [2, 6]),
        ({"OpenStack_API_Version": "thing latest"}, 200, [2, 9]),
        ({"X_Thing": "2.7"}, 200, [2, 7]),
        ({"OpenStack_API_Version": "thing 2.10"}, 406, None),
        ({"OpenStack_API_Version": "thing two"}, 400, None),
    ],
)
def test_microversions_are_negotiated(client, headers, status, version):
    answer = get(client, "/newer", **headers)

    assert status == answer.status_code
    assert version is None or version == answer.json["version"]


def test_answers_name_their_version(client):
    headers = get(client, "/newer", OpenStack_API_Version="thing 2.5").headers

    assert ("thing 2.5", "2.5") == (headers["openstack-api-version"], headers["x-thing"])
    assert "OpenStack-API-Version" in headers["vary"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/things", 405)])
def test_unknown_paths_and_methods_take_the_apis_shape(client, method, path, status):
    answer = client.simulate_request(method, "/thing" + path, headers={"X-Auth-Token": "good"})

    assert (status, status) == (answer.status_code, answer.json["oops"]["code"])


def test_a_stream_is_sent_as_it_comes(client):
    answer = get(client, "/down")

    assert (b"abcd", "4") == (answer.content, answer.headers["content-length"])


def test_head_answers_like_get_without_a_body(client):
    answer = client.simulate_head("/thing/things/t1", headers={"X-Auth-Token": "good"})

    assert (200, b"") == (answer.status_code, answer.content)


def test_a_slash_at_the_end_does_not_matter(client):
    assert 200 == get(client, "/things/t1/").status_code


def test_a_body_nested_without_end_is_refused():
    with pytest.raises(BadRequest, match="nested too deeply"):
        decode(b'{"a":' * 200_000, Any)


def test_an_error_names_its_type():
    assert "Conflict" == Conflict("x").type
    assert "PortInUse" == Conflict("x", type="PortInUse").type
    assert "Error" == Error("x").type


def test_a_name_that_can_not_be_is_told_without_its_pattern():
    with pytest.raises(msgspec.ValidationError) as told:
        msgspec.json.decode(b'{"name": " blank"}', type=Named)

    assert "name: It must be printable characters, and can not start or end with whitespace." == explain(told.value)
