"""Cards plugged into real guests while they run, as the guests see them, and after interruptions."""

import asyncio
import pathlib

import msgspec
import pytest
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown

from micronova import command
from micronova.compute.drivers.qemu import tap as qemu_tap
from micronova.errors import DriverError, Rejected
from micronova.guestimage import tiny
from micronova.testing.compute_kit import ONE

pytestmark = REAL_GUESTS

WATCH_CARDS = """#!/bin/sh
while :; do
    new=$(echo $(ls /sys/class/net))
    [ "$new" = "$old" ] || echo "cards: $new."
    old=$new
    sleep 1
done
"""


async def test_the_guest_sees_a_card_come_and_go(bench: QemuBench) -> None:
    nic = msgspec.structs.replace(await bench.nic(1), mtu=1450)
    await bench.driver.ensure(boot_of(bench, WATCH_CARDS))
    await shown(bench, "cards: lo.")

    await bench.driver.attach_nic(ONE, nic)
    await shown(bench, "cards: eth0 lo.")
    up = await command.run(["ip", "-o", "link", "show", nic.device])
    await bench.driver.detach_nic(ONE, nic.port_id)
    for _ in range(300):
        if 2 == (await shown(bench, "cards: lo.")).count("cards: lo."):
            break
        await asyncio.sleep(0.1)

    assert b"LOWER_UP" in up
    assert 2 == (await shown(bench, "cards: lo.")).count("cards: lo.")


async def test_a_paused_guest_takes_cards_and_says_that_it_gives_none(bench: QemuBench) -> None:
    nic = await bench.nic(1)
    await bench.driver.ensure(bench.spec(ONE))
    await bench.driver.pause(ONE, paused=True)

    await bench.driver.attach_nic(ONE, nic)
    with pytest.raises(Rejected, match="stands still"):
        await bench.driver.detach_nic(ONE, nic.port_id)

    assert ["port-1"] == await bench.cards(ONE)
    await bench.driver.detach_nic(ONE, "port-2")


def test_a_card_is_plugged_in_on_the_event_loop_that_clouds_run_on(
    place: pathlib.Path, image: tiny.TinyImage, apart: None
) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def plug() -> list[str]:
        bench = QemuBench(place / "state", image)
        await bench.driver.init_host()
        try:
            await bench.driver.ensure(bench.spec(ONE))
            await bench.driver.attach_nic(ONE, await bench.nic(1))
            return await bench.cards(ONE)
        finally:
            await bench.erase()

    assert ["port-1"] == uvloop.run(plug())


async def test_a_card_whose_plugging_was_interrupted_is_plugged_by_the_next_try(bench: QemuBench) -> None:
    nic = await bench.nic(1)
    await bench.driver.ensure(bench.spec(ONE))
    monitor = bench.driver._monitor(bench.folder(ONE))
    with qemu_tap.opened((nic,)) as (tap,):
        await monitor.ask("getfd", {"fdname": "net-port-1"}, handle=tap)
        await monitor.ask("netdev_add", {"type": "tap", "id": "net-port-1", "fd": "net-port-1"})

    await bench.driver.attach_nic(ONE, nic)

    assert ["port-1"] == await bench.cards(ONE)


async def test_a_missing_device_is_told_and_the_guest_keeps_what_it_has(bench: QemuBench) -> None:
    nic = await bench.nic(1)
    await bench.driver.ensure(bench.spec(ONE))

    with pytest.raises(DriverError, match="network device no-such-tap cannot be used"):
        await bench.driver.attach_nic(ONE, msgspec.structs.replace(nic, device="no-such-tap"))

    assert [] == await bench.cards(ONE)
    assert () == bench.folder(ONE).read_spec().nics
