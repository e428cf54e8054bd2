"""What a cloud calls its things on a Linux host: names that follow from ids, so that they are found again.

Interface names end at 15 characters, so they hold a digest of the id; the full id stands in the interface's alias.
Every name holds a tag made from the state folder: two clouds on one machine never take each other's things.
"""

import base64
import hashlib
import re
from pathlib import Path

import msgspec

from micronova.errors import ConfigError, Rejected

LONGEST_DEVICE = 15
TAG_LENGTH = 4
NAMESPACES = Path("/run/netns")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PREFIX = re.compile(r"[a-z]{1,3}")


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an interface belongs to, as its alias tells. `kind`: network, service, link, uplink, drop, trunk or port."""

    kind: str
    id: str
    network_id: str


class Names:
    """The names of one cloud's things on this host. Raises ConfigError when `prefix` can't start a name."""

    def __init__(self, prefix: str, state: Path) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ConfigError(f"{prefix!r} can't start interface names: give one to three lower-case letters")
        self._prefix = prefix
        self._tag = _digest(str(state.resolve()), TAG_LENGTH)
        self.cloud = f"{prefix}-{self._tag}"
        self.table = f"{prefix}_{self._tag}"
        self.interfaces = f"{prefix}{self._tag}"

    def bridge(self, network_id: str) -> str:
        """The network's bridge."""
        return self._interface("b", network_id)

    def service(self, network_id: str) -> str:
        """The bridge's port that leads into the network's service namespace."""
        return self._interface("s", network_id)

    def link(self, network_id: str) -> str:
        """The host's end of the way out of the network's service namespace."""
        return self._interface("l", network_id)

    def uplink(self, network_id: str) -> str:
        """The bridge's port that leads to the same network on other hosts."""
        return self._interface("u", network_id)

    def drop(self, network_id: str) -> str:
        """The trunk's port that leads to the network's uplink, where a trunk carries its VLAN."""
        return self._interface("d", network_id)

    def trunk(self, interface: str) -> str:
        """The bridge that parts the VLANs of a host interface."""
        return self._interface("t", interface)

    def namespace(self, network_id: str) -> str:
        """The network's service namespace."""
        return f"{self.cloud}-{network_id}"

    def namespace_path(self, network_id: str) -> Path:
        """The file that stands for the service namespace."""
        return NAMESPACES / self.namespace(network_id)

    def namespaces(self) -> set[str]:
        """Ids of the networks that have a service namespace."""
        start = f"{self.cloud}-"
        return {path.name.removeprefix(start) for path in NAMESPACES.glob(f"{start}*")}

    def folder(self, network_id: str) -> str:
        """The folder of the network's running files, inside the cloud's own."""
        return _digest(network_id, 12)

    def alias(self, kind: str, id: str, network_id: str) -> str:
        """What to write on an interface so that `owner` reads it back."""
        return f"{self.cloud} {kind} {id} {network_id}"

    def owner(self, alias: str) -> Owner | None:
        """Whose interface has this alias; None when it is not one of this cloud's."""
        words = alias.split(" ")
        if len(words) != 4 or words[0] != self.cloud:
            return None
        return Owner(kind=words[1], id=words[2], network_id=words[3])

    def _interface(self, kind: str, network_id: str) -> str:
        start = f"{self.interfaces}{kind}"
        return start + _digest(network_id, LONGEST_DEVICE - len(start))


def mac_of(name: str) -> str:
    """A locally administered MAC that follows from a name: guests keep their ARP entries over a repair."""
    octets = bytes([0x02]) + hashlib.sha256(name.encode()).digest()[:5]
    return ":".join(f"{octet:02x}" for octet in octets)


def gateway_mac(network_id: str) -> str:
    """The MAC of the network's gateway, the same on every host."""
    return mac_of(f"gateway {network_id}")


def host_mac(identity: str) -> str:
    """The MAC that a host has towards others when its gateways forward to their guests."""
    return mac_of(f"host {identity}")


def check_device(device: str) -> None:
    """Raises Rejected when no interface can have this name."""
    if not _DEVICE.fullmatch(device):
        raise Rejected(f"{device!r} can't be an interface's name: 1 to 15 letters, digits, '-', '_' or '.'")


def check_mac(text: str) -> str:
    """The MAC in lower case. Raises Rejected for what is none."""
    mac = text.lower()
    if not _MAC.fullmatch(mac):
        raise Rejected(f"{text[:40]!r} is no MAC address")
    return mac


def check_id(id: str) -> None:
    """Raises Rejected when this can't be an id: ids become names of files and namespaces."""
    if not _ID.fullmatch(id):
        raise Rejected(f"{id[:80]!r} can't be an id: 1 to 64 letters, digits, '-' or '_'")


def _digest(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]
