"""The conformance kit of ComputeDriver: what every driver's tests run, whatever it makes guests of.

A driver's test module derives a class from ComputeDriverConformance and offers a fixture `bench` that returns a
ComputeBench around its driver:

    class TestMyDriver(ComputeDriverConformance):
        @pytest.fixture
        async def bench(self, tmp_path): ...
"""

import asyncio

import msgspec
import pytest

from micronova.compute.driver import MAX_SLOTS, Disk
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.testing.compute_bench import ONE, THREE, TWO, ComputeBench, console_once_written
from micronova.testing.compute_volumes_kit import VolumeConformance

__all__ = ("ONE", "THREE", "TWO", "ComputeBench", "ComputeDriverConformance")


class ComputeDriverConformance(VolumeConformance):
    """The tests; a driver passes when all of them do."""

    async def test_the_host_tells_what_it_has(self, bench: ComputeBench) -> None:
        facts = await bench.driver.init_host()

        assert facts.vcpus > 0
        assert facts.ram_mib > 0
        assert facts.disk_gib > 0
        assert facts.accel in ("kvm", "tcg", "fake")
        assert facts.reason

    async def test_a_guest_lives_stops_starts_and_goes(self, bench: ComputeBench) -> None:
        driver, spec = bench.driver, bench.spec(ONE)

        seen = [(await driver.ensure(spec)).power]
        await driver.stop(ONE, wait=0)
        seen.append((await driver.inspect(ONE)).power)
        seen.append((await driver.ensure(spec)).power)
        await driver.reboot(ONE, hard=True)
        seen.append((await driver.inspect(ONE)).power)
        await driver.remove(ONE)
        seen.append((await driver.inspect(ONE)).power)

        assert ["running", "shutdown", "running", "running", "absent"] == seen
        assert [] == bench.traces(ONE)

    async def test_repeating_changes_nothing(self, bench: ComputeBench) -> None:
        driver, spec = bench.driver, bench.spec(ONE)

        first = await driver.ensure(spec)
        before = bench.traces(ONE)
        second = await driver.ensure(spec)
        after = bench.traces(ONE)
        await driver.stop(ONE, wait=0)
        await driver.stop(ONE, wait=0)
        await driver.remove(ONE)
        await driver.remove(ONE)

        assert first == second
        assert before == after
        assert [] == await driver.list()

    async def test_a_guest_can_be_made_without_starting_it(self, bench: ComputeBench) -> None:
        facts = await bench.driver.ensure(bench.spec(ONE), running=False)

        assert "shutdown" == facts.power
        assert ["shutdown"] == [guest.power for guest in await bench.driver.list()]

    async def test_a_running_guest_is_left_running(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))

        facts = await bench.driver.ensure(bench.spec(ONE), running=False)

        assert "running" == facts.power

    async def test_what_is_missing_is_absent(self, bench: ComputeBench) -> None:
        driver = bench.driver

        await driver.stop(ONE, wait=0)
        await driver.remove(ONE)

        assert "absent" == (await driver.inspect(ONE)).power
        assert b"" == await driver.console(ONE, max_bytes=100)
        with pytest.raises(DriverError):
            await driver.reboot(ONE, hard=True)

    async def test_a_guest_that_is_off_cannot_be_rebooted(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE), running=False)

        with pytest.raises(DriverError):
            await bench.driver.reboot(ONE, hard=False)

        assert "shutdown" == (await bench.driver.inspect(ONE)).power

    async def test_asked_for_at_once_a_guest_is_made_once(self, bench: ComputeBench) -> None:
        spec = bench.spec(ONE)

        facts = await asyncio.gather(*(bench.driver.ensure(spec) for _ in range(3)))

        assert {"running"} == {guest.power for guest in facts}
        assert [ONE] == [guest.id for guest in await bench.driver.list()]

    async def test_a_guest_that_is_being_made_never_looks_crashed(self, bench: ComputeBench) -> None:
        making = asyncio.ensure_future(bench.driver.ensure(bench.spec(ONE)))
        seen = set()

        while not making.done():
            seen.add((await bench.driver.inspect(ONE)).power)
            await asyncio.sleep(0.005)

        assert "running" == (await making).power
        assert seen <= {"absent", "shutdown", "running"}

    async def test_different_guests_are_made_at_once(self, bench: ComputeBench) -> None:
        ids = (TWO, ONE, THREE)

        await asyncio.gather(*(bench.driver.ensure(bench.spec(id), running=id != TWO) for id in ids))

        found = [(guest.id, guest.power) for guest in await bench.driver.list()]
        assert [(ONE, "running"), (TWO, "shutdown"), (THREE, "running")] == found

    async def test_what_can_never_run_is_rejected(self, bench: ComputeBench) -> None:
        spec = bench.spec(ONE)
        too_large = msgspec.structs.replace(spec, ram_mib=2**40)
        without_boot = msgspec.structs.replace(spec, disk=None, kernel=None)
        named_like_a_path = msgspec.structs.replace(spec, id="../guest")

        for wrong in (too_large, without_boot, named_like_a_path):
            with pytest.raises(Rejected):
                await bench.driver.ensure(wrong)

        assert [] == await bench.driver.list()

    async def test_a_full_disk_is_no_space_and_leaves_nothing(self, bench: ComputeBench) -> None:
        await bench.fill_disk()

        with pytest.raises(NoSpace):
            await bench.driver.ensure(bench.spec(ONE))

        assert [] == bench.traces(ONE)
        await bench.free_disk()
        assert "running" == (await bench.driver.ensure(bench.spec(ONE))).power

    async def test_a_guest_that_dies_has_crashed_and_can_start_again(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))

        await bench.crash(ONE)
        crashed = await bench.driver.inspect(ONE)
        again = await bench.driver.ensure(bench.spec(ONE))

        assert "crashed" == crashed.power
        assert crashed.reason
        assert "running" == again.power

    async def test_a_crashed_guest_that_is_stopped_is_shut_down(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))
        await bench.crash(ONE)

        await bench.driver.stop(ONE, wait=0)

        assert "shutdown" == (await bench.driver.inspect(ONE)).power

    async def test_guests_outlive_the_service(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))
        await bench.driver.ensure(bench.spec(TWO), running=False)
        before = bench.traces(ONE)

        await bench.reopen()
        await bench.driver.init_host()

        found = [(guest.id, guest.power) for guest in await bench.driver.list()]
        assert [(ONE, "running"), (TWO, "shutdown")] == found
        assert before == bench.traces(ONE)
        await bench.driver.reboot(ONE, hard=True)
        await bench.driver.remove(ONE)
        assert [] == bench.traces(ONE)

    @pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
    async def test_given_up_at_any_step_nothing_or_all_is_there(self, bench: ComputeBench, steps: int) -> None:
        task = asyncio.ensure_future(bench.driver.ensure(bench.spec(ONE)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        given_up = (await asyncio.gather(task, return_exceptions=True))[0]

        if isinstance(given_up, asyncio.CancelledError):
            assert [] == bench.traces(ONE)
        assert "running" == (await bench.driver.ensure(bench.spec(ONE))).power
        assert [ONE] == [guest.id for guest in await bench.driver.list()]

    async def test_the_console_shows_its_end(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))

        text = await console_once_written(bench.driver, ONE)
        tail = await bench.driver.console(ONE, max_bytes=5)

        assert text
        assert 5 == len(tail)
        assert b"" == await bench.driver.console(ONE, max_bytes=0)

    async def test_a_card_is_plugged_into_a_running_guest_and_out_again(self, bench: ComputeBench) -> None:
        driver, spec, nic = bench.driver, bench.spec(ONE), await bench.nic(1)
        await driver.ensure(spec)
        before = await bench.cards(ONE)

        for _ in range(2):
            await driver.attach_nic(ONE, nic)
        with_it = await bench.cards(ONE)
        for _ in range(2):
            await driver.detach_nic(ONE, nic.port_id)

        assert [*before, nic.port_id] == with_it
        assert before == await bench.cards(ONE)
        assert "running" == (await driver.inspect(ONE)).power

    async def test_a_plugged_card_stays_after_a_restart(self, bench: ComputeBench) -> None:
        nic = await bench.nic(1)
        await bench.driver.ensure(bench.spec(ONE))

        await bench.driver.attach_nic(ONE, nic)
        await bench.driver.reboot(ONE, hard=True)
        after_reboot = await bench.cards(ONE)
        await bench.reopen()
        await bench.driver.init_host()

        assert nic.port_id in after_reboot
        assert nic.port_id in await bench.cards(ONE)

    async def test_a_guest_that_is_off_takes_and_gives_cards(self, bench: ComputeBench) -> None:
        driver, one, two = bench.driver, await bench.nic(1), await bench.nic(2)
        spec = bench.spec(ONE)
        await driver.ensure(spec, running=False)

        for nic in (one, two):
            await driver.attach_nic(ONE, nic)
        await driver.detach_nic(ONE, one.port_id)
        off = await bench.cards(ONE)
        await driver.ensure(msgspec.structs.replace(spec, nics=(*spec.nics, two)))

        assert two.port_id in off
        assert one.port_id not in off
        assert off == await bench.cards(ONE)

    async def test_a_card_that_was_there_from_the_start_can_be_taken(self, bench: ComputeBench) -> None:
        driver, nic = bench.driver, await bench.nic(1)
        await driver.ensure(msgspec.structs.replace(bench.spec(ONE), nics=(nic,)))
        await console_once_written(driver, ONE)

        await driver.detach_nic(ONE, nic.port_id)

        assert [] == await bench.cards(ONE)

    async def test_a_guest_has_only_so_many_slots(self, bench: ComputeBench) -> None:
        driver = bench.driver
        await driver.ensure(bench.spec(ONE))
        nics = [await bench.nic(number) for number in range(1, 9)]

        ended = await asyncio.gather(*(driver.attach_nic(ONE, nic) for nic in nics), return_exceptions=True)

        refused = {nic.port_id for nic, end in zip(nics, ended, strict=True) if isinstance(end, Rejected)}
        assert 1 <= len(refused) <= 4
        assert {nic.port_id for nic in nics} - refused == {nic.port_id for nic in nics} & set(await bench.cards(ONE))

    async def test_a_guest_with_all_the_cards_it_can_have_starts_and_takes_no_more(self, bench: ComputeBench) -> None:
        driver, nics = bench.driver, tuple([await bench.nic(number) for number in range(1, MAX_SLOTS + 2)])
        spec = msgspec.structs.replace(bench.spec(ONE), nics=nics[:-1])
        with pytest.raises(Rejected):
            await driver.ensure(msgspec.structs.replace(spec, nics=nics))

        await driver.ensure(spec)
        await console_once_written(driver, ONE)
        for _ in range(2):
            with pytest.raises(Rejected):
                await driver.attach_nic(ONE, nics[-1])
            await driver.stop(ONE, wait=0)

        assert MAX_SLOTS == len(await bench.cards(ONE))

    async def test_cards_of_a_guest_that_is_not_there(self, bench: ComputeBench) -> None:
        nic = await bench.nic(1)

        await bench.driver.detach_nic(ONE, nic.port_id)
        with pytest.raises(DriverError):
            await bench.driver.attach_nic(ONE, nic)

        assert [] == bench.traces(ONE)

    async def test_a_guest_without_an_agent_cannot_be_frozen(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))

        for id in (ONE, TWO):
            with pytest.raises(Rejected):
                await bench.driver.freeze(id)
            assert not await bench.driver.thaw(id)

    async def test_a_guest_is_paused_and_goes_on(self, bench: ComputeBench) -> None:
        driver = bench.driver
        await driver.ensure(bench.spec(ONE))
        seen = []

        for paused in (True, True, False, False):
            await driver.pause(ONE, paused=paused)
            seen.append((await driver.inspect(ONE)).power)

        assert ["paused", "paused", "running", "running"] == seen

    async def test_a_paused_guest_is_still_there_for_the_next_service(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE))
        await bench.driver.pause(ONE, paused=True)

        await bench.reopen()
        await bench.driver.init_host()
        found = (await bench.driver.inspect(ONE)).power
        await bench.driver.reboot(ONE, hard=True)

        assert "paused" == found
        assert "running" == (await bench.driver.inspect(ONE)).power

    async def test_only_what_runs_can_be_paused(self, bench: ComputeBench) -> None:
        await bench.driver.ensure(bench.spec(ONE), running=False)

        for id in (ONE, TWO):
            with pytest.raises(DriverError):
                await bench.driver.pause(id, paused=True)

        assert "shutdown" == (await bench.driver.inspect(ONE)).power

    async def test_a_larger_disk_is_given_to_a_guest_that_is_off(self, bench: ComputeBench) -> None:
        spec = bench.spec(ONE)
        disk = spec.disk
        assert disk is not None
        await bench.driver.ensure(spec, running=False)

        larger = Disk(path=disk.path, format=disk.format, size_gib=disk.size_gib + 1)
        facts = await bench.driver.ensure(msgspec.structs.replace(spec, disk=larger))

        assert "running" == facts.power
