"""Who uses a volume in tests: qemu-io, once or as long as a guest would, on whatever a driver's connection says."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

from micronova import command
from micronova.volume.driver import Connection, FileConnection, IscsiConnection, NbdConnection, RbdConnection

KIB, MIB = 2**10, 2**20


def words(connection: Connection, *, patience: int = 0) -> list[str]:
    """qemu-io's arguments for it, writing as guests do; it waits so many seconds for whom it can't reach."""
    if isinstance(connection, FileConnection):
        return ["-t", "writeback", "-f", connection.format, connection.path]
    if isinstance(connection, IscsiConnection):
        image = f"driver=iscsi,transport=tcp,portal={connection.portal},target={connection.iqn},lun={connection.lun}"
        image += f",user={connection.user},password-secret=chap"
        only = ["-r"] if connection.read_only else []
        # Among arguments, as nothing but a test would have it: its input is for orders.
        secret = ["--object", f"secret,id=chap,data={connection.password}"]
        return [*secret, *only, "-t", "writeback", "--image-opts", image]
    if isinstance(connection, RbdConnection):
        image = f"driver=rbd,pool={connection.pool},image={connection.image},user={connection.user},key-secret=ceph"
        for number, (host, _, port) in enumerate(one.rpartition(":") for one in connection.monitors):
            image += f",server.{number}.host={host},server.{number}.port={port}"
        ring = pathlib.Path(connection.keyring).read_text().split()
        secret = ["--object", f"secret,id=ceph,format=base64,data={ring[ring.index('key') + 2]}"]
        return [*secret, "-t", "writeback", "--image-opts", image]
    assert isinstance(connection, NbdConnection)
    place = f"server.type=unix,server.path={connection.path}"
    creds = []
    if connection.host:
        place = f"server.type=inet,server.host={connection.host},server.port={connection.port},tls-creds=t"
        name = f",username={connection.tls_name}" if connection.tls_kind == "psk" else ",verify-peer=yes"
        place += f",tls-hostname={connection.tls_name}" if connection.tls_kind == "x509" else ""
        creds = ["--object", f"tls-creds-{connection.tls_kind},id=t,endpoint=client,dir={connection.tls}{name}"]
    image = f"driver=nbd,{place},export={connection.export},reconnect-delay={patience},open-timeout={patience}"
    return [*creds, "-t", "writeback", "--image-opts", image]


async def use(connection: Connection, *orders: str, patience: int = 0) -> str:
    """What qemu-io says to the orders; a pattern that is not as expected makes it fail."""
    given = [word for order in orders for word in ("-c", order)]
    out = await command.run(["qemu-io", *given, *words(connection, patience=patience)], wait=100)
    told = out.decode()
    assert "failed" not in told, told
    assert "error" not in told.lower(), told
    return told


class User:
    """A program that has a volume open all the time, as a guest has."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, order: str) -> str:
        """What it says when the order is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n".encode())
        await self._process.stdin.drain()
        told = await self.prompted()
        assert "failed" not in told, told
        assert "error" not in told.lower(), told
        return told

    async def prompted(self) -> str:
        """What it says until it can be told something."""
        assert self._process.stdout is not None
        async with asyncio.timeout(100):
            return (await self._process.stdout.readuntil(b"qemu-io> ")).decode()


@contextlib.asynccontextmanager
async def opened(connection: Connection) -> AsyncIterator[User]:
    """A user that has the volume open while the block lasts."""
    process = await asyncio.create_subprocess_exec(
        "qemu-io",
        *words(connection, patience=60),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        user = User(process)
        await user.prompted()
        yield user
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Writes:
    """A user who writes block after block of 64 KiB from the first on; `done` is the last that was acknowledged."""

    def __init__(self, user: User) -> None:
        self.done = 0
        self._user = user
        self._well_begun, self._enough = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def under_way(self) -> AsyncIterator["Writes"]:
        """Writing goes on during the block, and has ended after it."""
        writing = asyncio.ensure_future(self._write_on())
        await self._well_begun.wait()
        try:
            yield self
        finally:
            self._enough.set()
            await writing

    async def _write_on(self) -> None:
        for number in range(1, 1000):
            await self._user.tell(f"write -P {number % 250 + 1} {number * 64}k 64k")
            self.done = number
            if number == 20:
                self._well_begun.set()
            if self._enough.is_set():
                return
            await asyncio.sleep(0.002)
