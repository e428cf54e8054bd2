"""The metadata service: what a guest is told, that only it is told, and the sockets it asks on."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from compute.api_world import CTX, World

from micronova.compute.config_drive import drive_files, needs_drive
from micronova.compute.db import Server, ServerInput
from micronova.compute.metadata import Subject, network_data
from micronova.compute.metadata.app import MetadataService, Tokens, metadata_app
from micronova.compute.metadata.subjects import Subjects
from micronova.network.contract import NicAddress, NicInfo
from micronova.volume.servers import SeenDisk

KEY = "ssh-ed25519 AAAA me@home"
SCRIPT = b"#!/bin/sh\necho hi\n"
NIC = NicInfo(
    port_id="0a1b2c3d-0000-4000-8000-000000000001",
    network_id="net1",
    network_label="private",
    mac="fa:16:3e:00:00:01",
    fixed_ips=(("5ub0e700-0000-4000-8000-000000000001", "10.0.0.5", 4), ("s6", "fd00::5", 6)),
    floating_ips=("203.0.113.9",),
    mtu=1450,
    addresses=(
        NicAddress(ip="10.0.0.5", cidr="10.0.0.0/24", mode="dhcp"),
        NicAddress(ip="fd00::5", cidr="fd00::/64", mode="slaac"),
    ),
)


class FakeNetwork:
    """Who has which address on which network."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], str] = {}

    async def server_at(self, ctx: Any, network_id: str, ip: str) -> str | None:
        return self.at.get((network_id, ip))

    async def guest_nics(self, ctx: Any, server_id: str) -> tuple[NicInfo, ...]:
        return (NIC,)

    async def security_groups_of(self, ctx: Any, server_ids: Any) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(server_ids, ("default", "web"))


class Guests:
    """A world with a metadata service and guests who ask it."""

    def __init__(self) -> None:
        self.world = World()
        self.db, self.clock = self.world.db, self.world.clock
        self.network = FakeNetwork()
        self.disks: list[SeenDisk] = []
        self.subjects = Subjects(self.world.db, self.world.clock, self.network, self.disks_of)
        self.tokens = Tokens(self.world.clock)

    def disks_of(self, tx: Any, server_id: str) -> list[SeenDisk]:
        return self.disks

    async def guest(self, ip: str = "10.0.0.5", given: ServerInput | None = None, **more: Any) -> Server:
        facts = {"key_name": "k", "metadata": {"role": "web"}, "image_id": "1ma9e000-0000", **more}
        server = await self.world.server(**facts)
        wanted = given or ServerInput(id="", public_key=KEY, user_data=base64.b64encode(SCRIPT).decode())
        row = msgspec.structs.replace(wanted, id=server.id)
        await self.world.db.write(lambda tx: tx.insert(row), CTX, why="test")
        self.network.at["net1", ip] = server.id
        return server

    async def ask(
        self, path: str, ip: str = "10.0.0.5", *, method: str = "GET", network: str = "net1", **headers: str
    ) -> tuple[int, str]:
        sent: list[dict[str, Any]] = []
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "client": (ip, 4711)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        await metadata_app(network, self.subjects.find, self.tokens)(scope, receive, send)
        return sent[0]["status"], sent[1]["body"].decode()

    async def text(self, path: str) -> str:
        status, body = await self.ask(path)
        assert status == 200, (path, status)
        return body


@pytest.fixture
def guests() -> Guests:
    return Guests()


async def test_a_guest_is_told_of_itself_in_the_openstack_form(guests: Guests) -> None:
    server = await guests.guest()

    told = json.loads(await guests.text("/openstack/latest/meta_data.json"))
    again = json.loads(await guests.text("/openstack/latest/meta_data.json"))

    seed = base64.b64decode(told.pop("random_seed"))
    assert 512 == len(seed)
    assert seed != base64.b64decode(again["random_seed"])
    assert told == {
        "uuid": server.id,
        "name": "web1",
        "hostname": "web1",
        "availability_zone": "nova",
        "launch_index": 0,
        "project_id": "p1",
        "meta": {"role": "web"},
        "public_keys": {"k": KEY},
        "keys": [{"name": "k", "type": "ssh", "data": KEY}],
        "devices": [],
        "dedicated_cpus": [],
    }
    assert await guests.text("/openstack/latest/user_data") == SCRIPT.decode()
    assert json.loads(await guests.text("/openstack/2018-08-27/vendor_data2.json")) == {}
    assert await guests.text("/openstack/latest/password") == ""


