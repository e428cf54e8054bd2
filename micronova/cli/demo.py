"""The first server: image, network, key pair, then `hello` booted and shown alive. Repeating finds what is there."""

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from micronova import tasks
from micronova.cli.client import Client
from micronova.cli.folder import StateFolder
from micronova.cli.progress import Progress
from micronova.db import Tx
from micronova.errors import Error

NETWORK = "private"
CIDR = "10.20.0.0/24"
KEY = "mykey"
SERVER = "hello"
BOOT_WAIT = 180.0
PROMPT = "login:"


async def run(cloud: Any, folder: StateFolder, entry: dict[str, Any], show: Progress) -> None:
    """Make what the demo needs and lead the user to the server. Raises Error when the cloud refuses something."""
    client = Client(entry)
    await client.log_in()
    image = await _image(cloud, folder, client, show)
    network = await _network(client, show)
    await _open_ports(client)
    key = await _key(folder, client)
    found = await client.first("/compute/v2.1/servers/detail", "servers", SERVER)
    if found is None:
        found = await _boot(cloud, client, image, network, show)
    if found["status"] == "ERROR":
        raise Error(f"server {SERVER} failed: {found.get('fault', {}).get('message', 'no reason was recorded')}")
    await _console(client, found["id"], show)
    _next_steps(found, key, folder, show, simulated=cloud.config.options.simulate)


async def _image(cloud: Any, folder: StateFolder, client: Client, show: Progress) -> str:
    found = await client.first("/image/v2/images", "images", "tiny")
    if found is not None and found["status"] == "active":
        return str(found["id"])
    if cloud.config.options.simulate:
        blank = folder.path / "blank.img"
        blank.write_bytes(bytes(1 << 20))
        return await _upload(client, "tiny", blank, "raw", {})
    from micronova.guestimage import tiny

    built = await tiny.build(folder.path / "tiny", lambda said: show.line(f"  {said}"))
    kernel = await _upload(client, "tiny-kernel", Path(built.kernel), "aki", {})
    ramdisk = await _upload(client, "tiny-ramdisk", Path(built.initrd), "ari", {})
    names = {"kernel_id": kernel, "ramdisk_id": ramdisk, "os_command_line": built.cmdline}
    return await _upload(client, "tiny", Path(built.disk), "ami", names)


async def _upload(client: Client, name: str, file: Path, form: str, properties: dict[str, str]) -> str:
    container = form if form in ("aki", "ari", "ami") else "bare"
    body = {"name": name, "disk_format": form, "container_format": container, "visibility": "public", **properties}
    made = await client.post("/image/v2/images", body)
    await client.upload(f"/image/v2/images/{made['id']}/file", file)
    return str(made["id"])


async def _network(client: Client, show: Progress) -> str:
    found = await client.first("/network/v2.0/networks", "networks", NETWORK)
    if found is None:
        with show.step(f"network {NETWORK}"):
            body = {"network": {"name": NETWORK, "shared": True}}
            found = (await client.post("/network/v2.0/networks", body))["network"]
    if not found["subnets"]:
        subnet = {"network_id": found["id"], "name": NETWORK, "ip_version": 4, "cidr": CIDR}
        await client.post("/network/v2.0/subnets", {"subnet": subnet})
    return str(found["id"])


async def _open_ports(client: Client) -> None:
    """ssh and ping into the default security group of the user's project."""
    groups = (await client.get("/network/v2.0/security-groups?name=default"))["security_groups"]
    for protocol, port in (("icmp", None), ("tcp", 22)):
        rule = {"direction": "ingress", "protocol": protocol, "port_range_min": port, "port_range_max": port}
        known = [(r["protocol"], r["port_range_min"]) for r in groups[0]["security_group_rules"]]
        if (protocol, port) not in known:
            body = {"security_group_rule": {"security_group_id": groups[0]["id"], **rule}}
            await client.post("/network/v2.0/security-group-rules", body)


