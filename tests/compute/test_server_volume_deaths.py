"""A host dies after every durable step of what gives its servers volumes and takes them: the next life brings order.

What was seen is compared with volume_faults.json, as tests/volume/test_volume_deaths.py tells.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from compute.server_world import Host, ServerWorld
from volume.faults import Seen, agree
from volume.mortal import Life, Mortal, MortalDatabase, MortalDriver, killed

from micronova.operations import Operations
from micronova.tasks import Task

RECORD = Path(__file__).parent / "volume_faults.json"
GUESTS = {
    "attach_volume": "the guest had the disk",
    "detach_volume": "the guest had let go of the disk",
    "ensure": "the guest ran",
    "remove": "the guest was removed",
}
FLAGS = {"tasks__sweep_seconds": 60, "tasks__retry_seconds": 0.01}
SOON = 5
LONG = 100
Act = Callable[["DyingWorld"], Awaitable[None]]


class DyingHost(Host):
    """A host whose process may die; guests, ports and volumes outlive it."""

    life: Life

    def make(self) -> None:
        """New managers, which see database and drivers only as long as they live."""
        self.life = life = Life()
        kept = self.world.db, self.driver, self.backends
        self.world.db = MortalDatabase(self.world.db, life)
        self.driver = Mortal(self.driver, life, GUESTS)
        self.backends = {name: MortalDriver(driver, life) for name, driver in self.backends.items()}
        try:
            super().make()
        finally:
            self.world.db, self.driver, self.backends = kept

    async def die(self) -> None:
        """The process is gone without a word."""
        service, self.service = self.service, None
        if service is not None:
            await killed(service, self.life, [self.scheduler, self.image, self.network, self.volume, self.compute])


class DyingWorld(ServerWorld):
    """One host that dies and comes again, a server on it, a volume."""

    host: DyingHost
    server_id: str
    volume_id: str

    async def begin(self) -> None:
        await self.open()
        self.host = DyingHost(self, "h1")
        self.hosts["h1"] = self.host
        await self.host.start()

    async def quiet(self) -> None:
        """Nothing that may run soon is left to be done."""

        def soon(rows: list[Task]) -> bool:
            now = self.clock.now()
            return any((row.run_at - now).total_seconds() < SOON or row.cancelled for row in rows)

        await self.wait(lambda: self.db.read(lambda tx: tx.find(Task, open=True)), lambda rows: not soon(rows))

    async def live_and_die(self, act: Act, last: int) -> str:
        """Do it while the host's life ends at its moment number `last`; returns that, "" when it was done before."""
        life = self.host.life
        life.end_at(last)
        doing = asyncio.ensure_future(self._whole(act))
        ended = asyncio.ensure_future(life.over.wait())
        await asyncio.wait((doing, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not life.over.is_set():
            await doing
            life.go_on()
            return ""
        doing.cancel()
        await asyncio.wait([doing])
        await self.host.die()
        return life.moments[-1]

    async def _whole(self, act: Act) -> None:
        await act(self)
        await self.quiet()

    async def come_back(self) -> None:
        """One restart and one tick."""
        await self.host.start()
        await self.quiet()
        await self.host.compute.reconcile(self.host.service.ctx)
        await self.host.volume.reconcile(self.host.service.ctx)
        await self.quiet()

    async def state(self) -> tuple[str, bool, bool]:
        """The volume's status, whether the guest has it, whether it is exported."""
        row = await self.volume(self.volume_id)
        there = [disk.volume_id for disk in self.host.driver.disks(self.server_id)]
        exports = [one.volume for one in (await self.host.disks.list()).exports]
        return (row.status if row is not None else "gone", self.volume_id in there, self.volume_id in exports)

    async def left(self) -> list[str]:
        """Whatever is wrong: nobody's guests, ports, exports, and what repair would find."""
        found = await self.leaks()
        attached = {row.id for row in await self.attachments(self.volume_id)}
        found += [one.id for one in (await self.host.disks.list()).exports if one.id not in attached]
        operations = Operations({"volume": self.api.volume, "compute": self.compute})
        ids = [self.server_id] if await self.row(self.server_id) is not None else []
        for id in (*ids, self.volume_id) if await self.volume(self.volume_id) is not None else ids:
            report = await operations.repair(self.host.service.ctx, id, do=False)
            found += [one.finding.what for one in report.ailments]
        return found


async def attach(world: DyingWorld) -> None:
    body = {"volumeAttachment": {"volumeId": world.volume_id}}
    assert 200 == (await world.ask(f"POST /servers/{world.server_id}/os-volume_attachments", body)).status


async def detach(world: DyingWorld) -> None:
    path = f"/servers/{world.server_id}/os-volume_attachments/{world.volume_id}"
    assert 202 == (await world.ask(f"DELETE {path}")).status


async def delete_server(world: DyingWorld) -> None:
    assert 204 == (await world.ask(f"DELETE /servers/{world.server_id}")).status


async def ready(world: DyingWorld, *, used: bool) -> None:
    """A server, and a volume that it has or has not."""
    if await world.row(getattr(world, "server_id", "")) is None:
        world.server_id = await world.boot()
    if await world.volume(getattr(world, "volume_id", "")) is None:
        world.volume_id = await world.new_volume()
    await world.quiet()
    if (await world.state())[0] != ("in-use" if used else "available"):
        await (attach if used else detach)(world)
    await world.quiet()


FREE, USED = ("available", False, False), ("in-use", True, True)
STORIES: dict[str, tuple[Act, Any, Any]] = {
    "attach to a running server": (attach, FREE, USED),
    "detach from a running server": (detach, USED, FREE),
    "delete a server with a volume": (delete_server, USED, FREE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
async def test_a_host_that_dies_after_any_step_is_put_in_order_by_its_next_life(tmp_path: Path, name: str) -> None:
    act, before, done = STORIES[name]
    seen: list[Seen] = []
    world = DyingWorld(tmp_path, **FLAGS)
    await world.begin()

    for number in itertools.count(1):
        assert number < LONG
        await ready(world, used=before == USED)
        assert before == await world.state()
        moment = await world.live_and_die(act, number)
        if not moment:
            break
        there = await world.state()
        await world.come_back()
        now = await world.state()
        assert now in (before, done), (moment, now)
        outcome = "undone" if now == before else "done" if there == done else "retried"
        seen.append(Seen(moment, outcome, len(await world.left())))
    await world.close()

    assert [] == [one for one in seen if one.left]
    agree(RECORD, name, seen)
