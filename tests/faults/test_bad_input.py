"""What a user may send to any API that is wrong: the exact refusal, never a 500, and the cloud goes on."""

import base64
import json
import re

import pytest
from outside import wait_for

NOWHERE = "11111111-2222-3333-4444-555555555555"
LONG = "n" * 10_000
LIMIT = 1_048_576

NAMED = {
    "/identity/v3/projects": lambda name: {"project": {"name": name}},
    "/identity/v3/users": lambda name: {"user": {"name": name, "password": "x"}},
    "/identity/v3/roles": lambda name: {"role": {"name": name}},
    "/identity/v3/domains": lambda name: {"domain": {"name": name}},
    "/identity/v3/groups": lambda name: {"group": {"name": name}},
    "/image/v2/images": lambda name: {"name": name},
    "/network/v2.0/networks": lambda name: {"network": {"name": name}},
    "/network/v2.0/security-groups": lambda name: {"security_group": {"name": name}},
    "/compute/v2.1/flavors": lambda name: {"flavor": {"name": name, "ram": 1, "vcpus": 1, "disk": 1}},
    "/compute/v2.1/os-keypairs": lambda name: {"keypair": {"name": name, "type": "ssh", "public_key": KEY}},
    "/compute/v2.1/os-aggregates": lambda name: {"aggregate": {"name": name}},
    "/compute/v2.1/os-server-groups": lambda name: {"server_group": {"name": name, "policy": "affinity"}},
}
"""Where named things are made, and with what body."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBGEWW6AX71Mf6p79PG74s7oAnINnFFNobcvLeqvKJAF me"
EVERY_POST = (
    *NAMED,
    "/network/v2.0/subnets",
    "/network/v2.0/ports",
    "/network/v2.0/security-group-rules",
    "/compute/v2.1/servers",
)
LISTS = (
    *EVERY_POST,
    "/identity/v3/role_assignments",
    "/compute/v2.1/os-hypervisors",
    "/compute/v2.1/os-services",
    "/compute/v2.1/servers/detail",
)
SHOWN = (
    "/identity/v3/projects/{}",
    "/identity/v3/users/{}",
    "/identity/v3/roles/{}",
    "/identity/v3/domains/{}",
    "/image/v2/images/{}",
    "/image/v2/images/{}/file",
    "/network/v2.0/networks/{}",
    "/network/v2.0/subnets/{}",
    "/network/v2.0/ports/{}",
    "/network/v2.0/security-groups/{}",
    "/network/v2.0/security-group-rules/{}",
    "/compute/v2.1/servers/{}",
    "/compute/v2.1/flavors/{}",
    "/compute/v2.1/os-keypairs/{}",
    "/compute/v2.1/os-hypervisors/{}",
)
BAD_IDS = (NOWHERE, "nope", "%00", "..%2f..%2fetc", "a" * 300, "%ff", "'; DROP TABLE servers; --", "-1", "é")


def told(answer, *statuses):
    """The answer has one of these statuses and a JSON body with a sentence."""
    text = answer.text
    assert answer.status_code in statuses, (answer.request.method, answer.request.url, answer.status_code, text[:400])
    if answer.request.method != "HEAD":
        body = json.loads(text) if "json" in answer.headers.get("content-type", "") else text
        assert body, answer.request.url
    return text


@pytest.mark.parametrize("path", NAMED)
@pytest.mark.parametrize("name", [LONG, "a\x00b", 7, ["x"], {"a": 1}], ids=["long", "zero", "int", "list", "dict"])
def test_names_that_are_none(admin, path, name):
    told(admin.ask("POST", path, NAMED[path](name)), 400)


@pytest.mark.parametrize("path", [path for path in NAMED if path.startswith("/compute")])
def test_control_characters_in_the_names_of_compute(admin, path):
    told(admin.ask("POST", path, NAMED[path]("bell\x07")), 400)


@pytest.mark.parametrize("path", EVERY_POST)
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"x": ', b"\xff\xfe", b'{"a":' * 2000, b"[" * 100_000, b"\x00"],
)
def test_bodies_that_are_none(admin, path, raw):
    statuses = (400, 201) if path == "/image/v2/images" and raw == b"{}" else (400,)
    if path == "/network/v2.0/networks":
        statuses = (400,)

    told(admin.ask("POST", path, raw=raw), *statuses)


@pytest.mark.parametrize("path", EVERY_POST)
def test_oversized_bodies(admin, path):
    told(admin.ask("POST", path, raw=b" " * (LIMIT + 1)), 413, 400)


def test_a_body_that_lies_about_its_end(admin):
    def endless():
        for _ in range(40):
            yield b" " * 65536

    answer = admin.http.post("/compute/v2.1/servers", content=endless(), headers=admin.headers)

    told(answer, 413, 400)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("token", [b"garbled", b"gAAAAA" + b"x" * 200, b"\xff\xfe", b"", b"x" * 8000], ids=range(5))
def test_garbled_tokens(admin, path, token):
    headers = [(b"X-Auth-Token", token), (b"OpenStack-API-Version", b"compute 2.90")]

    told(admin.http.get(path, headers=headers), 401)


def test_a_revoked_token_and_one_of_another_cloud(simulated, admin):
    session = simulated.session()
    one = session.token
    assert session.ask("DELETE", "/identity/v3/auth/tokens", **{"X-Subject-Token": one}).status_code == 204

    told(session.ask("GET", "/compute/v2.1/servers"), 401)
    middle = len(one) // 2
    swapped = one[:middle] + ("A" if one[middle] != "A" else "B") + one[middle + 1 :]
    told(admin.ask("GET", "/compute/v2.1/servers", **{"X-Auth-Token": swapped}), 401)


def test_a_wrong_password_does_not_say_what_was_wrong(admin):
    bodies = []
    for name, password in (("admin", "wrong"), ("nobody-has-this-name", "wrong")):
        user = {"name": name, "domain": {"name": "Default"}, "password": password}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        bodies.append(told(admin.http.post("/identity/v3/auth/tokens", json=body), 401))

    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("path", SHOWN)
def test_unknown_ids(admin, path):
    for id in BAD_IDS:
        for method in ("GET", "DELETE") if "file" not in path else ("GET",):
            told(admin.ask(method, path.format(id)), 404, 400, *((405,) if "hypervisors" in path else ()))


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "marker=nope", "sort_key=nope", "name=%00", "name=%ff", "limit=1&limit=2", "x" * 5000],
)
def test_queries_that_are_odd(admin, path, query):
    answer = admin.ask("GET", f"{path}?{query}")

    assert answer.status_code in (200, 400, 404, 414), (path, query, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "path", ["/compute/v2.1/nope", "/nope", "/identity/v9", "/network/v2.0/nope", "/image/v2/nope", "/%00"]
)
def test_paths_that_are_none(admin, path):
    told(admin.ask("GET", path), 404)


def test_microversions_that_are_none(admin):
    path = "/compute/v2.1/servers"

    told(admin.ask("GET", path, **{"OpenStack-API-Version": "compute 2.9999"}), 406)
    told(admin.ask("GET", path, **{"OpenStack-API-Version": "compute nonsense"}), 400)


def test_a_flavor_larger_than_every_host_is_told_by_how_much(admin, image):
    network = admin.network("10.32.0.0/24", name="large")
    body = {"flavor": {"name": "huge", "ram": 4_000_000, "vcpus": 1, "disk": 1}}
    flavor = admin.post("/compute/v2.1/flavors", body)["flavor"]["id"]

    id = admin.boot(image, network, "huge", flavorRef=flavor)
    server = admin.settled(id)

    assert server["status"] == "ERROR"
    assert "No valid host was found" in server["fault"]["message"]
    assert re.search(r"too little memory.* \d+ MiB short", server["fault"]["message"]), server["fault"]
    admin.delete_server(id)


def test_no_free_address_is_a_fault_and_nothing_leaks(simulated, admin, image):
    pool = [{"start": "10.33.0.2", "end": "10.33.0.2"}]
    network = admin.network("10.33.0.0/29", name="full", allocation_pools=pool)
    first = admin.boot(image, network, "first")
    assert admin.settled(first)["status"] == "ACTIVE"

    second = admin.boot(image, network, "second")
    server = admin.settled(second)

    assert server["status"] == "ERROR"
    assert "address" in server["fault"]["message"].lower(), server["fault"]
    ports = admin.get(f"/network/v2.0/ports?network_id={network}")["ports"]
    assert {first} == {port["device_id"] for port in ports if port["device_owner"].startswith("compute:")}
    admin.delete_server(second)
    admin.delete_server(first)
    third = admin.boot(image, network, "third")
    assert admin.settled(third)["status"] == "ACTIVE"
    admin.delete_server(third)


def test_an_image_that_lies_about_its_format_boots_nothing(admin):
    made = admin.image(b"#!/bin/sh\n" * 1000, form="qcow2", name="liar")
    network = admin.network("10.35.0.0/24", name="lied")

    server = admin.settled(admin.boot(made, network, "lied"))

    assert server["status"] == "ERROR"
    assert "says it is qcow2" in server["fault"]["message"], server["fault"]
    assert [] == [port for port in admin.get("/network/v2.0/ports")["ports"] if port["device_id"] == server["id"]]
    admin.delete_server(server["id"])


@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_an_image_with_a_backing_file(admin, form):
    name = b"/etc/passwd"
    header = b"QFI\xfb" + (3).to_bytes(4, "big") + (512).to_bytes(8, "big") + len(name).to_bytes(4, "big")
    header += (16).to_bytes(4, "big") + (1 << 20).to_bytes(8, "big") + bytes(72)
    content = header.ljust(512, b"\0") + name + bytes(70_000)
    made = admin.post("/image/v2/images", {"name": "backed", "disk_format": form, "container_format": "bare"})

    answer = admin.upload(made["id"], content)

    told(answer, 400, 409, 415)


def test_an_upload_that_breaks_off_leaves_nothing(simulated, admin):
    made = admin.post("/image/v2/images", {"name": "half", "disk_format": "raw", "container_format": "bare"})

    def half():
        yield bytes(65536)
        raise RuntimeError("the client went away")

    with pytest.raises(RuntimeError):
        admin.upload(made["id"], half())

    wait_for(lambda: admin.upload(made["id"], b"now whole").status_code == 204, said="a second try")
    assert not list((simulated.state / "images" / "incoming").iterdir())
    shown = admin.get(f"/image/v2/images/{made['id']}")
    assert ("active", 9) == (shown["status"], shown["size"])


def test_deleting_what_is_in_use(admin, image):
    network = admin.network("10.34.0.0/24", name="used")
    server = admin.boot(image, network, "user")
    admin.settled(server)
    port = admin.get(f"/network/v2.0/ports?device_id={server}")["ports"][0]

    told(admin.ask("DELETE", f"/network/v2.0/networks/{network}"), 409)
    told(admin.ask("DELETE", f"/network/v2.0/subnets/{port['fixed_ips'][0]['subnet_id']}"), 409)
    told(admin.ask("DELETE", f"/network/v2.0/security-groups/{port['security_groups'][0]}"), 409)

    assert admin.server(server)["status"] == "ACTIVE"
    admin.delete_server(server)


def test_duplicates(admin):
    for path in (
        "/identity/v3/projects",
        "/identity/v3/users",
        "/identity/v3/roles",
        "/compute/v2.1/flavors",
        "/compute/v2.1/os-keypairs",
    ):
        body = NAMED[path]("twice")
        admin.post(path, body)
        told(admin.ask("POST", path, body), 409)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"flavorRef": "nope"}, 400),
        ({"imageRef": NOWHERE}, 400),
        ({"imageRef": "nope"}, 400),
        ({"networks": [{"uuid": NOWHERE}]}, 400),
        ({"networks": [{"uuid": "nope"}]}, 400),
        ({"networks": [{"port": NOWHERE}]}, 400),
        ({"networks": "sometimes"}, 400),
        ({"key_name": "nope"}, 400),
        ({"user_data": "not base64!"}, 400),
        ({"user_data": base64.b64encode(bytes(70_000)).decode()}, 400),
        ({"min_count": 5, "max_count": 2}, 400),
        ({"metadata": {"k" * 300: "v"}}, 400),
        ({"availability_zone": "nope"}, 400),
        ({"security_groups": [{"name": "nope"}]}, 400),
        ({"unknown": 1}, 400),
        ({"name": ""}, 400),
        ({"name": None}, 400),
    ],
)
def test_servers_that_can_not_be(admin, image, wrong, status):
    body = {"name": "s", "imageRef": image, "flavorRef": admin.flavor(), "networks": "none", **wrong}

    told(admin.ask("POST", "/compute/v2.1/servers", {"server": body}), status)
