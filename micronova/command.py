"""Host commands: run with a time limit, in their own process group, told as DriverError when they fail."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence

from micronova.errors import DriverError

LOG = logging.getLogger(__name__)


async def run(
    argv: Sequence[str],
    *,
    wait: float = 30,
    stdin: bytes | None = None,
    ok: tuple[int, ...] = (0,),
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run one command to its end; returns its standard output.

    Raises DriverError when it is missing, exits with a code not in `ok`, or is not done after `wait` seconds
    (then its whole process group is killed). Arguments must hold no secrets: they are visible on the host and
    may be logged; give secrets through `stdin` or `env`.
    """
    name = os.path.basename(argv[0])
    given = _readable(stdin) if stdin is not None else asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=given,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **env} if env else None,
        )
    except OSError as err:
        raise DriverError(f"{name} could not be started: {err.strerror}", command=name) from err
    finally:
        if stdin is not None:
            os.close(given)
    try:
        async with asyncio.timeout(wait):
            out, told = await process.communicate()
    except TimeoutError as err:
        raise DriverError(f"{name} was not done after {wait:g} s", command=name) from err
    finally:
        if process.returncode is None:
            _kill_group(process.pid)
            await process.wait()
    if process.returncode not in ok:
        text = told.decode(errors="replace").strip() or out.decode(errors="replace").strip()
        LOG.debug("command failed: %s: %s", " ".join(argv), text)
        raise DriverError(f"{name} failed ({process.returncode}): {text[-400:]}", command=name, code=process.returncode)
    return out


def _readable(data: bytes) -> int:
    """A file in memory that holds the data: unlike an event loop's pipe, which may be a socket, a command can open
    its own /dev/stdin again."""
    handle = os.memfd_create("stdin")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
