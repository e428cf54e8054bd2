"""How QEMU is sent to a Ceph cluster: with the key as its bytes, and only when a monitor answers."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from micronova.compute.driver import VolumeDisk
from micronova.compute.drivers.qemu import blocks, ceph
from micronova.errors import DriverError
from micronova.volume.driver import RbdConnection

KEY = base64.b64encode(b"a key of Ceph's").decode()
VOLUME = "20000000-0000-4000-8000-000000000001"


@pytest.fixture
async def monitor() -> AsyncIterator[str]:
    """The address of one that says who it is."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ceph v2\n\x10\x00")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def connection(*monitors: str, keyring: str = "") -> RbdConnection:
    return RbdConnection(pool="volumes", image=VOLUME, monitors=monitors, user="cinder", keyring=keyring)


async def test_one_monitor_that_answers_is_enough(monitor: str) -> None:
    await ceph.check(connection("127.0.0.1:1", monitor))
    await ceph.check(connection())


async def test_no_answer_is_told() -> None:
    with pytest.raises(DriverError, match="no monitor"):
        await ceph.check(connection("127.0.0.1:1", "[::1]:1", "nonsense"))


@pytest.mark.parametrize("shared", [False, True])
def test_the_key_is_given_as_bytes_and_shared_volumes_are_not_cached(tmp_path: Path, shared: bool) -> None:
    ring = tmp_path / "ring"
    ring.write_text(f'[client.cinder]\n\tkey = {KEY}\n\tcaps mon = "profile rbd"\n')
    there = connection("192.0.2.1:3300", "[2001:db8::1]:6789", keyring=str(ring))

    made = blocks.graph(VolumeDisk(volume_id=VOLUME, connection=there, shared=shared))

    secret, node = made.objects[0], made.nodes[0]
    assert (secret["id"], KEY) == (node["key-secret"], secret["data"])
    assert [("192.0.2.1", "3300"), ("2001:db8::1", "6789")] == [(one["host"], one["port"]) for one in node["server"]]
    assert ({"direct": True} if shared else None) == node.get("cache")


@pytest.mark.parametrize("content", ["[client.cinder]\n", "key = not base64\n", None])
def test_a_keyring_without_a_key_is_told(tmp_path: Path, content: str | None) -> None:
    ring = tmp_path / "ring"
    if content is not None:
        ring.write_text(content)

    with pytest.raises(DriverError, match="keyring"):
        blocks.graph(VolumeDisk(volume_id=VOLUME, connection=connection(keyring=str(ring))))
