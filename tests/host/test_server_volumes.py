"""A whole cloud with real guests and volumes in files: what a guest wrote is there whatever happened meanwhile."""

import base64
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from outside import Cloud, Session, cloud, find_processes, wait_for, why_not_real

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_not_real()), reason=why_not_real() or "possible"),
]
SERVERS = "/compute/v2.1/servers"
GIB = 2**30
LUKS = {"provider": "luks", "key_size": 256}
EXTENDS = {"OpenStack-API-Version": "volume 3.42"}
SEEN = 150
"""Seconds in which an emulated guest on a busy machine notices a disk."""

WATCH_DISKS = """#!/bin/sh
sum() { dd if=$1 bs=1M count=4 2>/dev/null | md5sum | cut -c1-32; }
last=""
while :; do
    there=""
    for disk in /sys/block/vd*; do
        serial=$(cat $disk/serial 2>/dev/null)
        [ -n "$serial" ] || continue
        size=$(cat $disk/size)
        there="$there <$serial $size>"
        case "$last" in *"<$serial $size>"*) continue ;; esac
        dev=/dev/$(basename $disk)
        echo "came $serial with $size sectors as $dev: $(sum $dev)."
        [ $dev = /dev/vda ] && continue
        dd if=/dev/urandom of=$dev bs=1M count=4 conv=notrunc,fsync 2>/dev/null
        echo 3 > /proc/sys/vm/drop_caches
        echo "left $serial with $size sectors: $(sum $dev)."
    done
    [ "$there" = "$last" ] || echo "has$there."
    last="$there"
    sleep 1
done
"""