async def test_versions_and_their_files_are_listed(guests: Guests) -> None:
    await guests.guest()

    assert (await guests.text("/openstack")).splitlines()[-3:] == ["2018-08-27", "2020-10-14", "latest"]
    assert (await guests.text("/openstack/")) == await guests.text("/openstack")
    assert (await guests.text("/openstack/2012-08-10/")).splitlines() == ["meta_data.json", "user_data"]
    assert "network_data.json" in await guests.text("/openstack/2015-10-15")
    assert "dedicated_cpus" not in await guests.text("/openstack/2018-08-27/meta_data.json")


async def test_network_data_names_interfaces_by_mac(guests: Guests) -> None:
    await guests.guest()

    told = json.loads(await guests.text("/openstack/latest/network_data.json"))

    assert told["links"] == [
        {
            "id": "tap0a1b2c3d-00",
            "vif_id": NIC.port_id,
            "type": "bridge",
            "mtu": 1450,
            "ethernet_mac_address": NIC.mac,
        }
    ]
    assert [(one["type"], one["link"]) for one in told["networks"]] == [
        ("ipv4_dhcp", "tap0a1b2c3d-00"),
        ("ipv6_slaac", "tap0a1b2c3d-00"),
    ]


def test_a_guest_is_told_the_addresses_that_nobody_else_tells_it() -> None:
    here = NicAddress(
        ip="10.2.0.5",
        cidr="10.2.0.0/23",
        mode="static",
        routes=(("0.0.0.0/0", "10.2.0.1"), ("192.0.2.0/24", "10.2.0.9")),
        dns=("192.0.2.53",),
    )
    also = NicAddress(ip="fd02::5", cidr="fd02::/64", mode="static", routes=(("::/0", "fd02::1"),), dns=("fd02::53",))
    nic = msgspec.structs.replace(NIC, addresses=(also, here))

    told = network_data([nic])

    ours = {"link": "tap0a1b2c3d-00", "network_id": "net1"}
    assert told["networks"] == [
        {
            "id": "network0",
            "type": "ipv4",
            "ip_address": "10.2.0.5",
            "netmask": "255.255.254.0",
            "routes": [
                {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.2.0.1"},
                {"network": "192.0.2.0", "netmask": "255.255.255.0", "gateway": "10.2.0.9"},
            ],
            "services": [{"type": "dns", "address": "192.0.2.53"}],
            **ours,
        },
        {
            "id": "network1",
            "type": "ipv6",
            "ip_address": "fd02::5",
            "netmask": "ffff:ffff:ffff:ffff::",
            "routes": [{"network": "::", "netmask": "::", "gateway": "fd02::1"}],
            "services": [{"type": "dns", "address": "fd02::53"}],
            **ours,
        },
    ]
    assert told["services"] == [{"type": "dns", "address": "192.0.2.53"}, {"type": "dns", "address": "fd02::53"}]


def test_only_who_has_to_know_an_address_by_himself_needs_a_drive() -> None:
    static = NicAddress(ip="10.2.0.5", cidr="10.2.0.0/24", mode="static")

    assert not needs_drive([NIC])
    assert needs_drive([NIC, msgspec.structs.replace(NIC, addresses=(static,))])


async def test_a_guest_is_told_of_itself_in_the_ec2_form(guests: Guests) -> None:
    server = await guests.guest()
    base = "/2009-04-04/meta-data"

    assert await guests.text(f"{base}/instance-id") == f"i-{server.seq:08x}"
    assert await guests.text(f"{base}/local-ipv4") == "10.0.0.5"
    assert await guests.text(f"{base}/public-ipv4") == "203.0.113.9"
    assert await guests.text(f"{base}/public-keys/") == "0=k"
    assert await guests.text(f"{base}/public-keys/0") == "openssh-key"
    assert await guests.text(f"{base}/public-keys/0/openssh-key") == KEY
    assert await guests.text(f"{base}/placement/availability-zone") == "nova"
    assert await guests.text(f"{base}/block-device-mapping/root") == "/dev/vda"
    assert await guests.text(f"{base}/security-groups") == "default\nweb"
    assert await guests.text(f"{base}/network/interfaces/macs/") == "fa:16:3e:00:00:01/"
    assert await guests.text(f"{base}/network/interfaces/macs/{NIC.mac}/local-ipv4s") == "10.0.0.5"
    assert await guests.text("/latest/user-data") == SCRIPT.decode()
    document = json.loads(await guests.text("/latest/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["privateIp"]) == (f"i-{server.seq:08x}", "10.0.0.5")
    assert "2021-03-23" in await guests.text("/")


async def test_every_name_that_a_listing_shows_is_there(guests: Guests) -> None:
    await guests.guest()
    seen = 0

    async def walk(path: str) -> None:
        nonlocal seen
        for entry in (await guests.text(path)).splitlines():
            name = entry.partition("=")[0]
            below = f"{path.rstrip('/')}/{name}"
            seen += 1
            if entry.endswith("/") or "=" in entry:
                await walk(below)
            else:
                await guests.text(below)

    await walk("/latest/")
    assert seen > 30


@pytest.mark.parametrize(
    "path",
    ["/openstack/latest/user_data", "/latest/user-data", "/latest/meta-data/public-keys/", "/latest/meta-data/x"],
)
async def test_what_a_guest_was_not_given_is_not_found(guests: Guests, path: str) -> None:
    await guests.guest(given=ServerInput(id=""), key_name=None)

    assert (await guests.ask(path))[0] == 404


@pytest.mark.parametrize(
    "path", ["/x", "/openstack/1999-01-01", "/openstack/latest/x", "/openstack/latest/user_data/x", "/1.1/meta-data"]
)
async def test_other_paths_are_not_found(guests: Guests, path: str) -> None:
    await guests.guest()

    assert (await guests.ask(path))[0] == 404


async def test_each_guest_is_told_of_itself_only(guests: Guests) -> None:
    one = await guests.guest("10.0.0.5")
    two = await guests.guest("10.0.0.6", name="other")

    for ip, server in (("10.0.0.5", one), ("10.0.0.6", two), ("::ffff:10.0.0.6", two)):
        assert json.loads((await guests.ask("/openstack/latest/meta_data.json", ip))[1])["uuid"] == server.id


async def test_an_unknown_address_or_network_is_told_nothing(guests: Guests) -> None:
    await guests.guest()

    assert (await guests.ask("/openstack/latest/meta_data.json", "10.0.0.7"))[0] == 404
    assert (await guests.ask("/openstack/latest/meta_data.json", network="net2"))[0] == 404
    assert (await guests.ask("/openstack/latest/meta_data.json", "nonsense"))[0] == 404
    assert (await guests.ask("/openstack/latest/meta_data.json", "10.0.0.7", x_forwarded_for="10.0.0.5"))[0] == 404


async def test_a_token_is_honoured_for_its_guest_until_it_expires(guests: Guests) -> None:
    server = await guests.guest()
    await guests.guest("10.0.0.6")
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    status, token = await guests.ask("/latest/api/token", method="PUT", **ttl)

    async def use(token: str, ip: str = "10.0.0.5") -> int:
        return (await guests.ask("/latest/meta-data/instance-id", ip, X_aws_ec2_metadata_token=token))[0]

    assert status == 200
    assert await use(token) == 200
    assert await use(token, "10.0.0.6") == 401
    assert await use("x" + token) == 401
    assert await use("") == 401
    assert await use(guests.tokens.issue(server.id, -timedelta(seconds=5).seconds)) == 401
    assert await use(guests.tokens.issue(server.id, 0)) == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "x", "9" * 30])
async def test_a_token_of_a_wrong_life_is_refused(guests: Guests, ttl: str) -> None:
    await guests.guest()

    headers = {"X_aws_ec2_metadata_token_ttl_seconds": ttl}
    assert (await guests.ask("/latest/api/token", method="PUT", **headers))[0] == 400


async def test_nothing_can_be_written(guests: Guests) -> None:
    await guests.guest()

    assert (await guests.ask("/openstack/latest/password", method="POST"))[0] == 405
    assert (await guests.ask("/latest/meta-data/hostname", method="PUT"))[0] == 405
    assert (await guests.ask("/latest/meta-data/hostname", method="HEAD")) == (200, "")


async def test_the_config_drive_says_what_the_service_says(guests: Guests) -> None:
    server = await guests.guest()
    subject = await guests.subjects.find("net1", "10.0.0.5")
    assert isinstance(subject, Subject)

    files = drive_files(subject.server, subject.given, subject.nics, subject.security_groups)
    seeded = drive_files(subject.server, subject.given, subject.nics, seed=b"chance")

    on_drive = json.loads(files["openstack/latest/meta_data.json"])
    served = json.loads(await guests.text("/openstack/latest/meta_data.json"))
    assert on_drive == {name: value for name, value in served.items() if name != "random_seed"}
    assert b"chance" == base64.b64decode(json.loads(seeded["openstack/latest/meta_data.json"])["random_seed"])
    for name in ("user_data", "network_data.json", "vendor_data.json", "vendor_data2.json"):
        assert files[f"openstack/latest/{name}"].decode() == await guests.text(f"/openstack/latest/{name}")
    assert json.loads(files["ec2/latest/meta-data.json"])["instance-id"] == f"i-{server.seq:08x}"
    assert files["ec2/latest/user-data"] == SCRIPT


# -- sockets


@pytest.fixture
async def service(guests: Guests) -> AsyncIterator[MetadataService]:
    service = MetadataService(guests)
    yield service
    await service.close()


def listening() -> tuple[socket.socket, int]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


async def fetch(port: int, *paths: str) -> list[bytes]:
    """The bodies of paths, asked over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies = []
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if b"content-length" in line)
        bodies.append(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return bodies


async def test_guests_are_answered_on_the_socket_of_their_network(guests: Guests, service: MetadataService) -> None:
    server = await guests.guest("127.0.0.1")
    sock, port = listening()
    await service.add("net1", sock)

    name, told = await fetch(port, "/latest/meta-data/hostname", "/openstack/latest/meta_data.json")

    assert name == b"web1"
    assert json.loads(told)["uuid"] == server.id
    assert service.networks == ("net1",)


async def test_a_removed_network_is_answered_no_more(guests: Guests, service: MetadataService) -> None:
    sock, port = listening()
    await service.add("net1", sock)
    await fetch(port, "/")

    await service.remove("net1")
    await service.remove("net1")

    assert sock.fileno() == -1
    with pytest.raises(OSError):
        await fetch(port, "/")


async def test_a_new_socket_replaces_the_old_one(guests: Guests, service: MetadataService) -> None:
    await guests.guest("127.0.0.1")
    old, _ = listening()
    new, port = listening()
    await service.add("net1", old)

    await service.add("net1", new)

    assert old.fileno() == -1
    assert await fetch(port, "/latest/meta-data/hostname") == [b"web1"]


async def test_an_idle_connection_does_not_keep_the_service_from_closing(
    guests: Guests, service: MetadataService
) -> None:
    sock, port = listening()
    await service.add("net1", sock)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)

    await asyncio.wait_for(service.close(), 5)

    assert await reader.read() == b""
    writer.close()
    assert service.networks == ()
