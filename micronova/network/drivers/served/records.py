"""What a network driver means to have on this host, written down before it is made.

One JSON file per network, port and group. A record is there from before the first step of making until after the last
step of removing, so that a driver that was killed in between knows what to finish.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from micronova.errors import DriverError
from micronova.network.driver import GroupSpec, NetworkSpec, PortSpec
from micronova.network.drivers.served.names import check_id
from micronova.network.drivers.served.usage import Usage


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A network and its number: which addresses its way out has, and which conntrack zone its bridge."""

    spec: NetworkSpec
    number: int


class PortRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A port, the packet mark that stands for it, and whether its interface is ours to delete."""

    spec: PortSpec
    mark: int
    made: bool


Record = TypeVar("Record", NetworkRecord, PortRecord, GroupSpec)
KINDS = ("networks", "ports", "groups")


class Records:
    """The records of one cloud on this host, kept in `folder` and in memory.

    `usage` counts what the ports use, `devices` tells the port of an interface, `marks` are those given.
    """

    def __init__(self, folder: Path) -> None:
        self.networks: dict[str, NetworkRecord] = {}
        self.ports: dict[str, PortRecord] = {}
        self.groups: dict[str, GroupSpec] = {}
        self.usage = Usage()
        self.devices: dict[str, str] = {}
        self.marks: set[int] = set()
        self._folder = folder

    def load(self) -> None:
        """Memory holds what the files say. Raises DriverError when a file can't be read."""
        with _told(self._folder):
            for kind in KINDS:
                (self._folder / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
            self.networks = {r.spec.id: r for r in _read(self._folder / "networks", NetworkRecord)}
            self.groups = {group.id: group for group in _read(self._folder / "groups", GroupSpec)}
            found = _read(self._folder / "ports", PortRecord)
        self.ports, self.usage, self.devices, self.marks = {}, Usage(), {}, set()
        for record in found:
            self._know(record)

    def put_network(self, record: NetworkRecord) -> None:
        """The network is written down."""
        if self.networks.get(record.spec.id) != record:
            self._write("networks", record.spec.id, record)
            self.networks[record.spec.id] = record

    def put_port(self, record: PortRecord) -> None:
        """The port is written down."""
        if self.ports.get(record.spec.id) != record:
            self._write("ports", record.spec.id, record)
            self._forget(record.spec.id)
            self._know(record)

    def put_group(self, group: GroupSpec) -> None:
        """The group is written down."""
        if self.groups.get(group.id) != group:
            self._write("groups", group.id, group)
            self.groups[group.id] = group

    def drop_network(self, id: str) -> None:
        """The network is forgotten."""
        self._unlink("networks", id)
        self.networks.pop(id, None)

    def drop_port(self, id: str) -> None:
        """The port is forgotten."""
        self._unlink("ports", id)
        self._forget(id)

    def drop_group(self, id: str) -> None:
        """The group is forgotten."""
        self._unlink("groups", id)
        self.groups.pop(id, None)

    def ports_of(self, network_id: str) -> list[PortRecord]:
        """The ports of one network, in order of id."""
        return [r for _, r in sorted(self.ports.items()) if r.spec.network_id == network_id]

    def erase(self) -> None:
        """No record is left."""
        for id in list(self.ports):
            self.drop_port(id)
        for id in list(self.networks):
            self.drop_network(id)
        for id in list(self.groups):
            self.drop_group(id)
        with _told(self._folder):
            for folder in (*(self._folder / kind for kind in KINDS), self._folder):
                _remove_folder(folder)

    def _know(self, record: PortRecord) -> None:
        self.ports[record.spec.id] = record
        self.devices[record.spec.device] = record.spec.id
        self.marks.add(record.mark)
        self.usage.add(record.spec)

    def _forget(self, id: str) -> None:
        record = self.ports.pop(id, None)
        if record is not None:
            self.devices.pop(record.spec.device, None)
            self.marks.discard(record.mark)
            self.usage.drop(record.spec)

    def _path(self, kind: str, id: str) -> Path:
        check_id(id)
        return self._folder / kind / f"{id}.json"

    def _write(self, kind: str, id: str, record: NetworkRecord | PortRecord | GroupSpec) -> None:
        path = self._path(kind, id)
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, msgspec.json.encode(record), mode=0o600)

    def _unlink(self, kind: str, id: str) -> None:
        path = self._path(kind, id)
        with _told(path):
            path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int, group: int = -1) -> None:
    """The file holds `content`, for whoever reads it at any moment either the old or the new."""
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        if group >= 0:
            os.fchown(file.fileno(), -1, group)
        file.write(content)
    fresh.replace(path)


def _read(folder: Path, kind: type[Record]) -> list[Record]:
    return [msgspec.json.decode(path.read_bytes(), type=kind) for path in sorted(folder.glob("*.json"))]


def _remove_folder(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.glob(".*.new"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a file that is not ours keeps its folder
        folder.rmdir()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise DriverError(f"network record {path.name}: {err.strerror}") from err
    except msgspec.MsgspecError as err:
        raise DriverError(f"network records in {path.name} are damaged: {err}") from err
