"""What the conformance kits of ComputeDriver know of the driver under test, and of the host it is on."""

import asyncio
from typing import Protocol

from micronova.compute.driver import ComputeDriver, GuestSpec, Nic, VolumeDisk

ONE, TWO, THREE = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3))
"""Guests' ids."""


class ComputeBench(Protocol):
    """What the kit must know of the driver under test, and what it must be able to do to its host."""

    driver: ComputeDriver

    def spec(self, id: str) -> GuestSpec:
        """A small guest with a disk that this host can run."""

    async def nic(self, number: int) -> Nic:
        """A network card, another for each number, whose device this host has."""

    async def cards(self, id: str) -> list[str]:
        """The ports whose cards guest `id` has now, or would start with."""

    async def volume(self, number: int) -> VolumeDisk:
        """A volume as a disk, another for each number, that this host reaches."""

    async def volumes(self, id: str) -> list[str]:
        """The volumes that guest `id` has as disks now, or would start with, in order."""

    async def crash(self, id: str) -> None:
        """The running guest's machine dies without anybody having asked."""

    async def fill_disk(self) -> None:
        """From now on this host has no space for another guest."""

    async def free_disk(self) -> None:
        """It has space again."""

    async def reopen(self) -> None:
        """`driver` is what a service finds that starts on this host after the last one was killed."""

    def traces(self, id: str) -> list[str]:
        """What of guest `id` is on the host, driver or not: files, processes. Empty when nothing is."""


async def console_once_written(driver: ComputeDriver, id: str) -> bytes:
    """What the guest has written on its serial port, once it has begun to write."""
    for _ in range(600):
        text = await driver.console(id, max_bytes=100_000)
        if len(text) >= 5:
            return text
        await asyncio.sleep(0.1)
    raise AssertionError("the guest wrote nothing in a minute")
