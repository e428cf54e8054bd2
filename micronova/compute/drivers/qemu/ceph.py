"""Whether a Ceph cluster answers, asked before QEMU is sent there: while QEMU connects, its guest stands still.

Ceph's client library would wait for five minutes.
"""

import asyncio

from micronova.errors import DriverError
from micronova.volume.driver import RbdConnection

_BANNER = b"ceph v"
"""How both versions of Ceph's protocol begin, from whichever end (docs.ceph.com, messenger v2, "Banner phase")."""
_WAIT = 5


async def check(there: RbdConnection) -> None:
    """Return when one of the monitors answers, or none is named. Raises DriverError when none does."""
    if not there.monitors:
        return
    asked = [asyncio.ensure_future(_answers(monitor)) for monitor in there.monitors]
    try:
        for answer in asyncio.as_completed(asked):
            if await answer:
                return
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise DriverError("no monitor of the Ceph cluster answers")


async def _answers(monitor: str) -> bool:
    host, _, port = monitor.rpartition(":")
    try:
        async with asyncio.timeout(_WAIT):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                return await reader.readexactly(len(_BANNER)) == _BANNER
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        return False
