"""How another host reaches a volume of this one: a front per export, which takes TLS on a TCP port and is itself a
client of the volume's daemon.

So the volume's daemon can be used from here and from elsewhere at once, and listens on no port itself. A front knows
the one key of the one host that it is for (PSK), or asks for a certificate of our authority (X.509).
"""

import contextlib
import pathlib
import shutil
import socket

from micronova.errors import DriverError, Rejected
from micronova.volume.driver import ExportSpec, NbdConnection
from micronova.volume.drivers import process
from micronova.volume.drivers.file import qmp
from micronova.volume.drivers.file.daemon import BINARY, Place
from micronova.volume.drivers.file.options import FileOptions
from micronova.volume.drivers.file.records import ExportRecord
from micronova.volume.drivers.steps import in_thread, told

KINDS = ("", "psk", "x509")
_X509 = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
_RECONNECT = 60
"""Seconds for which a front keeps requests while the volume's daemon is away."""
_START_WAIT = 60


class Fronts:
    """The fronts of one back end."""

    def __init__(self, place: Place, folder: pathlib.Path, options: FileOptions) -> None:
        self._place = place
        self._folder = folder
        self._options = options

    async def reserve(self, spec: ExportSpec, taken: set[int]) -> ExportRecord:
        """Where this export will be reached. Raises Rejected when its host is unknown, DriverError without ports."""
        if not self._options.tls:
            raise Rejected("other hosts can't reach this back end: it has no TLS", name=spec.volume)
        return await in_thread(self._reserve, spec, taken)

    def connection(self, record: ExportRecord) -> NbdConnection:
        """What the other host must know."""
        spec = record.spec
        return NbdConnection(
            export=spec.id,
            host=record.address,
            port=record.port,
            tls_kind=self._options.tls,
            tls=self._options.tls_folder,
            tls_name=spec.initiator if self._options.tls == "psk" else record.address,
            read_only=spec.read_only,
        )

    async def start(self, record: ExportRecord, daemon: pathlib.Path) -> None:
        """The front works, at its port, for the volume's daemon behind the socket `daemon`. Raises DriverError."""
        spec = record.spec
        await self.end(spec.id)
        folder = await in_thread(self._credentials, spec)
        log = self._place.logs / f"{spec.id}.log"
        lines = await in_thread(self._listen, record)
        try:
            control, port = (line.fileno() for line in lines)
            words = [
                *("--chardev", f"socket,id=front-{spec.id},fd={control},server=on,wait=off"),
                *("--monitor", word(spec.id)),
                *("--blockdev", _remote(spec, daemon)),
                *("--object", self._tls(folder.name)),
                *("--nbd-server", f"addr.type=fd,addr.str={port},tls-creds=tls"),
                *("--export", f"type=nbd,id=e,node-name=v,name={spec.id},writable={_on(not spec.read_only)}"),
            ]
            argv = [*self._place.account.command(), BINARY, *words]
            await process.spawn(argv, self._place.layers, (control, port), log)
        finally:
            for line in lines:
                line.close()
        try:
            async with qmp.talk(self._place.socket(spec.id, "front"), wait=_START_WAIT):
                return
        except DriverError as err:
            await self.end(spec.id)
            raise DriverError(f"the volume's way to other hosts did not start: {process.said(log)}") from err

    async def alive(self, id: str) -> bool:
        """Whether the front of export `id` lives."""
        try:
            async with qmp.talk(self._place.socket(id, "front")):
                return True
        except DriverError:
            return False

    async def end(self, id: str) -> None:
        """The front does not live any more. Raises DriverError."""
        await process.end(word(id), self._place.layers)

    async def clear(self, id: str) -> None:
        """Nothing of the front is left. Raises DriverError."""
        await self.end(id)
        await in_thread(self._forget, id)

    def _tls(self, folder: str) -> str:
        verify = ",verify-peer=yes" if self._options.tls == "x509" else ""
        return f"tls-creds-{self._options.tls},id=tls,endpoint=server,dir=../fronts/{folder}{verify}"

    # -- in a thread

    def _reserve(self, spec: ExportSpec, taken: set[int]) -> ExportRecord:
        if self._options.tls == "psk":
            self._key_line(spec.initiator)
        address = self._options.address or _address_towards(spec.ip)
        first = self._options.first_port
        for port in range(first, first + self._options.ports):
            if port not in taken:
                with contextlib.suppress(OSError):
                    process.listen_at(address, port).close()
                    return ExportRecord(spec=spec, address=address, port=port)
        raise DriverError("no port is free for another host to reach the volume")

    def _listen(self, record: ExportRecord) -> list[socket.socket]:
        control = process.listen(self._place.socket(record.spec.id, "front"), 0o600)
        try:
            return [control, process.listen_at(record.address, record.port)]
        except OSError:
            control.close()
            raise

    def _credentials(self, spec: ExportSpec) -> pathlib.Path:
        """A folder that only the front's user reads, with what this one front needs."""
        folder = self._folder / spec.id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        source = pathlib.Path(self._options.tls_folder)
        if self._options.tls == "psk":
            files = {"keys.psk": self._key_line(spec.initiator)}
        else:
            files = {name: (source / name).read_bytes() for name in _X509}
        for name, content in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_bytes(content)
            self._place.account.give(path, 0o400)
        self._place.account.give(folder, 0o500)
        return folder

    def _key_line(self, initiator: str) -> bytes:
        """The key of one host. Raises Rejected when it has none."""
        with told():
            lines = (pathlib.Path(self._options.tls_folder) / "keys.psk").read_bytes().splitlines()
        found = [line for line in lines if initiator and line.startswith(f"{initiator}:".encode())]
        if not found:
            raise Rejected(f"{initiator[:50] or 'a nameless host'} has no key here to reach volumes with")
        return found[0] + b"\n"

    def _forget(self, id: str) -> None:
        shutil.rmtree(self._folder / id, ignore_errors=True)
        for path in (self._place.socket(id, "front"), self._place.logs / f"{id}.log"):
            path.unlink(missing_ok=True)


def word(id: str) -> str:
    """What the front of this export is known by among this host's processes."""
    return f"chardev=front-{id},mode=control"


def _remote(spec: ExportSpec, daemon: pathlib.Path) -> str:
    words = f"driver=nbd,node-name=v,server.type=unix,server.path={str(daemon).replace(',', ',,')},export={spec.id}"
    return f"{words},reconnect-delay={_RECONNECT},open-timeout={_RECONNECT},read-only={_on(spec.read_only)}"


def _on(value: bool) -> str:
    return "on" if value else "off"


def _address_towards(ip: str) -> str:
    """This host's address on the way to `ip`; nothing is sent. Raises DriverError when there is no way."""
    try:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as line:
            line.connect((ip or "127.0.0.1", 9))
            return str(line.getsockname()[0])
    except OSError as err:
        raise DriverError(f"there is no way from this host to {ip[:50]}: {err.strerror}") from err
