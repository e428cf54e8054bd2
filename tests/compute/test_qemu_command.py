"""QEMU's command line: what a description becomes, without any QEMU."""

import itertools

import msgspec

from micronova.compute.driver import Disk, GuestSpec, Nic
from micronova.compute.drivers.qemu import command as qemu_command

ID = "10000000-0000-4000-8000-000000000000"


def words(spec: GuestSpec, *, taps: tuple[int, ...] = (), config_drive: bool = False) -> list[str]:
    return qemu_command.arguments(spec, machine="q35", taps=taps, config_drive=config_drive)


def after(argv: list[str], option: str) -> list[str]:
    """The values of each use of an option."""
    return [value for name, value in itertools.pairwise(argv) if name == option]


def test_a_kernel_boots_with_its_own_command_line() -> None:
    spec = GuestSpec(id=ID, name="a", vcpus=2, ram_mib=128, kernel="/k", initrd="/i", cmdline="console=ttyS0")

    argv = words(spec)

    assert ["kernel"] == after(argv, "-kernel")
    assert ["initrd"] == after(argv, "-initrd")
    assert ["console=ttyS0"] == after(argv, "-append")
    assert (["2"], ["128"]) == (after(argv, "-smp"), after(argv, "-m"))


def test_disks_are_found_by_their_serial() -> None:
    spec = GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, disk=Disk(path="/d", format="raw", size_gib=1))

    devices = after(words(spec, config_drive=True), "-device")

    assert any("drive=root,serial=root" in device for device in devices)
    assert any("drive=config,serial=config-2" in device for device in devices)
    assert [] == after(words(spec), "-kernel")


def test_every_card_gets_the_tap_of_its_place() -> None:
    nics = tuple(Nic(port_id=str(n), mac=f"fa:16:3e:00:00:0{n}", device="t", mtu=1450 + 50 * n) for n in (0, 1))
    spec = GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, kernel="/k", nics=nics)

    argv = words(spec, taps=(7, 9))

    assert ["tap,id=net-0,fd=7", "tap,id=net-1,fd=9"] == after(argv, "-netdev")
    cards = [device for device in after(argv, "-device") if device.startswith("virtio-net")]
    assert cards[0].endswith("mac=fa:16:3e:00:00:00,romfile=,host_mtu=1450")
    assert cards[1].endswith("mac=fa:16:3e:00:00:01,romfile=")


def test_every_card_sits_in_a_slot_and_spare_ones_are_left() -> None:
    nics = tuple(Nic(port_id=str(n), mac=f"fa:16:3e:00:00:0{n}", device="t") for n in (0, 1))
    spec = GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, kernel="/k", nics=nics)

    devices = after(words(spec, taps=(7, 9)), "-device")

    slots = [device for device in devices if device.startswith("pcie-root-port")]
    assert 8 == len(slots)
    assert ["bus=slot0", "bus=slot1"] == [device.split(",")[3] for device in devices if device.startswith("virtio-net")]


def test_the_firmware_says_openstack_and_the_guests_id() -> None:
    spec = GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, kernel="/k", serial_number="a,b")

    (facts,) = after(words(spec), "-smbios")

    assert "product=OpenStack Nova" in facts
    assert f"uuid={ID}" in facts
    assert "serial=a,,b" in facts


def test_an_id_that_is_no_uuid_gets_one_of_its_own() -> None:
    first, again, other = (qemu_command.system_uuid(id) for id in ("web", "web", "db"))

    assert first == again != other
    assert ID == qemu_command.system_uuid(ID)


def test_a_guest_has_room_for_later_and_two_monitors() -> None:
    argv = words(GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, kernel="/k"))

    ports = [device for device in after(argv, "-device") if device.startswith("pcie-root-port")]
    assert 6 == len(ports) == len(set(ports))
    assert ["chardev=mon0,mode=control", "chardev=mon1,mode=control"] == after(argv, "-mon")


def test_a_guest_with_an_agent_has_a_channel_to_it() -> None:
    spec = GuestSpec(id=ID, name="a", vcpus=1, ram_mib=128, kernel="/k")

    argv, alone = words(msgspec.structs.replace(spec, agent=True)), words(spec)

    assert "socket,id=agent0,path=run/agent,server=on,wait=off" in after(argv, "-chardev")
    assert "virtserialport,chardev=agent0,name=org.qemu.guest_agent.0" in after(argv, "-device")
    assert not [word for word in alone if "agent" in word]