async def _key(folder: StateFolder, client: Client) -> Path:
    file = folder.path / "ssh" / KEY
    known = await client.get("/compute/v2.1/os-keypairs")
    named = any(entry["keypair"]["name"] == KEY for entry in known["keypairs"])
    if named and file.exists():
        return file
    if named:
        await client.delete(f"/compute/v2.1/os-keypairs/{KEY}")
    file.parent.mkdir(mode=0o700, exist_ok=True)
    public = await _make_key(file)
    await client.post("/compute/v2.1/os-keypairs", {"keypair": {"name": KEY, "type": "ssh", "public_key": public}})
    return file


async def _make_key(file: Path) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(private)
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*form).decode() + " micronova"


async def _boot(cloud: Any, client: Client, image: str, network: str, show: Progress) -> dict[str, Any]:
    flavor = await client.first("/compute/v2.1/flavors", "flavors", "m1.tiny")
    if flavor is None:
        raise Error("flavor m1.tiny is gone; make it again to see the demo")
    body = {
        "name": SERVER,
        "imageRef": image,
        "flavorRef": flavor["id"],
        "key_name": KEY,
        "networks": [{"uuid": network}],
    }
    made = (await client.post("/compute/v2.1/servers", {"server": body}))["server"]
    show.line(f"booting server {SERVER} ({made['id']})")
    shown: set[str] = set()
    for _ in range(int(BOOT_WAIT / 0.1)):
        await _show_steps(cloud, made["id"], shown, show)
        server: dict[str, Any] = (await client.get(f"/compute/v2.1/servers/{made['id']}"))["server"]
        if server["status"] != "BUILD":
            await _show_steps(cloud, made["id"], shown, show)
            return server
        await asyncio.sleep(0.1)
    raise Error(f"server {SERVER} was not ready in time; `micronova why {SERVER}` says what it waits for")


async def _show_steps(cloud: Any, server_id: str, shown: set[str], show: Progress) -> None:
    """One line for every step of the build that is finished and was not shown yet."""

    def read(tx: Tx) -> list[tasks.Task]:
        return tx.find(tasks.Task, resource=f"server:{server_id}")

    for task in await cloud.db.read(read):
        for step in task.log:
            if step.finished_at is not None and step.name not in shown:
                shown.add(step.name)
                show.done(
                    f"{task.method}: {step.name}", (step.finished_at - step.started_at).total_seconds(), step.error
                )


async def _console(client: Client, server_id: str, show: Progress) -> None:
    """The guest's console as it grows, up to its login prompt."""
    began = show.now()
    told = ""
    for _ in range(int(BOOT_WAIT / 0.2)):
        body = {"os-getConsoleOutput": {"length": None}}
        text: str = (await client.post(f"/compute/v2.1/servers/{server_id}/action", body))["output"]
        fresh = text[len(told) :] if text.startswith(told) else text
        cut = fresh.rfind("\n") + 1
        for line in fresh[:cut].splitlines():
            show.line(f"    | {line.rstrip()}")
        told += fresh[:cut]
        if PROMPT in text:
            show.line(f"    | {text.splitlines()[-1]}")
            show.done("login prompt", show.now() - began)
            return
        await asyncio.sleep(0.2)
    show.line(f"server {SERVER} shows no login prompt yet; `openstack console log show {SERVER}` has what it said")


def _next_steps(server: dict[str, Any], key: Path, folder: StateFolder, show: Progress, *, simulated: bool) -> None:
    address = next((one["addr"] for many in server["addresses"].values() for one in many), "")
    show.line("")
    if simulated:
        show.line(f"server {SERVER} is simulated: it has address {address}, and nobody answers there")
    elif address:
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        show.line(f"ssh -i {shlex.quote(os.path.relpath(key))} {options} root@{address}")
    show.line("")
    show.line("Next, in another terminal (the client: pip install python-openstackclient):")
    show.line("  openstack --os-cloud micronova server list")
    show.line(
        "  openstack --os-cloud micronova server create --image tiny --flavor m1.tiny "
        f"--network {NETWORK} --key-name {KEY} --wait web1"
    )
    show.line(f"  {_command(folder)} why {SERVER}")


def _command(folder: StateFolder) -> str:
    """How the user can call this program from where they stand."""
    program = os.path.relpath(Path(sys.executable).parent / "micronova")
    known = folder.path == Path("state").absolute()
    return program if known else f"MICRONOVA_STATE={shlex.quote(str(folder.path))} {program}"
