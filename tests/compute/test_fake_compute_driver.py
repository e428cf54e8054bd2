"""The fake hypervisor keeps the contract of real ones, and does what it is told to go wrong with."""

import asyncio

import msgspec
import pytest

from micronova.clock import SystemClock
from micronova.compute.driver import Disk, GuestSpec, Nic, VolumeDisk
from micronova.compute.drivers.fake import FakeComputeDriver
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.testing.compute_kit import ONE, TWO, ComputeDriverConformance
from micronova.volume.driver import FileConnection


def small(id: str) -> GuestSpec:
    disk = Disk(path="/nowhere/image", format="qcow2", size_gib=1)
    nic = Nic(port_id="p", mac="fa:16:3e:00:00:01", device="tap1")
    return GuestSpec(id=id, name="web", vcpus=1, ram_mib=64, disk=disk, nics=(nic,))


class FakeBench:
    def __init__(self) -> None:
        self.driver = FakeComputeDriver(SystemClock(), disk_gib=10)

    def spec(self, id: str) -> GuestSpec:
        return small(id)

    async def nic(self, number: int) -> Nic:
        return Nic(port_id=f"p{number}", mac=f"fa:16:3e:00:01:{number:02x}", device=f"tap{number}")

    async def cards(self, id: str) -> list[str]:
        return [nic.port_id for nic in self.driver._guests[id].spec.nics]

    async def volume(self, number: int) -> VolumeDisk:
        id = f"{number:08d}-0000-4000-8000-000000000000"
        return VolumeDisk(volume_id=id, connection=FileConnection(path=f"/nowhere/{id}"))

    async def volumes(self, id: str) -> list[str]:
        return [disk.volume_id for disk in self.driver._guests[id].spec.volumes]

    async def crash(self, id: str) -> None:
        self.driver.crash(id)

    async def fill_disk(self) -> None:
        disk = Disk(path="/nowhere/image", format="raw", size_gib=10)
        await self.driver.ensure(msgspec.structs.replace(small("filler"), disk=disk))

    async def free_disk(self) -> None:
        await self.driver.remove("filler")

    async def reopen(self) -> None:
        await self.driver.close()

    def traces(self, id: str) -> list[str]:
        return [id] if id in self.driver._guests else []


class TestFakeDriver(ComputeDriverConformance):
    @pytest.fixture
    def bench(self) -> FakeBench:
        return FakeBench()


@pytest.fixture
def driver() -> FakeComputeDriver:
    return FakeComputeDriver(SystemClock())


async def test_it_refuses_as_often_as_it_was_told_to(driver: FakeComputeDriver) -> None:
    driver.refuse("no space left", times=2, error=NoSpace)

    for _ in range(2):
        with pytest.raises(NoSpace, match="no space left"):
            await driver.ensure(small(ONE))

    assert "running" == (await driver.ensure(small(ONE))).power


async def test_a_refusal_concerns_its_operation_only(driver: FakeComputeDriver) -> None:
    driver.refuse("the switch is stuck", operation="stop")
    await driver.ensure(small(ONE))

    with pytest.raises(DriverError, match="stuck"):
        await driver.stop(ONE, wait=0)

    assert "running" == (await driver.inspect(ONE)).power


async def test_a_slow_host_makes_one_operation_wait(driver: FakeComputeDriver) -> None:
    driver.slow(3600, operation="ensure")

    slow = asyncio.ensure_future(driver.ensure(small(ONE)))
    await asyncio.sleep(0)
    seen = await driver.inspect(ONE)
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)

    assert "absent" == seen.power
    assert [] == await driver.list()


async def test_the_console_ends_with_a_login_prompt_after_each_boot(driver: FakeComputeDriver) -> None:
    await driver.ensure(small(ONE))
    await driver.reboot(ONE, hard=True)

    text = await driver.console(ONE, max_bytes=10_000)

    assert text.endswith(b"web login: ")
    assert 2 == text.count(b"fake: ready")


async def test_a_guest_larger_than_the_host_is_rejected_with_both_sizes() -> None:
    driver = FakeComputeDriver(SystemClock(), ram_mib=32)

    with pytest.raises(Rejected, match="64 MiB does not fit this host's 32 MiB"):
        await driver.ensure(small(ONE))


async def test_a_lost_guest_is_absent_and_others_stay(driver: FakeComputeDriver) -> None:
    await driver.ensure(small(ONE))
    await driver.ensure(small(TWO))

    driver.lose(ONE)

    assert [TWO] == [guest.id for guest in await driver.list()]
