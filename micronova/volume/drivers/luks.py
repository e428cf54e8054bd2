"""LUKS containers in layers. The key goes to the tool through a pipe: it is in no file and in no argument.

Their user opens them, not this driver; so a container is written once, when its volume is made. Where nothing was
written yet its user reads noise, nobody's data: writing encrypted zeros over the whole disk would take all its space.
"""

import pathlib
import struct

from micronova import command
from micronova.errors import DriverError, Rejected
from micronova.volume.driver import Encryption
from micronova.volume.drivers.steps import in_thread, space_told

MAGIC = b"LUKS\xba\xbe\x00\x01"
_PAYLOAD_AT = 104
_SECTOR = 512
_CIPHERS = {("aes-xts-plain64", 256): "aes-128", ("aes-xts-plain64", 512): "aes-256"}
_TOOL_WAIT = 6 * 3600


def passphrase(encryption: Encryption) -> bytes:
    """What opens the container: the key in hexadecimal digits, as whoever attaches it must give it to QEMU."""
    return encryption.key.hex().encode()


def check(encryption: Encryption) -> None:
    """Return when such a container can be made. Raises Rejected."""
    if encryption.provider != "luks" or (encryption.cipher, encryption.key_size) not in _CIPHERS:
        wanted = f"{encryption.provider}, {encryption.cipher}, {encryption.key_size} bits"
        raise Rejected(f"volumes can't be encrypted like this here: {wanted}")


async def create(target: pathlib.Path, size: int, encryption: Encryption) -> int:
    """The new file is a container for a disk of `size` bytes; returns the bytes of its header. Raises as `take_in`."""
    options = f"cipher-alg={_CIPHERS[encryption.cipher, encryption.key_size]},cipher-mode=xts,ivgen-alg=plain64"
    # The key is random: nothing is gained by making each guess at it slow, and every attach would pay.
    options += ",hash-alg=sha256,iter-time=10,key-secret=key"
    words = ["qemu-img", "create", "-q", "--object", _SECRET, "-f", "luks", "-o", options, str(target), str(size)]
    with space_told():
        await command.run(words, stdin=passphrase(encryption))
    return await in_thread(header_size, target)


async def fill(target: pathlib.Path, source: pathlib.Path, format: str, encryption: Encryption) -> None:
    """The container holds the disk in one of our own files at its beginning. Raises NoSpace, DriverError."""
    # A layer's name has no comma, which would end it here; the folder's path may have one.
    image = f"driver=luks,key-secret=key,file.driver=file,file.filename={target.name}"
    words = ["qemu-img", "convert", "-q", "-n", "--object", _SECRET, "--target-image-opts", "-f", format]
    words += [source.name, image]
    with space_told():
        await command.run(["env", "-C", str(target.parent), *words], stdin=passphrase(encryption), wait=_TOOL_WAIT)


_SECRET = "secret,id=key,file=/dev/stdin"


def header_size(path: pathlib.Path) -> int:
    """Bytes in front of the container's disk (LUKS1, "payload-offset"). Raises OSError, DriverError."""
    with path.open("rb") as file:
        head = file.read(_PAYLOAD_AT + 4)
    if head[: len(MAGIC)] != MAGIC or len(head) < _PAYLOAD_AT + 4:
        raise DriverError("the encrypted container has no header")
    (sectors,) = struct.unpack_from(">I", head, _PAYLOAD_AT)
    return int(sectors) * _SECTOR
