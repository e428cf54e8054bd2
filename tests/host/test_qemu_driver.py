"""Real guests: QEMU keeps the contract of ComputeDriver, through kills of every kind."""

import asyncio
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import msgspec
import pytest
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown

from micronova import command
from micronova.clock import SystemClock
from micronova.compute.driver import Disk, Nic
from micronova.compute.drivers.qemu import accel as qemu_accel
from micronova.compute.drivers.qemu import privilege as qemu_privilege
from micronova.compute.drivers.qemu import process as qemu_process
from micronova.compute.drivers.qemu.driver import QemuDriver
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError
from micronova.guestimage import tiny
from micronova.testing.compute_kit import ONE, TWO, ComputeDriverConformance

pytestmark = REAL_GUESTS


class TestQemuDriver(ComputeDriverConformance):
    pass


async def test_a_guest_boots_obeys_its_power_button_and_keeps_its_disk(bench: QemuBench) -> None:
    driver = bench.driver
    await driver.ensure(boot_of(bench, "#!/bin/sh\necho boots: $(echo . >>/data/boots; wc -l </data/boots)\n"))

    first = await shown(bench, "web1 login:")
    await driver.reboot(ONE, hard=False)
    second = await shown(bench, "boots: 2")
    await driver.stop(ONE, wait=60)

    assert "metadata from config drive" in first
    assert "hostname web1, 1 ssh key(s)" in first
    assert "power button" in second
    assert 2 == (await shown(bench, "power button")).count("power button")
    assert "shutdown" == (await driver.inspect(ONE)).power


async def test_a_guest_that_shuts_itself_down_gives_its_memory_back(bench: QemuBench) -> None:
    await bench.driver.ensure(boot_of(bench, "#!/bin/sh\npoweroff -f\n"))
    await shown(bench, "user data starts")

    for _ in range(300):
        facts = await bench.driver.inspect(ONE)
        if facts.power != "running":
            break
        await asyncio.sleep(0.1)

    assert "shutdown" == facts.power
    assert qemu_process.find(bench.folder(ONE), thorough=True) is None
    assert "shutdown" == (await bench.driver.inspect(ONE)).power


KILLED_AT = """
import asyncio, os, pathlib, signal, sys
import msgspec
from micronova import command
from micronova.clock import SystemClock
from micronova.compute.driver import GuestSpec
from micronova.compute.drivers.qemu.driver import QemuDriver

EVENTS = ("open", "os.", "subprocess.", "socket.", "shutil.", "fcntl.")
left = int(sys.argv[3])
counting = False

def count(event, arguments):
    global left
    if counting and event.startswith(EVENTS):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    global counting
    driver = QemuDriver(pathlib.Path(sys.argv[1]), SystemClock(), accel="tcg")
    await driver.init_host()
    spec = msgspec.json.decode(sys.argv[2], type=GuestSpec)
    sys.addaudithook(count)
    counting = True
    await driver.ensure(spec)
    counting = False
    print(10**9 - left)
    await driver.close()

asyncio.run(main())
"""


