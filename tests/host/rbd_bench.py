"""What tests of volumes in Ceph share: a driver, its images looked at without it, and waiting for the cluster."""

import asyncio
import contextlib
import pathlib
from collections.abc import Awaitable, Callable

import pytest
from volume_user import KIB, MIB

from micronova import command
from micronova.clock import SystemClock
from micronova.errors import DriverError
from micronova.volume.driver import FromSnapshot, FromVolume, VolumeDriver
from micronova.volume.drivers.rbd.driver import RbdVolumeDriver
from micronova.volume.drivers.rbd.options import RbdOptions

WATCH_DISK = """#!/bin/sh
while :; do
    for disk in /sys/block/vd*; do
        case "$(cat $disk/serial 2>/dev/null)" in 20000000*) ;; *) continue ;; esac
        [ "$(cat $disk/size)" != "$seen" ] || continue
        seen=$(cat $disk/size)
        echo "disk: $seen sectors."
        echo "written by guest" | dd of=/dev/$(basename $disk) bs=512 seek=2 conv=notrunc,fsync 2>/dev/null
        echo "wrote."
    done
    sleep 1
done
"""


def driver_at(folder: pathlib.Path, options: RbdOptions, *, host: str = "one") -> RbdVolumeDriver:
    return RbdVolumeDriver(folder, SystemClock(), options, host=host)


async def io(driver: VolumeDriver, source: FromVolume | FromSnapshot, *orders: str) -> str:
    """What qemu-io says to the orders, on the image itself."""
    assert isinstance(driver, RbdVolumeDriver)
    image = source.name if isinstance(source, FromVolume) else source.volume
    snapshot = "" if isinstance(source, FromVolume) else source.name
    url = driver._cluster.url(image, snapshot)
    read_only = ["-r"] if snapshot else []
    words = [word for order in orders for word in ("-c", order)]
    told = (await command.run(["qemu-io", *read_only, "-t", "writeback", "-f", "raw", *words, url])).decode()
    assert "failed" not in told, told
    return told


def dumped(told: str) -> bytes:
    """The bytes of qemu-io's hexadecimal dump."""
    lines = (line.partition(":  ")[2].partition("  ")[0] for line in told.splitlines() if ":  " in line)
    return bytes.fromhex("".join(lines))


def whole_blocks(path: pathlib.Path) -> int:
    """How many of the blocks are there, one after the other; behind them is at most half of one."""
    with path.open("rb") as file:
        data = file.read(64 * MIB)
    blocks = [data[number * 64 * KIB : (number + 1) * 64 * KIB] for number in range(1, 1000)]
    whole = [block == bytes([number % 250 + 1]) * 64 * KIB for number, block in enumerate(blocks, 1)]
    there = [*whole, False].index(False)
    assert all(block == bytes(64 * KIB) for block in blocks[there + 1 :])
    return there


async def bounded(call: Awaitable[object]) -> str:
    """What the error says, which comes soon."""
    async with asyncio.timeout(100):
        with pytest.raises(DriverError) as told:
            await call
    return told.value.message


async def until_done(call: Callable[[], Awaitable[object]]) -> None:
    """A cluster needs a moment when it is back."""
    while True:
        with contextlib.suppress(DriverError):
            await call()
            return
        await asyncio.sleep(0.5)


async def until_there(driver: RbdVolumeDriver, name: str) -> None:
    """The image of this name is there."""
    while True:
        if await driver._images.find(name) is not None:
            return
        await asyncio.sleep(0.2)


async def until_full(driver: RbdVolumeDriver, *, full: bool) -> None:
    """The cluster says that it is full, or that it is not."""
    while True:
        if full == await driver._cluster._is_full():
            return
        await asyncio.sleep(0.5)
