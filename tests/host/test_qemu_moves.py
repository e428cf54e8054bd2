"""A real guest that writes all the time: its volume changes its place under it, and it holds still when it is asked to.

Its agent is a few lines of shell that speak the protocol of QEMU's guest agent and freeze a real file system.
"""

import asyncio
import contextlib
import pathlib
import re

import msgspec
import pytest
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown, volume_id

from micronova.compute.driver import VolumeDisk
from micronova.errors import DriverError, Rejected
from micronova.testing.compute_kit import ONE
from micronova.volume.driver import FileConnection

pytestmark = REAL_GUESTS
MIB = 2**20
SIZE = 16 * MIB

WRITE_ON = """#!/bin/sh
for disk in /sys/block/vd*; do
    case "$(cat $disk/serial)" in 0000000*) dev=/dev/$(basename $disk) ;; esac
done
turn=100000
while :; do
    turn=$((turn + 1))
    echo "$turn" | dd of=$dev bs=512 seek=$((turn % 1000)) conv=notrunc,fsync 2>/dev/null &&
        echo "turn $turn. sectors $(cat /sys/block/$(basename $dev)/size)."
done
"""
AGENT = r"""#!/bin/sh
for module in $(cat /etc/modules.agent); do insmod /lib/modules/$module.ko 2>/dev/null; done
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && channel=/dev/$(basename $port)
done
while :; do
    count=$((count + 1))
    echo "$count" >/data/count
    sleep 0.2
done &
while :; do
    echo "count $(cat /data/count)."
    sleep 0.2
done &
state=thawed
exec 3<>$channel
echo "agent listens."
while :; do
    while read -r line <&3; do
        case "$line" in
        *guest-sync-delimited*)
            id=${line##*:}
            printf '\377{"return": %s}\n' "${id%%\}*}" >&3 ;;
        *guest-fsfreeze-freeze*) sync; fsfreeze --freeze /data && state=frozen; echo '{"return": 1}' >&3 ;;
        *guest-fsfreeze-status*) printf '{"return": "%s"}\n' $state >&3 ;;
        *guest-fsfreeze-thaw*) fsfreeze --unfreeze /data; state=thawed; echo '{"return": 1}' >&3 ;;
        esac
    done
    sleep 0.1  # whoever talked hung up: until the next one comes there is nothing to read
done
"""


def place(bench: QemuBench, name: str, number: int = 1, size: int = SIZE) -> tuple[pathlib.Path, VolumeDisk]:
    """A file, and the volume as it is reached there."""
    path = bench.state / "volumes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(size)
    path.chmod(0o666)
    return path, VolumeDisk(volume_id=volume_id(number), connection=FileConnection(path=str(path)))


async def newer(bench: QemuBench, pattern: str, than: int) -> int:
    """A number of the guest's that is greater."""
    for _ in range(900):
        text = (await bench.driver.console(ONE, max_bytes=20_000)).decode(errors="replace")
        found = re.findall(rf"{pattern} (\d+)\.", text)
        if found and int(found[-1]) > than:
            return int(found[-1])
        await asyncio.sleep(0.1)
    raise AssertionError(f"the guest told no {pattern} greater than {than}: {text}")


async def followed(bench: QemuBench, disk: VolumeDisk, of: str = "") -> None:
    for _ in range(900):
        if await bench.driver.follow_volume(ONE, disk, of):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not all of the volume came to its new place")


async def frozen(bench: QemuBench) -> None:
    """The guest is frozen; on a busy machine it may not answer soon enough at once."""
    for _ in range(20):
        with contextlib.suppress(DriverError):
            await bench.driver.freeze(ONE)
            return
    await bench.driver.freeze(ONE)


def last_turn(path: pathlib.Path) -> int:
    return max(int(found) for found in re.findall(rb"1\d{5}", path.read_bytes()))