def ensure_and_die(bench: QemuBench, at: int) -> str:
    """Another process ensures guest ONE and is killed before its `at`th call of the operating system."""
    spec = msgspec.json.encode(bench.spec(ONE)).decode()
    argv = [sys.executable, "-c", KILLED_AT, str(bench.state), spec, str(at)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout


@pytest.mark.parametrize("share", [0.05, 0.15, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98])
async def test_killed_at_any_step_the_next_start_completes_it(bench: QemuBench, share: float) -> None:
    steps = int(ensure_and_die(bench, 10**9))
    await bench.driver.remove(ONE)
    await bench.reopen()

    ensure_and_die(bench, max(1, int(steps * share)))
    await bench.driver.init_host()
    facts = await bench.driver.ensure(bench.spec(ONE))

    assert "running" == facts.power
    assert [ONE] == [guest.id for guest in await bench.driver.list()]
    await bench.driver.remove(ONE)
    assert [] == bench.traces(ONE)


async def test_the_probe_of_kvm_succeeds_where_guests_run(place: pathlib.Path) -> None:
    disk = place / "probe.img"
    disk.write_bytes(qemu_accel.boot_disk())
    argv = qemu_accel.probe_command(shutil.which("qemu-system-x86_64") or "", qemu_privilege.choose(), disk)
    emulated = [{"kvm": "tcg", "host": "max"}.get(word, word) for word in argv]

    told = await command.run(emulated, wait=60, ok=(qemu_accel.ENDED_ITSELF,))

    assert qemu_accel.PROOF in told


async def test_kvm_is_used_if_and_only_if_a_guest_ran_under_it(place: pathlib.Path) -> None:
    state = place / "probing"
    driver = QemuDriver(state, SystemClock())

    facts = await driver.init_host()
    again = await QemuDriver(state, SystemClock()).init_host()

    assert facts == again
    assert ("kvm" == facts.accel) == ("a guest was seen to run under KVM" == facts.reason)


async def test_qemu_is_an_ordinary_user_in_a_sandbox_with_a_session_of_its_own(bench: QemuBench) -> None:
    await bench.driver.ensure(bench.spec(ONE))
    pid = qemu_process.find(bench.folder(ONE))

    status = pathlib.Path(f"/proc/{pid}/status").read_text()

    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in facts["Uid"].split()
    assert 0 == int(facts["CapEff"], 16)
    assert "2" == facts["Seccomp"]
    assert pid == os.getsid(pid or 0)


async def test_the_second_monitor_is_free_for_others(bench: QemuBench) -> None:
    await bench.driver.ensure(bench.spec(ONE))
    os.rename(bench.folder(ONE).run / "mon1", bench.folder(ONE).run / "mon0")
    theirs = Monitor(bench.folder(ONE).run)

    answer = await theirs.ask("query-status")
    await theirs.close()

    assert isinstance(answer, dict)
    assert "running" == answer["status"]
    assert "running" == (await bench.driver.inspect(ONE)).power


async def test_a_monitor_that_does_not_answer_is_told_and_a_hard_reboot_helps(bench: QemuBench) -> None:
    await bench.driver.ensure(bench.spec(ONE))
    await bench.reopen()
    (bench.folder(ONE).run / "mon0").unlink()

    facts = await bench.driver.inspect(ONE)
    await bench.driver.reboot(ONE, hard=True)

    assert ("running", True) == (facts.power, bool(facts.reason))
    assert ("running", "") == ((await bench.driver.inspect(ONE)).power, (await bench.driver.inspect(ONE)).reason)


async def test_another_process_with_the_guests_old_number_is_not_mistaken_for_it(bench: QemuBench) -> None:
    await bench.driver.ensure(bench.spec(ONE))
    await bench.crash(ONE)

    bench.folder(ONE).pid_file.write_text(str(os.getpid()))

    assert "crashed" == (await bench.driver.inspect(ONE)).power
    await bench.driver.remove(ONE)
    assert [] == bench.traces(ONE)


async def test_a_missing_network_device_is_told_and_leaves_nothing(bench: QemuBench) -> None:
    nic = Nic(port_id="p", mac="fa:16:3e:00:00:01", device="no-such-tap")

    with pytest.raises(DriverError, match="network device no-such-tap cannot be used"):
        await bench.driver.ensure(msgspec.structs.replace(bench.spec(ONE), nics=(nic,)))

    assert [] == bench.traces(ONE)


WITH_A_TAP = """
import asyncio, pathlib, subprocess, sys
import msgspec
from micronova import command
from micronova.clock import SystemClock
from micronova.compute.driver import GuestSpec
from micronova.compute.drivers.qemu.driver import QemuDriver

async def main():
    for command in ("ip tuntap add mn0 mode tap", "ip link set mn0 up"):
        subprocess.run(command.split(), check=True)
    driver = QemuDriver(pathlib.Path(sys.argv[1]), SystemClock(), accel="tcg")
    await driver.init_host()
    spec = msgspec.json.decode(sys.argv[2], type=GuestSpec)
    try:
        print((await driver.ensure(spec)).power)
        print(subprocess.run("ip link show mn0".split(), check=True, capture_output=True, text=True).stdout)
    finally:
        await driver.remove(spec.id)
        await driver.close()

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip")
async def test_a_guests_card_is_on_the_tap_made_for_it(bench: QemuBench) -> None:
    nic = Nic(port_id="p", mac="fa:16:3e:00:00:01", device="mn0", mtu=1450)
    spec = msgspec.json.encode(msgspec.structs.replace(bench.spec(ONE), nics=(nic,))).decode()

    argv = ["unshare", "--net", sys.executable, "-c", WITH_A_TAP, str(bench.state), spec]
    told = (await command.run(argv, wait=60)).decode()

    assert told.startswith("running")
    assert "LOWER_UP" in told


async def test_a_disk_smaller_than_its_image_is_rejected(bench: QemuBench, place: pathlib.Path) -> None:
    large = place / "large.raw"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)
    disk = Disk(path=str(large), format="raw", size_gib=1)

    with pytest.raises(DriverError, match="the image needs a disk of 2 GiB, not 1 GiB"):
        await bench.driver.ensure(msgspec.structs.replace(bench.spec(ONE), disk=disk))

    assert [] == bench.traces(ONE)


async def test_a_guest_needs_no_image_any_more_once_it_is_made(bench: QemuBench, place: pathlib.Path) -> None:
    spec = bench.spec(ONE)
    copies = {name: place / f"copy-{name}" for name in ("kernel", "initrd", "disk")}
    for name, source in (("kernel", spec.kernel), ("initrd", spec.initrd), ("disk", spec.disk and spec.disk.path)):
        assert source is not None
        shutil.copyfile(source, copies[name])
    spec = msgspec.structs.replace(
        spec,
        kernel=str(copies["kernel"]),
        initrd=str(copies["initrd"]),
        disk=Disk(path=str(copies["disk"]), format="raw", size_gib=1),
    )
    await bench.driver.ensure(spec)

    await bench.driver.stop(ONE, wait=0)
    for path in copies.values():
        path.unlink()
    facts = await bench.driver.ensure(spec)

    assert "running" == facts.power
    assert await shown(bench, "tiny: kernel")


async def test_a_missing_qemu_is_told_with_the_package_that_brings_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DriverError, match="install the package qemu-system-x86"):
        await QemuDriver(tmp_path, SystemClock()).init_host()


async def test_what_qemu_refuses_is_told_in_its_words(place: pathlib.Path, image: tiny.TinyImage) -> None:
    bench = QemuBench(place / "state", image)
    bench.driver = QemuDriver(bench.state, SystemClock(), accel="tcg", machine="no-such-machine")
    await bench.driver.init_host()

    with pytest.raises(DriverError, match=r"QEMU did not start: .*machine"):
        await bench.driver.ensure(bench.spec(TWO))

    assert [] == bench.traces(TWO)
    await bench.erase()


async def test_below_a_folder_that_only_root_may_enter_qemu_still_is_an_ordinary_user(
    place: pathlib.Path, image: tiny.TinyImage
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    bench = QemuBench(closed / "state", image)
    await bench.driver.init_host()

    try:
        facts = await bench.driver.ensure(bench.spec(ONE))
        pid = qemu_process.find(bench.folder(ONE))
        await bench.reopen()

        assert "running" == facts.power == (await bench.driver.inspect(ONE)).power
        assert pid is not None
        assert 0 != pathlib.Path(f"/proc/{pid}").stat().st_uid
    finally:
        await bench.erase()
