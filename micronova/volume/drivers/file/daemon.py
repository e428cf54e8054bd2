"""The storage daemon of one volume: the only process that opens the volume's newest layer while it is in use.

One per volume in use, none for idle ones: what happens to one volume's daemon happens to no other volume, and it runs
with that volume's files only. Its layers are told to it one by one; what a file's header says about others is not
followed. Every export of the volume, to whomever, is one of this daemon's on one unix socket.

What a daemon's violent death costs: nothing of a raw layer, whose writes are the kernel's from the start. A qcow2 layer
(a volume with snapshots or copies where files can't share blocks) loses what its user wrote and never flushed, as a
disk does whose power fails.
"""

import asyncio
import contextlib
import hashlib
import os
import pathlib
import socket
from collections.abc import Collection, Sequence

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec
from micronova.volume.drivers import process
from micronova.volume.drivers.account import Account
from micronova.volume.drivers.file import qmp
from micronova.volume.drivers.steps import in_thread

BINARY = "qemu-storage-daemon"
_START_WAIT = 60
_POLL = 0.1


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where daemons live: `layers` is their working directory, `sockets` and `logs` hold theirs.

    They run as `account`; who may connect to them is that user's group and `guests`.
    """

    layers: pathlib.Path
    sockets: pathlib.Path
    logs: pathlib.Path
    account: Account
    guests: Account

    def socket(self, volume: str, kind: str) -> pathlib.Path:
        """The path of one of a volume's sockets; always the same."""
        # Names may be long, and a socket's path must be short.
        return self.sockets / f"{hashlib.sha256(volume.encode()).hexdigest()[:24]}.{kind}"


class VolumeDaemon:
    """The daemon of volume `volume`; this object remembers nothing about it."""

    def __init__(self, place: Place, volume: str) -> None:
        self._place = place
        self._volume = volume
        self._control = place.socket(volume, "ctl")
        self.word = f"chardev=volume-{volume},mode=control"
        self.socket = place.socket(volume, "nbd")

    async def alive(self) -> bool:
        """Whether it lives and listens to us."""
        try:
            async with qmp.talk(self._control):
                return True
        except DriverError:
            return False

    async def start(self, chain: Sequence[str], exports: Collection[ExportSpec]) -> None:
        """It serves these exports of the layers `chain`, newest first. Raises DriverError.

        One that lived before but no longer listens is ended.
        """
        await self.end()
        lines = await in_thread(self._listen)
        log = self._place.logs / f"{self._volume}.log"
        try:
            control, nbd = (line.fileno() for line in lines)
            words = [
                *("--chardev", f"socket,id=volume-{self._volume},fd={control},server=on,wait=off"),
                *("--monitor", self.word),
                *(word for name, below in _pairs(chain) for word in _layer(name, below, writable=name == chain[0])),
                *("--nbd-server", f"addr.type=fd,addr.str={nbd}"),
                *(word for spec in exports for word in _export(spec, chain[0])),
            ]
            argv = [*self._place.account.command(), BINARY, *words]
            await process.spawn(argv, self._place.layers, (control, nbd), log)
        finally:
            for line in lines:
                line.close()
        try:
            async with qmp.talk(self._control, wait=_START_WAIT):
                return
        except DriverError as err:
            await self.end()
            raise DriverError(f"the volume's storage daemon did not start: {process.said(log)}") from err

    async def end(self) -> None:
        """It does not live any more. Raises DriverError."""
        await process.end(self.word, self._place.layers)

    async def clear(self) -> None:
        """Neither the daemon nor anything of it is left. Raises DriverError."""
        await self.end()
        await in_thread(self._unlink)

    # -- the living daemon, asked

    async def exported(self) -> dict[str, str]:
        """Which exports it serves, and of which layer each. Raises DriverError."""
        async with qmp.talk(self._control) as talk:
            found = await talk.ask("query-block-exports")
        return {
            one["id"].removeprefix("e-"): one["node-name"].removeprefix("l-")
            for one in found
            if not one["shutting-down"]
        }

    async def add_export(self, spec: ExportSpec, layer: str) -> None:
        """It serves this export too. Raises DriverError."""
        async with qmp.talk(self._control) as talk:
            await talk.ask("block-export-add", _export_words(spec, layer))

    async def drop_export(self, id: str) -> None:
        """It no longer serves this export; whoever used it is cut off. Raises DriverError."""
        async with qmp.talk(self._control) as talk:
            await talk.ask("block-export-del", {"id": f"e-{id}", "mode": "hard"})
            await _gone(talk, {f"e-{id}"})

    async def cut_off(self) -> None:
        """It serves nothing: who used it comes again until it is served again; no request is under way.

        Raises DriverError.
        """
        async with qmp.talk(self._control) as talk:
            serving = {one["id"] for one in await talk.ask("query-block-exports")}
            for id in serving:
                await talk.ask("block-export-del", {"id": id, "mode": "hard"})
            await _gone(talk, serving)

    async def put_on_top(self, layer: str, below: str) -> None:
        """The empty `layer` takes all writes from now on, `below` none; no request is lost. Raises DriverError."""
        async with qmp.talk(self._control) as talk:
            known = {node["node-name"] for node in await talk.ask("query-named-block-nodes", {"flat": True})}
            if _node(layer) not in known:
                if _file(layer) not in known:
                    await talk.ask("blockdev-add", _file_words(layer, writable=True))
                await talk.ask("blockdev-add", _format_words(layer, None, writable=True))
            await talk.ask("blockdev-snapshot", {"node": _node(below), "overlay": _node(layer)})

    async def grow(self, layer: str, size: int, exports: Collection[ExportSpec]) -> None:
        """The layer has `size`. An exported disk can't grow: its users are cut off for a moment and come again."""
        async with qmp.talk(self._control) as talk:
            serving = {one["id"] for one in await talk.ask("query-block-exports")}
            for id in serving:
                await talk.ask("block-export-del", {"id": id, "mode": "hard"})
            await _gone(talk, serving)
            try:
                await talk.ask("block_resize", {"node-name": _node(layer), "size": size})
            finally:
                for spec in exports:
                    await talk.ask("block-export-add", _export_words(spec, layer))

    async def take_over(self, chain: Sequence[str], at: int) -> None:
        """The layer above `chain[at]` has all of its data and stands on the one below it. Raises DriverError.

        Its data go on being used meanwhile. Given up, the work goes on; repeating waits for it.
        """
        above, needless, below = chain[at - 1 : at + 2]
        job = f"s-{above}-{needless}"
        async with qmp.talk(self._control) as talk:
            if not any(one["id"] == job for one in await talk.ask("query-jobs")):
                if at > 1:
                    await talk.ask("blockdev-reopen", _reopened(above, needless, writable=True))
                words = {"device": _node(above), "base-node": _node(below), "backing-file": below}
                await talk.ask("block-stream", {"job-id": job, "auto-dismiss": False, **words})
            found = await _concluded(talk, job)
            await talk.ask("job-dismiss", {"id": job})
            if found.get("error"):
                raise DriverError(f"the data of a volume could not be moved: {found['error']}")
            # Opened anew, it writes to the disk what it only has in mind: before the layer it came from goes.
            await talk.ask("blockdev-reopen", _reopened(above, below, writable=at == 1))
            with contextlib.suppress(DriverError):  # open a little longer: that keeps its space, and hurts nobody
                for node in (_node(needless), _file(needless)):
                    await talk.ask("blockdev-del", {"node-name": node})

    # -- inside

    def _listen(self) -> list[socket.socket]:
        # The daemon's user needs no right to connect to its own control socket; ways to other hosts do to the other.
        control = process.listen(self._control, 0o600)
        try:
            nbd = process.listen(self.socket, 0o660)
            if self._place.guests.uid is not None:
                os.chown(self.socket, self._place.guests.uid, self._place.account.gid)
        except OSError:
            control.close()
            raise
        return [control, nbd]

    def _unlink(self) -> None:
        for path in (self._control, self.socket, self._place.logs / f"{self._volume}.log"):
            path.unlink(missing_ok=True)


