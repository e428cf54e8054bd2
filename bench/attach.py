"""Volumes by the API of a real cloud: `python -m bench.attach`. Needs root, QEMU and the guest image's packages.

How long it takes from the order to attach a volume until the running guest says that it sees the disk, beside the same
guest given a file by two commands of QEMU's monitor; and how many volumes are made, from request to available.
"""

import asyncio
import base64
import os
import statistics
import subprocess
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient

from bench import guest, volume
from bench.cloud import MICRONOVA, PATIENCE, Client, Cloud, Result, until
from micronova.clock import SystemClock
from micronova.errors import DriverError
from micronova.guestimage import tiny
from micronova.guestimage.tiny import TinyImage

AT_ONCE = 8
NEEDED = "compute 2.79"
SERVERS = "/compute/v2.1/servers"
ALONE = {"MICRONOVA_NETWORK_DRIVER": "fake", "MICRONOVA_COMPUTE_ACCEL": "tcg"}
"""Guests without networks: what those cost is measured elsewhere."""
WATCH = b"""#!/bin/sh
echo "watching."
while :; do
    for disk in /sys/block/vd*; do
        serial=$(cat $disk/serial 2>/dev/null)
        case "$seen" in *"<$serial>"*) ;; *) seen="$seen<$serial>"; echo "sees $serial." ;; esac
    done
    sleep 0.02
done
"""
SERIAL_LETTERS = 20
"""So much of a serial number a virtio disk shows."""


def missing() -> str:
    """Why nothing can be measured here, or ""."""
    return guest.missing() or volume.missing()


