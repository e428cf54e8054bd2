"""What a connection reaches, read on this host by QEMU's tools: brought into a file, or compared with another.

The data are raw bytes: no header in them is ever interpreted. Secrets are given to the tool sealed, and what opens them
through a pipe: so a command may need several, and none is in an argument that could be used.
"""

import base64
import os
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from micronova import command
from micronova.errors import DriverError
from micronova.volume.driver import Connection, FileConnection, IscsiConnection, NbdConnection, RbdConnection
from micronova.volume.drivers.steps import space_told

_WAIT = 6 * 3600
_DIFFERENT = 1
"""What qemu-img compare ends with when the contents differ (qemu-img(1))."""
_BLOCK_BITS = 128


class Reader(Protocol):
    """Reads what connections reach. Failures are DriverError, NoSpace, Rejected."""

    async def bring(self, connection: Connection, path: str) -> None:
        """Write all of it to a new raw file of this host, sparse where it is zeros."""

    async def check_same(self, one: Connection, other: Connection) -> None:
        """Return when both hold the same bytes. Raises DriverError when they don't."""


class ToolReader:
    """A Reader by qemu-img."""

    async def bring(self, connection: Connection, path: str) -> None:
        words = Words()
        image = words.image(connection, "a")
        with space_told():
            argv = ["qemu-img", "convert", "-q", *words.objects, "--image-opts", "-O", "raw", image, path]
            await command.run(argv, stdin=words.opener, wait=_WAIT)

    async def check_same(self, one: Connection, other: Connection) -> None:
        words = Words()
        images = [words.image(one, "a"), words.image(other, "b")]
        try:
            argv = ["qemu-img", "compare", "-q", *words.objects, "--image-opts", *images]
            await command.run(argv, stdin=words.opener, wait=_WAIT)
        except DriverError as err:
            if err.facts.get("code") == _DIFFERENT:
                raise DriverError("the copy of the volume is not what the volume is") from err
            raise


class Words:
    """A tool's arguments for what it opens; `opener` is to be given on its standard input."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self.opener = base64.b64encode(self._key)
        self.objects = ["--object", "secret,id=opener,format=base64,file=/dev/stdin"]

    def secret(self, id: str, data: bytes) -> None:
        """The tool knows the secret by this id (QEMU's "secret" object: AES-256-CBC, PKCS#7, a vector of 16 bytes)."""
        vector, padder = os.urandom(16), padding.PKCS7(_BLOCK_BITS).padder()
        sealer = Cipher(algorithms.AES(self._key), modes.CBC(vector)).encryptor()
        sealed = sealer.update(padder.update(data) + padder.finalize()) + sealer.finalize()
        given = f"data={base64.b64encode(sealed).decode()},iv={base64.b64encode(vector).decode()}"
        self.objects += ["--object", f"secret,id={id},format=base64,keyid=opener,{given}"]

    def image(self, connection: Connection, name: str) -> str:
        """The option that opens what the connection reaches. Raises DriverError when a key is missing."""
        match connection:
            case FileConnection(path=path, format=format):
                return f"driver={format},file.filename={_quoted(path)}"
            case NbdConnection():
                return f"driver=raw,{self._nbd(connection, name)}"
            case IscsiConnection():
                return f"driver=raw,{self._iscsi(connection, name)}"
            case RbdConnection():
                return f"driver=raw,{self._rbd(connection, name)}"

    def _nbd(self, there: NbdConnection, name: str) -> str:
        place = f"file.driver=nbd,file.export={_quoted(there.export)}"
        if there.path:
            place += f",file.server.type=unix,file.server.path={_quoted(there.path)}"
        else:
            # A host that is gone without a word is noticed some day, rather than never.
            place += f",file.server.type=inet,file.server.host={_quoted(there.host)},file.server.keep-alive=on"
            place += f",file.server.port={there.port}"
        if not there.tls_kind:
            return place
        creds = f"tls-creds-{there.tls_kind},id={name}-tls,endpoint=client,dir={_quoted(there.tls)}"
        if there.tls_kind == "psk":
            creds += f",username={_quoted(there.tls_name)}"
        else:
            creds += ",verify-peer=on"
            place += f",file.tls-hostname={_quoted(there.tls_name)}"
        self.objects += ["--object", creds]
        return f"{place},file.tls-creds={name}-tls"

    def _iscsi(self, there: IscsiConnection, name: str) -> str:
        place = f"file.driver=iscsi,file.transport=tcp,file.portal={_quoted(there.portal)}"
        place += f",file.target={_quoted(there.iqn)},file.lun={there.lun}"
        if not there.user:
            return place
        self.secret(f"{name}-chap", there.password.encode())
        return f"{place},file.user={_quoted(there.user)},file.password-secret={name}-chap"

    def _rbd(self, there: RbdConnection, name: str) -> str:
        place = f"file.driver=rbd,file.pool={_quoted(there.pool)},file.image={_quoted(there.image)}"
        for number, monitor in enumerate(there.monitors):
            host, _, port = monitor.rpartition(":")
            place += f",file.server.{number}.host={_quoted(host.strip('[]') or port)}"
            place += f",file.server.{number}.port={port if host else '6789'}"
        if not there.user:
            return place
        # QEMU brings it into base64 again.
        self.secret(f"{name}-ceph", base64.b64decode(_ceph_key(there.keyring)))
        return f"{place},file.user={_quoted(there.user)},file.key-secret={name}-ceph"


def _ceph_key(keyring: str) -> str:
    """The key in a keyring file, in the base64 that Ceph writes it in. Raises DriverError."""
    try:
        pairs = [line.partition("=") for line in Path(keyring).read_text().splitlines()]
    except OSError as err:
        raise DriverError(f"the back end's keyring can't be read here: {err.strerror}") from err
    found = next((value.strip() for word, _, value in pairs if word.strip() == "key"), "")
    if not found:
        raise DriverError("the back end's keyring holds no key")
    return found


def _quoted(text: str) -> str:
    """The tool's lists have commas between their parts."""
    return text.replace(",", ",,")