async def _gone(talk: qmp.Talk, ids: set[str]) -> None:
    """None of these exports is served any more, their users' last requests included."""
    while True:
        if not ids & {one["id"] for one in await talk.ask("query-block-exports")}:
            return
        await asyncio.sleep(_POLL / 10)


async def _concluded(talk: qmp.Talk, id: str) -> dict[str, str]:
    """How the job ended."""
    while True:
        found = [one for one in await talk.ask("query-jobs") if one["id"] == id]
        if not found:
            raise DriverError("the storage daemon lost the work it was at")
        if found[0]["status"] == "concluded":
            return dict(found[0])
        await asyncio.sleep(_POLL)


def _node(layer: str) -> str:
    """What the daemon calls a layer: 31 letters at most."""
    return f"l-{layer}"


def _file(layer: str) -> str:
    return f"f-{layer}"


def _pairs(chain: Sequence[str]) -> list[tuple[str, str | None]]:
    """Each layer with the one below it, the lowest first: what stands on something comes after it."""
    below: list[str | None] = [*chain[1:], None]
    return list(zip(chain, below, strict=True))[::-1]


def _file_words(layer: str, *, writable: bool) -> dict[str, object]:
    words = {"driver": "file", "node-name": _file(layer), "filename": layer}
    return {**words, "discard": "unmap", "read-only": not writable}


def _format_words(layer: str, below: str | None, *, writable: bool) -> dict[str, object]:
    format = layer.rpartition(".")[2]
    words: dict[str, object] = {"driver": format, "node-name": _node(layer), "file": _file(layer)}
    if format == "qcow2":
        words["backing"] = _node(below) if below else None
    return {**words, "discard": "unmap", "read-only": not writable}


def _reopened(layer: str, below: str, *, writable: bool) -> dict[str, object]:
    return {"options": [_file_words(layer, writable=writable), _format_words(layer, below, writable=writable)]}


def _layer(layer: str, below: str | None, *, writable: bool) -> list[str]:
    words = (_file_words(layer, writable=writable), _format_words(layer, below, writable=writable))
    return [word for one in words for word in ("--blockdev", msgspec.json.encode(one).decode())]


def _export_words(spec: ExportSpec, layer: str) -> dict[str, object]:
    words = {"type": "nbd", "id": f"e-{spec.id}", "node-name": _node(layer), "name": spec.id}
    return {**words, "writable": not spec.read_only}


def _export(spec: ExportSpec, layer: str) -> list[str]:
    return ["--export", msgspec.json.encode(_export_words(spec, layer)).decode()]