async def test_nothing_is_lost_of_what_a_guest_writes_while_its_volume_moves(bench: QemuBench) -> None:
    (old, first), (new, second) = place(bench, "old.raw"), place(bench, "new.raw")
    await bench.driver.ensure(msgspec.structs.replace(boot_of(bench, WRITE_ON), volumes=(first,)))
    begun = await newer(bench, "turn", 0)

    await followed(bench, second)
    await newer(bench, "turn", begun + 5)
    await bench.driver.hold_volume(ONE, second)
    await bench.reopen()
    await bench.driver.init_host()
    assert old.read_bytes() == new.read_bytes()
    left = last_turn(old)
    await bench.driver.switch_volume(ONE, second)
    told = await newer(bench, "turn", left + 5)

    assert left == last_turn(old)
    assert last_turn(new) >= told > left
    assert set(range(100001, told + 1)) <= turns_of(new)
    await swapped_for_a_larger_one(bench, new, first.volume_id)


async def swapped_for_a_larger_one(bench: QemuBench, old: pathlib.Path, of: str) -> None:
    """The same guest's disk becomes another volume; the one that it was can be attached and taken away again."""
    path, larger = place(bench, "larger.raw", number=2, size=2 * SIZE)
    await followed(bench, larger, of)
    await bench.driver.unfollow_volume(ONE, larger.volume_id)
    begun = await newer(bench, "turn", last_turn(old))
    await followed(bench, larger, of)
    await newer(bench, "turn", begun + 2)

    await bench.driver.hold_volume(ONE, larger, of)
    await bench.reopen()
    await bench.driver.init_host()
    assert old.read_bytes() == path.read_bytes()[:SIZE]
    left = last_turn(old)
    for _ in range(2):
        await bench.driver.switch_volume(ONE, larger, of)
    told = await newer(bench, "turn", left + 5)
    again = VolumeDisk(volume_id=of, connection=FileConnection(path=str(old)))
    await bench.driver.attach_volume(ONE, again)
    both = (await bench.driver.inspect(ONE)).volumes
    await bench.driver.detach_volume(ONE, of)

    assert left == last_turn(old)
    assert set(range(100001, told + 1)) <= turns_of(path)
    assert 2 * SIZE // 512 == await newer(bench, "sectors", SIZE // 512)
    assert (larger.volume_id, of) == both
    assert (larger.volume_id,) == (await bench.driver.inspect(ONE)).volumes
    assert await newer(bench, "turn", told + 2) <= last_turn(path)


def turns_of(path: pathlib.Path) -> set[int]:
    return {int(found) for found in re.findall(rb"1\d{5}", path.read_bytes())}


async def test_a_guest_with_an_agent_holds_still_and_goes_on_whoever_dies(bench: QemuBench) -> None:
    spec = msgspec.structs.replace(boot_of(bench, AGENT), agent=True)
    await bench.driver.ensure(spec)
    with pytest.raises(Rejected, match="no agent that answers"):
        await bench.driver.freeze(ONE)
    await shown(bench, "agent listens.")
    await newer(bench, "count", 2)

    await frozen(bench)
    still = [await counted(bench) for _ in range(2)]
    thawed = await bench.driver.thaw(ONE)
    later = await newer(bench, "count", still[-1])
    await frozen(bench)
    await bench.reopen()
    await bench.driver.init_host()

    assert still[0] == still[1]
    assert thawed
    assert await newer(bench, "count", later + 2)
    assert not await bench.driver.thaw(ONE)


async def counted(bench: QemuBench) -> int:
    """What the guest's file system holds, told anew."""
    before = (await bench.driver.console(ONE, max_bytes=100_000)).count(b"count ")
    for _ in range(900):
        text = await bench.driver.console(ONE, max_bytes=100_000)
        if text.count(b"count ") > before + 2:
            return int(re.findall(rb"count (\d+)\.", text)[-1])
        await asyncio.sleep(0.1)
    raise AssertionError("the guest told nothing more")
