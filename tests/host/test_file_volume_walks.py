"""Long random lives of file volumes beside a model that only remembers: everything shows what it must."""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from volume_user import MIB, use

from micronova.clock import SystemClock
from micronova.testing.volume_ground import export_spec, snapshot_spec, volume_spec
from micronova.volume.driver import FromSnapshot, FromVolume
from micronova.volume.drivers import process
from micronova.volume.drivers.file.driver import FileVolumeDriver
from micronova.volume.drivers.file.options import FileOptions

NEEDED = ("qemu-img", "qemu-io", "qemu-storage-daemon", "setpriv", "setsid")

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]

BLOCKS, STEPS = 6, 50
Data = list[int]


class Walk:
    """The driver and what it must hold: the pattern of each of the first MiBs, by volume and by snapshot number."""

    def __init__(self, driver: FileVolumeDriver, chance: random.Random) -> None:
        self.driver, self.chance = driver, chance
        self.volumes: dict[int, Data] = {}
        self.snapshots: dict[int, tuple[int, Data]] = {}
        self.used: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.made = 0

    def number(self) -> int:
        self.made += 1
        return self.made

    def some(self) -> int:
        return self.chance.choice(sorted(self.volumes))

    async def create(self) -> None:
        number = self.number()
        await self.driver.ensure(volume_spec(number))
        self.volumes[number], self.sizes[number] = [0] * BLOCKS, 1

    async def write(self) -> None:
        one, block, value = self.some(), self.chance.randrange(BLOCKS), self.chance.randrange(1, 250)
        connection = await self.driver.ensure_export(export_spec(one, one))
        await use(connection, f"write -P {value} {block}M 1M")
        if one not in self.used:
            await self.driver.remove_export(export_spec(one, one).id)
        self.volumes[one] = [value if at == block else old for at, old in enumerate(self.volumes[one])]

    async def toggle(self) -> None:
        one = self.some()
        if one in self.used:
            await self.driver.remove_export(export_spec(one, one).id)
        else:
            await self.driver.ensure_export(export_spec(one, one))
        self.used ^= {one}

    async def snapshot(self) -> None:
        one, number = self.some(), self.number()
        await self.driver.ensure_snapshot(snapshot_spec(number, one))
        self.snapshots[number] = (one, self.volumes[one])

    async def forget_snapshot(self) -> None:
        if self.snapshots:
            number = self.chance.choice(sorted(self.snapshots))
            await self.driver.remove_snapshot(snapshot_spec(number, self.snapshots.pop(number)[0]))

    async def clone(self) -> None:
        one, number = self.some(), self.number()
        size = self.sizes[one] + self.chance.randrange(2)
        await self.driver.ensure(volume_spec(number, size_gib=size, source=FromVolume(volume_spec(one).name)))
        self.volumes[number], self.sizes[number] = self.volumes[one], size

    async def clone_snapshot(self) -> None:
        if self.snapshots:
            snapshot, number = self.chance.choice(sorted(self.snapshots)), self.number()
            one, data = self.snapshots[snapshot]
            source = FromSnapshot(snapshot_spec(snapshot, one).name, volume_spec(one).name)
            await self.driver.ensure(volume_spec(number, size_gib=self.sizes[one], source=source))
            self.volumes[number], self.sizes[number] = data, self.sizes[one]

    async def revert(self) -> None:
        idle = {one: number for number, (one, _) in sorted(self.snapshots.items()) if one not in self.used}
        if idle:
            one = self.chance.choice(sorted(idle))
            facts = await self.driver.revert(snapshot_spec(idle[one], one))
            self.volumes[one], self.sizes[one] = self.snapshots[idle[one]][1], facts.size_gib

    async def extend(self) -> None:
        one = self.some()
        self.sizes[one] += 1
        await self.driver.extend(volume_spec(one).name, self.sizes[one])

    async def remove(self) -> None:
        free = set(self.volumes) - self.used - {one for one, _ in self.snapshots.values()}
        if len(self.volumes) > 2 and free:
            one = self.chance.choice(sorted(free))
            await self.driver.remove(volume_spec(one).name)
            del self.volumes[one], self.sizes[one]

    async def kill(self) -> None:
        if self.used:
            name = volume_spec(self.chance.choice(sorted(self.used))).name
            pid = process.find(f"chardev=volume-{name},mode=control", self.driver._layers.folder)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)

    async def restart(self) -> None:
        await self.driver.close()
        await self.driver.init_host()

    async def check(self, path: Path) -> None:
        """Everything is as the model says, and nothing is there that nobody needs."""
        wanted = {volume_spec(one).name: self.sizes[one] for one in self.volumes}
        assert wanted == {one.name: one.size_gib for one in (await self.driver.list()).volumes}
        sources = [(FromVolume(volume_spec(one).name), data) for one, data in self.volumes.items()]
        sources += [
            (FromSnapshot(snapshot_spec(number, one).name, volume_spec(one).name), data)
            for number, (one, data) in self.snapshots.items()
        ]
        for source, data in sources:
            await self.driver.copy_out(source, str(path), "raw")
            with path.open("rb") as file:
                found = [file.read(MIB) for _ in range(BLOCKS)]
            path.unlink()
            assert [bytes([value]) * MIB for value in data] == found
        needed: set[str] = set()
        for name in self.driver._records.named_layers():
            needed |= set(self.driver._layers.chain(name))
        assert sorted(needed) == self.driver._layers.names()


STEPS_OF_A_LIFE = (
    *(Walk.write,) * 5,
    *(Walk.snapshot, Walk.forget_snapshot, Walk.toggle) * 2,
    *(Walk.clone, Walk.clone_snapshot, Walk.revert, Walk.extend, Walk.remove, Walk.kill, Walk.restart, Walk.create),
)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_volume_shows_what_was_written_to_it(tmp_path: Path, seed: int, format: str) -> None:
    driver = FileVolumeDriver(tmp_path / "pool", SystemClock(), FileOptions(format=format))
    await driver.init_host()
    walk, told = Walk(driver, random.Random(seed)), []
    try:
        await walk.create()
        for turn in range(STEPS):
            step = walk.chance.choice(STEPS_OF_A_LIFE)
            told.append(step.__name__)
            await step(walk)
            if turn % 10 == 9:
                await walk.check(tmp_path / "copy")
    except BaseException:
        print(" ".join(told))
        raise
    finally:
        await driver.erase()
