"""Ceph, asked by its own commands: a process can be given a limit and ended, a blocked library call could not.

Each command ends by itself when the cluster does not answer for so many seconds (the options of its client library),
and is ended by us when it does not. Exit codes of `rbd` are error numbers (errno.h). The key stays in its keyring.
"""

import asyncio
import contextlib
import errno
import json
from typing import Any

from micronova import command
from micronova.errors import DriverError, NoSpace
from micronova.volume.drivers.rbd.options import RbdOptions
from micronova.volume.drivers.steps import whole

LONG = 6 * 3600
"""Seconds for what grows with a volume; it ends long before when the cluster is away."""
_TIMEOUTS = ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout")
_ORDINARY = 60
"""Seconds for what takes a moment; somebody's lock on an image may have to expire first, which takes half of them."""
_SILENT = ("timed out", "was not done after", "failed to fetch mon config")
_REFUSED = ("Permission denied", "Operation not permitted")
_FULL = ("No space left", "quota exceeded")


class Cluster:
    """One pool of a cluster, as one user."""

    def __init__(self, options: RbdOptions) -> None:
        self._options = options
        self.pool = options.pool

    def spec(self, image: str, snapshot: str = "") -> str:
        """What `rbd` calls an image or snapshot."""
        return f"{self.pool}/{image}" + (f"@{snapshot}" if snapshot else "")

    def url(self, image: str, snapshot: str = "") -> str:
        """What QEMU's tools call it. It holds no secret."""
        name = f"{_escaped(self.pool)}/{_escaped(image)}" + (f"@{_escaped(snapshot)}" if snapshot else "")
        options = self._options
        words = {"id": options.user, "conf": options.conf, "keyring": options.keyring_of_user()}
        words |= {name: str(options.timeout) for name in _TIMEOUTS}
        return f"rbd:{name}:" + ":".join(f"{key}={_escaped(value)}" for key, value in words.items())

    async def rbd(self, *words: str, wait: float = _ORDINARY, ok: tuple[int, ...] = (0,)) -> bytes:
        """What `rbd` writes. A caller that gives up goes when it is done, or a minute later, when it is ended.

        Raises NoSpace, DriverError with the error number as fact `code`.
        """
        return await self._run(["rbd", *self._client(), *words], wait, ok)

    async def rbd_json(self, *words: str, ok: tuple[int, ...] = (0,)) -> Any:
        """The same, read; None when it writes nothing."""
        return _read(await self.rbd(*words, "--format", "json", ok=ok))

    async def rados(self, *words: str) -> str:
        """What `rados` writes of the pool; as `rbd`, but the code is always 1."""
        return (await self._run(["rados", *self._client(), "--pool", self.pool, *words], _ORDINARY)).decode()

    async def ceph(self, *words: str) -> Any:
        """What the monitors answer. Raises DriverError."""
        argv = ["ceph", *self._access(), "--connect-timeout", str(self._options.timeout), *words, "--format", "json"]
        return _read(await self._run(argv, 3 * self._options.timeout))

    async def monitors(self) -> tuple[str, ...]:
        """The monitors, each as HOST:PORT. Raises DriverError."""
        told = await self.ceph("mon", "dump")
        places = [one["public_addrs"]["addrvec"] for one in told["mons"]]
        newest_first = [sorted(place, key=lambda one: one["type"], reverse=True) for place in places]
        return tuple(place[0]["addr"] for place in newest_first if place)

    async def told(self, err: DriverError, program: str) -> DriverError:
        """The error of a program in one sentence; the fact `code` is its number, if that is known."""
        # The others say 1 whatever it is.
        code = err.facts.get("code") if program == "rbd" else None
        if code == errno.ETIMEDOUT or any(word in err.message for word in _SILENT):
            if program != "ceph" and await self._is_full():
                return NoSpace("the Ceph cluster is full", code=errno.ENOSPC)
            return DriverError(
                f"the Ceph cluster did not answer within {self._options.timeout} s", code=errno.ETIMEDOUT
            )
        if any(word in err.message for word in _REFUSED):
            return DriverError(f"the Ceph cluster does not let {self._options.user} do this", code=code)
        if any(word in err.message for word in _FULL):
            return NoSpace("no space left in the Ceph cluster", code=errno.ENOSPC)
        lines = [line for line in err.message.splitlines() if line.strip()]
        return DriverError(f"{program} failed: {lines[-1][-300:] if lines else 'it said nothing'}", code=code)

    # -- inside

    def _access(self) -> list[str]:
        options = self._options
        return ["--id", options.user, "--conf", options.conf, "--keyring", options.keyring_of_user()]

    def _client(self) -> list[str]:
        limits = [word for name in _TIMEOUTS for word in (f"--{name.replace('_', '-')}", str(self._options.timeout))]
        return [*self._access(), *limits]

    async def _run(self, argv: list[str], wait: float, ok: tuple[int, ...] = (0,)) -> bytes:
        work = asyncio.ensure_future(command.run(argv, wait=wait, ok=ok))
        try:
            return await whole(work, patience=_ORDINARY)
        except DriverError as err:
            raise await self.told(err, argv[0]) from err

    async def _is_full(self) -> bool:
        """Whether writes wait for space, for which the client library waits as for a cluster that is away."""
        with contextlib.suppress(DriverError):
            told = await self.ceph("osd", "pool", "ls", "detail")
            flags = {name for pool in told if pool["pool_name"] == self.pool for name in _flags(pool)}
            return bool({"full", "full_quota"} & flags)
        return False


def code_of(err: DriverError) -> int | None:
    """The number of the error that `rbd` ended with."""
    code = err.facts.get("code")
    return code if isinstance(code, int) else None


def _flags(pool: dict[str, Any]) -> list[str]:
    return str(pool.get("flags_names", "")).split(",")


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in ":=@/\\" else letter for letter in text)


def _read(told: bytes) -> Any:
    try:
        return json.loads(told) if told.strip() else None
    except ValueError as err:
        raise DriverError("Ceph's answer can't be read") from err