class Attaching:
    """Volumes on a cloud, and one server, whose guest tells which it sees."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._clock = SystemClock()
        self._volumes = ""
        self._server = ""

    @property
    def _run(self) -> Path:
        return self._folder / "compute" / "guests" / self._server / "run"

    async def find(self) -> None:
        """The path of the administrator's volumes is known."""
        projects = (await self._client.ask("GET", "/identity/v3/projects")).json["projects"]
        self._volumes = f"/volume/v3/{next(one['id'] for one in projects if one['name'] == 'admin')}/volumes"

    async def boot(self, image: TinyImage) -> None:
        """A guest runs and watches for disks."""
        kernel = await self._image("aki", image.kernel)
        ramdisk = await self._image("ari", image.initrd)
        words = {"kernel_id": kernel, "ramdisk_id": ramdisk, "os_command_line": image.cmdline}
        disk = await self._image("raw", image.disk, **words)
        flavor = {"flavor": {"name": "attaching", "vcpus": 1, "ram": guest.RAM_MIB, "disk": 1}}
        flavor_id = (await self._client.ask("POST", "/compute/v2.1/flavors", flavor)).json["flavor"]["id"]
        wanted = {"name": "attaching", "imageRef": disk, "flavorRef": flavor_id, "networks": "none"}
        wanted |= {"config_drive": True, "user_data": base64.b64encode(WATCH).decode()}
        made = await self._client.ask("POST", SERVERS, {"server": wanted}, openstack_api_version=NEEDED)
        self._server = made.json["server"]["id"]
        await until(lambda: self._says("watching."))

    async def _image(self, kind: str, path: str, **properties: str) -> str:
        form = kind if kind != "raw" else "bare"
        body = {"name": kind, "disk_format": kind, "container_format": form, **properties}
        id = str((await self._client.ask("POST", "/image/v2/images", body)).json["id"])
        data = await asyncio.to_thread(Path(path).read_bytes)
        await self._client.ask("PUT", f"/image/v2/images/{id}/file", data, content_type="application/octet-stream")
        return id

    async def _says(self, text: str) -> bool:
        log = self._run / "console.log"
        return log.exists() and text.encode() in log.read_bytes()

    async def ours(self) -> float:
        """Seconds from the request to the guest's word that it sees the volume."""
        made = await self._client.ask("POST", self._volumes, {"volume": {"size": 1}})
        id = made.json["volume"]["id"]
        await self._reaches(id, "available")
        body = {"volumeAttachment": {"volumeId": id}}
        begun = self._clock.monotonic()
        await self._client.ask("POST", f"{SERVERS}/{self._server}/os-volume_attachments", body)
        await until(lambda: self._says(f"sees {id[:SERIAL_LETTERS]}."), every=0.002)
        took = self._clock.monotonic() - begun
        await self._reaches(id, "in-use")
        await self._client.ask("DELETE", f"{SERVERS}/{self._server}/os-volume_attachments/{id}")
        await self._reaches(id, "available")
        return took

    async def _reaches(self, id: str, status: str) -> None:
        async def there() -> bool:
            shown = (await self._client.ask("GET", f"{self._volumes}/{id}")).json["volume"]
            return bool(shown["status"] == status)

        await until(there, every=0.02)

    async def bare(self, slot: str) -> float:
        """Seconds from the monitor's first command to the guest's word that it sees a file."""
        name = self._clock.new_id()[:SERIAL_LETTERS]
        path = self._run.parent / f"{name}.raw"
        with path.open("wb") as file:
            file.truncate(2**30)
        path.chmod(0o666)
        client = QMPClient("bench")
        await client.connect(str(self._run / "mon1"))
        try:
            begun = self._clock.monotonic()
            node = {"driver": "raw", "node-name": "bare", "file": {"driver": "file", "filename": path.name}}
            await client.execute("blockdev-add", node)
            device = {"driver": "virtio-blk-pci", "id": "bare", "drive": "bare", "bus": slot, "serial": name}
            await client.execute("device_add", device)
            await until(lambda: self._says(f"sees {name}."), every=0.002)
            took = self._clock.monotonic() - begun
            await client.execute("device_del", {"id": "bare"})
            await until(lambda: self._let_go(client), every=0.02)
        finally:
            await client.disconnect()
            path.unlink()
        return took

    async def _let_go(self, client: QMPClient) -> bool:
        found: Any = await client.execute("qom-list", {"path": "/machine/peripheral"})
        if any(item["name"] == "bare" for item in found):
            return False
        try:
            await client.execute("blockdev-del", {"node-name": "bare"})
        except ExecuteError:
            return False  # the device is gone by name, and still holds on for a moment
        return True

    async def many(self, url: str, count: int) -> float:
        """Volumes a second, from the first request until all are available."""
        left = iter(range(count))

        async def worker() -> None:
            async with Client(url) as client:
                client.token = self._client.token
                for number in left:
                    await client.ask("POST", self._volumes, {"volume": {"size": 1, "name": f"many-{number}"}})

        async def all_there() -> bool:
            path = f"{self._volumes}?status=available&limit=1000"
            found = (await self._client.ask("GET", path)).json["volumes"]
            return sum(str(one["name"]).startswith("many-") for one in found) == count

        begun = self._clock.monotonic()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        await until(all_there)
        return count / (self._clock.monotonic() - begun)


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    """Quick: without a guest, which would cost more than all else of a quick run."""
    async with AsyncExitStack() as stack:
        state = folder / "state"
        stack.callback(_erase, state)
        cloud = stack.enter_context(Cloud(state, real=ALONE))
        client = await stack.enter_async_context(Client(cloud.url))
        await client.log_in(cloud)
        attaching = Attaching(client, state)
        await attaching.find()
        made = await attaching.many(cloud.url, 16 if quick else 100)
        found = [(f"volumes by the API, {AT_ONCE} at once", made, "/s")]
        return found if quick else [*found, *await _seen(attaching, await tiny.build(folder / "images"))]


async def _seen(attaching: Attaching, image: TinyImage) -> list[Result]:
    await attaching.boot(image)
    ours, bare = [], []
    for _ in range(9):
        ours.append(await attaching.ours())
        bare.append(await attaching.bare("slot5"))
    return [
        ("volume attached, until its guest sees it", statistics.median(ours), "s"),
        ("bare QMP, until its guest sees it", statistics.median(bare), "s"),
    ]


def _erase(state: Path) -> None:
    """Guests and storage daemons outlive their cloud."""
    words = [*MICRONOVA, "down", "--erase", "--state", str(state)]
    subprocess.run(words, check=False, capture_output=True, timeout=PATIENCE)


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit); nothing where `missing` or where the image's packages can't be had."""
    if missing():
        return []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # QEMU runs as another user
        try:
            return asyncio.run(_measure(Path(folder), quick=quick))
        except DriverError:
            return []


if __name__ == "__main__":
    print(missing() or "\n".join(f"{what:<48}{how_much:>10.3f} {unit}" for what, how_much, unit in measure()))