class Volumes:
    """Somebody with servers and volumes."""

    def __init__(self, made: Cloud) -> None:
        self.cloud = made
        self.session: Session = made.session()
        project = self.session.named("/identity/v3/projects", "projects", "admin")["id"]
        self.path = f"/volume/v3/{project}/volumes"

    def volume(self, id: str) -> dict[str, Any]:
        return dict(self.session.get(f"{self.path}/{id}")["volume"])

    def reaches(self, id: str, status: str) -> None:
        wait_for(lambda: self.volume(id)["status"] == status, 120, every=0.2, said=f"volume {id} being {status}")

    def create(self, **more: Any) -> str:
        """The id of a volume that is available."""
        made = self.session.post(self.path, {"volume": {"size": 1, **more}})["volume"]
        self.reaches(made["id"], "available")
        return str(made["id"])

    def extend(self, id: str, size_gib: int) -> None:
        asked = {"os-extend": {"new_size": size_gib}}
        answer = self.session.ask("POST", f"{self.path}/{id}/action", asked, **EXTENDS)
        assert answer.status_code == 202, answer.text

    def move(self, id: str) -> str:
        """The volume is on its way to the other back end; its place there."""
        here = self.volume(id)["os-vol-host-attr:host"]
        host, _, place = here.partition("@")
        other = f"{host}@other#other" if place == "file#file" else f"{host}@file#file"
        answer = self.session.ask("POST", f"{self.path}/{id}/action", {"os-migrate_volume": {"host": other}})
        assert answer.status_code == 202, answer.text
        return other

    def attach(self, server: str, volume: str) -> None:
        body = {"volumeAttachment": {"volumeId": volume}}
        self.session.post(f"{SERVERS}/{server}/os-volume_attachments", body)
        self.reaches(volume, "in-use")

    def detach(self, server: str, volume: str) -> None:
        self.session.ask("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{volume}")
        self.reaches(volume, "available")

    def told(self, server: str, pattern: str, times: int) -> list[str]:
        """What the guest's console shows of a pattern, once it shows it so often."""

        def found() -> list[str]:
            seen = re.findall(pattern, self.session.console(server))
            return seen if len(seen) >= times else []

        return wait_for(found, SEEN, every=0.5, said=f"{pattern} on the console")

    def lost(self, server: str, volume: str) -> None:
        """The guest has noticed that the volume is gone: if it came back at once, the guest could not tell."""

        def gone() -> bool:
            has = re.findall(r"has( <.*)\.", self.session.console(server))
            return bool(has) and volume[:20] not in has[-1]

        wait_for(gone, SEEN, every=0.5, said="the guest noticing")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose host has two back ends."""
    config = tmp_path_factory.mktemp("config") / "two.toml"
    config.write_text('[volume.backends.file]\ndriver = "file"\n[volume.backends.other]\ndriver = "file"\n')
    with cloud("--config", str(config)) as made:
        made.up()
        wait_for(lambda: "Ctrl-C stops the services" in made.log(), 300, every=0.2, said="the demo")
        yield made


@pytest.fixture
def own(real: Cloud) -> Volumes:
    return Volumes(real)


def boot_from_volume(own: Volumes, name: str) -> str:
    """A server whose root disk is a volume made of the image `tiny`, which goes when it goes."""
    session = own.session
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    root = {"source_type": "image", "destination_type": "volume", "uuid": image, "boot_index": 0, "volume_size": 1}
    body = {
        "name": name,
        "flavorRef": session.flavor(),
        "networks": [{"uuid": session.named("/network/v2.0/networks", "networks", "private")["id"]}],
        "block_device_mapping_v2": [{**root, "delete_on_termination": True}],
        "user_data": base64.b64encode(WATCH_DISKS.encode()).decode(),
    }
    id = str(session.post(SERVERS, {"server": body})["server"]["id"])
    server = session.settled(id)
    assert server["status"] == "ACTIVE", server.get("fault")
    return id


def sums(own: Volumes, server: str, volume: str, times: int, sectors: int) -> tuple[str, str]:
    """What the guest found on the volume when it came the last time, and what it left there."""
    serial = volume[:20]
    found = own.told(server, rf"came {serial} with {sectors} sectors as \S+: (\w+)\.", times)
    left = own.told(server, rf"left {serial} with {sectors} sectors: (\w+)\.", times)
    return found[-1], left[-1]


def test_what_a_guest_wrote_on_a_volume_stays_there(own: Volumes) -> None:
    server, data = boot_from_volume(own, "rooted"), own.create()
    session = own.session
    shown = session.server(server)
    [root] = [one["id"] for one in shown["os-extended-volumes:volumes_attached"]]
    assert shown["image"] == ""
    own.told(server, rf"came {root[:20]} with {GIB // 512} sectors as /dev/vda", 1)
    [guest] = find_processes("qemu-system", server)

    own.attach(server, data)
    empty, first = sums(own, server, data, 1, GIB // 512)
    assert empty == "b5cfa9d6c8febd618f91ac2843d50a1c"  # 4 MiB of zeros
    own.extend(data, 2)
    grown, second = sums(own, server, data, 1, 2 * GIB // 512)
    place = own.move(data)
    own.cloud.kill()
    own.cloud.up("--no-demo")
    again = Volumes(own.cloud)
    again.reaches(data, "in-use")
    assert again.volume(data)["os-vol-host-attr:host"] == place
    moved = again.volume(data)["os-vol-mig-status-attr:name_id"]
    assert find_processes("qemu-storage-daemon", data) == []
    assert len(find_processes("qemu-storage-daemon", moved)) == 1
    assert find_processes("qemu-system", server) == [guest]
    again.detach(server, data)
    assert find_processes("qemu-storage-daemon", moved) == []
    again.lost(server, data)
    again.attach(server, data)
    back, third = sums(again, server, data, 2, 2 * GIB // 512)

    assert (grown, back) == (first, second)
    assert len({first, second, third}) == 3


def test_a_guest_has_its_volumes_after_it_started_again(own: Volumes) -> None:
    server, data = boot_from_volume(own, "again"), own.create()
    own.attach(server, data)
    _, first = sums(own, server, data, 1, GIB // 512)

    own.session.act(server, {"reboot": {"type": "HARD"}})
    own.session.reaches(server, "ACTIVE")
    rebooted, second = sums(own, server, data, 2, GIB // 512)
    [guest] = find_processes("qemu-system", server)
    own.cloud.kill()
    os.kill(guest, 9)
    own.cloud.up("--no-demo")
    again = Volumes(own.cloud)
    again.session.reaches(server, "ACTIVE")
    revived, _ = sums(again, server, data, 3, GIB // 512)

    assert (rebooted, revived) == (first, second)


def test_a_deleted_server_leaves_no_export_and_only_the_volumes_to_be_kept(own: Volumes) -> None:
    server, data = boot_from_volume(own, "short"), own.create()
    [root] = [one["id"] for one in own.session.server(server)["os-extended-volumes:volumes_attached"]]
    own.attach(server, data)

    own.session.delete_server(server)

    own.reaches(data, "available")
    wait_for(lambda: own.session.ask("GET", f"{own.path}/{root}").status_code == 404, said="the root volume going")
    assert find_processes("qemu-system", server) == []
    wait_for(lambda: find_processes("qemu-storage-daemon", data) == [], said="the export going")
    wait_for(lambda: own.session.audit() == [], 60, every=1, said="agreement")


def test_an_encrypted_volume_is_opened_for_its_guest(own: Volumes) -> None:
    types = own.path.removesuffix("volumes") + "types"
    kind = own.session.post(types, {"volume_type": {"name": "locked"}})["volume_type"]["id"]
    own.session.post(f"{types}/{kind}/encryption", {"encryption": {**LUKS, "control_location": "front-end"}})
    server, data = boot_from_volume(own, "locked"), own.create(volume_type="locked")

    own.attach(server, data)
    serial = data[:20]
    _, first = own.told(server, rf"(?:came|left) {serial} with \d+ sectors(?: as \S+)?: (\w+)\.", 2)
    own.detach(server, data)
    own.lost(server, data)
    own.attach(server, data)
    again = own.told(server, rf"came {serial} with \d+ sectors as \S+: (\w+)\.", 2)[-1]

    assert again == first
