"""Key pairs through their API."""

import base64
import hashlib

import pytest
from compute.api_world import World
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

BASE = "/os-keypairs"


@pytest.fixture
def world() -> World:
    return World(quota__key_pairs=3)


def public_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{raw.decode()} me@home"


def fingerprint(key: str) -> str:
    digest = hashlib.md5(base64.b64decode(key.split()[1])).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 32, 2))


async def load(world: World, name: str = "k", **more: object) -> dict[str, object]:
    said = await world.ask(
        f"POST {BASE}", {"keypair": {"name": name, "public_key": public_key(), **more}}, who="member"
    )
    assert said.status == 201, said.body
    return said.body["keypair"]  # type: ignore[no-any-return]


async def test_a_generated_key_is_shown_once(world: World) -> None:
    said = await world.ask(f"POST {BASE}", {"keypair": {"name": "k"}}, who="member", version="2.91")

    made = said.body["keypair"]
    private = serialization.load_pem_private_key(made["private_key"].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert said.status == 201
    assert made["public_key"].startswith(public.decode())
    assert made["fingerprint"] == fingerprint(made["public_key"])
    assert (made["type"], made["user_id"]) == ("ssh", "u1")
    shown = (await world.ask(f"GET {BASE}/k", who="member")).body["keypair"]
    assert "private_key" not in shown
    assert isinstance(shown["id"], int)
    assert shown["created_at"]


async def test_a_generated_certificate_comes_with_its_key(world: World) -> None:
    body = {"keypair": {"name": "k", "type": "x509"}}

    made = (await world.ask(f"POST {BASE}", body, who="member", version="2.10")).body["keypair"]

    assert made["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in made["private_key"]
    again = {"keypair": {"name": "k2", "type": "x509", "public_key": made["public_key"]}}
    told = (await world.ask(f"POST {BASE}", again, who="member")).body["keypair"]
    assert told["fingerprint"] == made["fingerprint"]


async def test_an_imported_key_has_the_fingerprint_that_ssh_shows(world: World) -> None:
    made = await load(world)

    assert made["fingerprint"] == fingerprint(str(made["public_key"]))
    assert "private_key" not in made


async def test_since_2_92_keys_are_not_generated(world: World) -> None:
    assert (await world.ask(f"POST {BASE}", {"keypair": {"name": "k"}}, who="member", version="2.92")).status == 400


@pytest.mark.parametrize(
    "key", ["", "ssh-rsa", "ssh-rsa JUNK x", "ssh-rsa AAAA x", "ssh-ed25519 AAAAB3NzaC1yc2E= x", "ü"]
)
async def test_what_is_no_key_is_refused(world: World, key: str) -> None:
    said = await world.ask(f"POST {BASE}", {"keypair": {"name": "k", "public_key": key}}, who="member")

    assert said.status == 400


@pytest.mark.parametrize("name", ["", " k", "k ", "x" * 256, "key_/.\\@:", "ü"])
async def test_a_wrong_name_is_refused(world: World, name: str) -> None:
    said = await world.ask(f"POST {BASE}", {"keypair": {"name": name, "public_key": public_key()}}, who="member")

    assert said.status == 400


async def test_names_with_dots_and_at_signs_came_with_2_92(world: World) -> None:
    body = {"keypair": {"name": "me@home.net", "public_key": public_key()}}

    assert (await world.ask(f"POST {BASE}", body, who="member", version="2.91")).status == 400
    assert (await world.ask(f"POST {BASE}", body, who="member", version="2.92")).status == 201


async def test_old_microversions_have_their_status_and_no_type(world: World) -> None:
    said = await world.ask(f"POST {BASE}", {"keypair": {"name": "k"}}, who="member", version="2.1")

    assert said.status == 200
    assert "type" not in said.body["keypair"]
    assert (await world.ask(f"DELETE {BASE}/k", who="member", version="2.1")).status == 202
    for late in ({"type": "ssh"}, {"user_id": "u1"}):
        body = {"keypair": {"name": "k", **late}}
        assert (await world.ask(f"POST {BASE}", body, who="member", version="2.1")).status == 400


async def test_a_name_is_unique_for_a_user(world: World) -> None:
    await load(world)

    said = await world.ask(f"POST {BASE}", {"keypair": {"name": "k", "public_key": public_key()}}, who="member")
    theirs = await world.ask(f"POST {BASE}", {"keypair": {"name": "k", "public_key": public_key()}}, who="other")

    assert said.status == 409
    assert theirs.status == 201


async def test_a_user_has_so_many_keys_and_no_more(world: World) -> None:
    for n in range(3):
        await load(world, f"k{n}")

    said = await world.ask(f"POST {BASE}", {"keypair": {"name": "k4", "public_key": public_key()}}, who="member")

    assert said.status == 403
    assert "too many key pairs" in said.body["error"]["message"]


async def test_nobody_sees_or_deletes_another_users_keys(world: World) -> None:
    await load(world)

    assert (await world.ask(f"GET {BASE}/k", who="other")).status == 404
    assert (await world.ask(f"DELETE {BASE}/k", who="other")).status == 404
    assert (await world.ask(f"GET {BASE}", who="other")).body == {"keypairs": []}
    assert (await world.ask(f"GET {BASE}/k", who="other", query="user_id=u1")).status == 403


async def test_an_administrator_names_the_user(world: World) -> None:
    await load(world)

    assert (await world.ask(f"GET {BASE}/k", query="user_id=u1")).status == 200
    assert len((await world.ask(f"GET {BASE}", query="user_id=u1")).body["keypairs"]) == 1
    assert (await world.ask(f"GET {BASE}/k", query="user_id=u1", version="2.9")).status == 404
    assert (await world.ask(f"DELETE {BASE}/k", query="user_id=u1")).status == 204


async def test_lists_are_paged_since_2_35(world: World) -> None:
    for n in range(3):
        await load(world, f"k{n}")

    page = (await world.ask(f"GET {BASE}", who="member", query="limit=2")).body
    rest = (await world.ask(f"GET {BASE}", who="member", query="limit=2&marker=k1")).body
    old = (await world.ask(f"GET {BASE}", who="member", query="limit=2", version="2.34")).body

    assert [one["keypair"]["name"] for one in page["keypairs"]] == ["k0", "k1"]
    assert "marker=k1" in page["keypairs_links"][0]["href"]
    assert [one["keypair"]["name"] for one in rest["keypairs"]] == ["k2"]
    assert len(old["keypairs"]) == 3
