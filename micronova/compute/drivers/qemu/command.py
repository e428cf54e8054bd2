"""QEMU's command line for a guest; pure. All paths are relative to the guest's folder, in which QEMU runs."""

import hashlib
import re

from micronova.compute.driver import GuestSpec, Nic
from micronova.compute.drivers.qemu.privilege import SANDBOX

SPARE_PORTS = 6
"""PCIe root ports that wait for disks and cards to be plugged in later; q35 needs them from the start."""
DEFAULT_CMDLINE = "root=/dev/vda console=ttyS0"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def arguments(spec: GuestSpec, *, machine: str, taps: tuple[int, ...], config_drive: bool) -> list[str]:
    """What follows the program's name. `taps` are the descriptors of the guest's cards, in their order."""
    return [
        *identity(spec.id),
        *("-machine", machine, "-m", str(spec.ram_mib), "-smp", str(spec.vcpus)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-shutdown", "-sandbox", SANDBOX),
        *_firmware(spec),
        *_boot(spec),
        *_disks(spec, config_drive),
        *(word for index, nic in enumerate(spec.nics) for word in _card(index, nic, taps[index])),
        *(word for index in range(SPARE_PORTS) for word in _spare_port(index)),
        *("-device", "virtio-rng-pci"),
        *("-chardev", "socket,id=serial0,path=run/serial,server=on,wait=off,logfile=run/console.log,logappend=on"),
        *("-serial", "chardev:serial0"),
        *_monitor("mon0"),
        *_monitor("mon1"),
    ]


def identity(id: str) -> list[str]:
    """The words by which the QEMU of guest `id` is known among this host's processes: the first of its arguments."""
    return ["-name", id]


def system_uuid(id: str) -> str:
    """The guest's id as its firmware shows it; ids that are no UUIDs get one that depends on nothing else."""
    if _UUID.fullmatch(id):
        return id
    digest = hashlib.sha256(id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def _firmware(spec: GuestSpec) -> list[str]:
    """What the guest reads about its machine; cloud-init knows an OpenStack server by the product's name."""
    uuid = system_uuid(spec.id)
    serial = _escaped(spec.serial_number or spec.id)
    facts = f"manufacturer=OpenStack Foundation,product=OpenStack Nova,uuid={uuid},serial={serial}"
    return ["-uuid", uuid, "-smbios", f"type=1,{facts},family=Virtual Machine"]


def _boot(spec: GuestSpec) -> list[str]:
    if spec.kernel is None:
        return []
    initrd = ["-initrd", "initrd"] if spec.initrd is not None else []
    return ["-kernel", "kernel", *initrd, "-append", spec.cmdline or DEFAULT_CMDLINE]


def _disks(spec: GuestSpec, config_drive: bool) -> list[str]:
    words: list[str] = []
    if spec.disk is not None:
        words += ["-blockdev", "driver=file,node-name=root-file,filename=root.qcow2,discard=unmap"]
        words += ["-blockdev", "driver=qcow2,node-name=root,file=root-file,discard=unmap"]
        words += ["-device", "virtio-blk-pci,id=disk-root,drive=root,serial=root,bootindex=1"]
    if config_drive:
        words += ["-blockdev", "driver=file,node-name=config-file,filename=config.iso,read-only=on"]
        words += ["-blockdev", "driver=raw,node-name=config,file=config-file,read-only=on"]
        words += ["-device", "virtio-blk-pci,id=disk-config,drive=config,serial=config-2"]
    return words


def _card(index: int, nic: Nic, tap: int) -> list[str]:
    device = f"virtio-net-pci,id=nic{index},netdev=net{index},mac={nic.mac},romfile="
    mtu = f",host_mtu={nic.mtu}" if nic.mtu != 1500 else ""
    return ["-netdev", f"tap,id=net{index},fd={tap}", "-device", device + mtu]


def _spare_port(index: int) -> list[str]:
    return ["-device", f"pcie-root-port,id=spare{index},chassis={index + 1},slot={index + 1}"]


def _monitor(name: str) -> list[str]:
    chardev = f"socket,id={name},path=run/{name},server=on,wait=off"
    return ["-chardev", chardev, "-mon", f"chardev={name},mode=control"]


def _escaped(value: str) -> str:
    """A value in QEMU's option lists, where a comma ends it unless doubled."""
    return value.replace(",", ",,")
