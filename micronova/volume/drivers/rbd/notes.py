"""What is written down in the pool itself, beside the images: which host made them, and which are half made.

Keys of one object (omap), each put or dropped by the cluster at once, so hosts that share the pool share the notes:

    volume/HOST/VOLUME      HOST made the image; with the value "half" it is no volume yet
"""

import re
from urllib.parse import quote, unquote

import msgspec

from micronova.errors import DriverError
from micronova.volume.drivers.rbd.cluster import Cluster

OBJECT = "micronova"
_HALF = "half"
_LISTED = re.compile(r"^(volume/.+)\nvalue \((\d+) bytes\)", re.MULTILINE)
"""How `rados listomapvals` tells a key and how long its value is; the value itself follows."""
_MISSING = "(2) No such file"


class VolumeNote(msgspec.Struct, frozen=True, kw_only=True):
    """An image as it is written down."""

    host: str
    half: bool


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """All notes of a pool, by volume."""

    volumes: dict[str, VolumeNote]

    def is_half_made(self, volume: str) -> bool:
        """Whether an image of this name is no volume yet."""
        return volume in self.volumes and self.volumes[volume].half

    def volumes_of(self, host: str) -> list[str]:
        """What the host made, whole or half."""
        return [name for name, note in self.volumes.items() if note.host == host]


class Notes:
    """The notes of one pool; what is put is this host's."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self._cluster = cluster
        self.host = host

    async def all(self) -> Written:
        """What is written down. Raises DriverError."""
        try:
            told = await self._cluster.rados("listomapvals", OBJECT)
        except DriverError as err:
            if _MISSING not in err.message:
                raise
            told = ""
        return read(told)

    async def begin(self, volume: str) -> None:
        """The image is half made. Raises DriverError."""
        await self._cluster.rados("setomapval", OBJECT, _key("volume", self.host, volume), _HALF)

    async def complete(self, volume: str) -> None:
        """The image is a volume. Raises DriverError."""
        await self._cluster.rados("setomapval", OBJECT, _key("volume", self.host, volume), "")

    async def forget(self, volume: str) -> None:
        """This host did not make the volume. Raises DriverError."""
        await self._cluster.rados("rmomapkey", OBJECT, _key("volume", self.host, volume))


def read(told: str) -> Written:
    """What `rados listomapvals` tells."""
    found = Written(volumes={})
    for line, length in _LISTED.findall(told):
        _, host, volume = (unquote(word) for word in line.split("/"))
        found.volumes[volume] = VolumeNote(host=host, half=int(length) > 0)
    return found


def _key(*words: str) -> str:
    return "/".join(quote(word, safe="") for word in words)
