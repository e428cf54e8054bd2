"""QEMU's command line for a guest; pure. All paths are relative to the guest's folder, in which QEMU runs."""

import hashlib
import re

from micronova.compute.driver import GuestSpec, Nic, slots
from micronova.compute.drivers.qemu import agent
from micronova.compute.drivers.qemu.privilege import SANDBOX

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
        *(word for index in range(slots(spec)) for word in _slot(index)),
        *(word for index, nic in enumerate(spec.nics) for word in _card(index, nic, taps[index])),
        *("-device", "virtio-rng-pci"),
        *("-chardev", "socket,id=serial0,path=run/serial,server=on,wait=off,logfile=run/console.log,logappend=on"),
        *("-serial", "chardev:serial0"),
        *(_agent() if spec.agent else []),
        *_monitor("mon0"),
        *_monitor("mon1"),
        # Its volumes are plugged in by the monitor, before its first instruction.
        *(["-S"] if spec.volumes else []),
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


def card(nic: Nic, slot: str) -> dict[str, object]:
    """A network card in a slot, as QEMU's `device_add` wants it; at the start it is the same words."""
    words: dict[str, object] = {
        "driver": "virtio-net-pci",
        "id": card_name(nic.port_id),
        "netdev": wire_name(nic.port_id),
        "bus": slot,
        "mac": nic.mac,
        "romfile": "",
    }
    return words if nic.mtu == 1500 else {**words, "host_mtu": nic.mtu}


def card_name(port_id: str) -> str:
    """What QEMU calls the card of a port: it stays true whatever else is plugged in and out."""
    return f"nic-{port_id}"


def wire_name(port_id: str) -> str:
    """What QEMU calls the host's side of the card of a port."""
    return f"net-{port_id}"


def slot_name(index: int) -> str:
    """A PCIe root port: on q35 only what sits in one can be plugged in and out while the guest runs."""
    return f"slot{index}"


def _card(index: int, nic: Nic, tap: int) -> list[str]:
    driver, *words = (
        f"{name}={value}" if name != "driver" else str(value) for name, value in card(nic, slot_name(index)).items()
    )
    return ["-netdev", f"tap,id={wire_name(nic.port_id)},fd={tap}", "-device", ",".join((driver, *words))]


def _slot(index: int) -> list[str]:
    return ["-device", f"pcie-root-port,id={slot_name(index)},chassis={index + 1},slot={index + 1}"]


def _agent() -> list[str]:
    """A channel to the guest's agent, where it looks for one."""
    port = f"virtserialport,chardev=agent0,name={agent.CHANNEL}"
    chardev = f"socket,id=agent0,path=run/{agent.SOCKET},server=on,wait=off"
    return ["-device", "virtio-serial-pci", "-chardev", chardev, "-device", port]


def _monitor(name: str) -> list[str]:
    chardev = f"socket,id={name},path=run/{name},server=on,wait=off"
    return ["-chardev", chardev, "-mon", f"chardev={name},mode=control"]


def _escaped(value: str) -> str:
    """A value in QEMU's option lists, where a comma ends it unless doubled."""
    return value.replace(",", ",,")
