"""Whether guests may use the processor's virtualization (KVM) here, or are emulated (TCG); proven, not assumed.

A device that opens proves nothing: there are hosts whose /dev/kvm opens and whose guests hang. So a boot sector of our
own is run under it. It prints a letter after each thing a real guest needs: R in real mode, L in long mode with
paging, C after a million steps at full speed and CPUID, S after writing memory with SSE; then it ends QEMU.
"""

import base64
import pathlib

import msgspec

from micronova import command
from micronova.compute.drivers.qemu.privilege import KVM, SANDBOX, Privilege, may_open
from micronova.errors import ConfigError, DriverError

NAMES = ("auto", "kvm", "tcg")
PROOF = b"RLCS"
_WAIT = 4
"""Seconds. A machine whose KVM works needs about 0.3 s, nearly all of it for the firmware."""
ENDED_ITSELF = (0x10 << 1) | 1
_BOOT_SECTOR = base64.b64decode(
    "+jHAjtiOwI7QvAB8uvgDsFLuvwAQuQAY/DHA86vHBgAQAyDHBgAgAzDHBgAwgwBmuKAGAAAPIuBmuAAQAAAPIthmuYAAAMAPMmYN"
    "AAEAAA8wZrgRAACADyLADwEWuHzqZHwIAGa4EACO2I7QZrr4A7BM7rlAQg8A/8l1/DHAD6JmuvgDsEPuD1fADxEEJQAAAgCwU+5m"
    "uvQAsBDu9Ov9kAAAAAAAAAAAAAAAAACaIAAAAAAAAJIAABcAoHwAAA=="
)
"""Machine code, in AT&T syntax, loaded at 0x7c00; `gdt` holds 64-bit code at 8 and data at 16:

    .code16; cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x7c00,%sp
    mov $0x3f8,%dx; mov $'R',%al; out %al,%dx
    mov $0x1000,%di; mov $0x1800,%cx; cld; xor %ax,%ax; rep stosw             # clear three page tables
    movw $0x2003,0x1000; movw $0x3003,0x2000; movw $0x0083,0x3000             # map the first 2 MiB
    mov $0x6a0,%eax; mov %eax,%cr4; mov $0x1000,%eax; mov %eax,%cr3           # PAE, SSE
    mov $0xc0000080,%ecx; rdmsr; or $0x100,%eax; wrmsr                        # long mode
    mov $0x80000011,%eax; mov %eax,%cr0; lgdt gdtp; ljmp $8,$long
    .code64; long: mov $16,%ax; mov %ax,%ds; mov %ax,%ss
    mov $0x3f8,%dx; mov $'L',%al; out %al,%dx; mov $1000000,%ecx; 1: dec %ecx; jnz 1b
    xor %eax,%eax; cpuid; mov $0x3f8,%dx; mov $'C',%al; out %al,%dx
    xorps %xmm0,%xmm0; movups %xmm0,0x20000; mov $'S',%al; out %al,%dx
    mov $0xf4,%dx; mov $0x10,%al; out %al,%dx; 2: hlt; jmp 2b
"""


class Accel(msgspec.Struct, frozen=True, kw_only=True):
    """How guests run here: `name` is "kvm" or "tcg", `reason` says why in one sentence.

    `needs_root`: only root may use it on this host, so QEMU cannot be an ordinary user.
    """

    name: str
    reason: str
    needs_root: bool = False

    def arguments(self) -> list[str]:
        """QEMU's arguments for it. A translation cache of 32 MiB costs emulated guests no speed and saves RAM."""
        if self.name == "kvm":
            return ["-accel", "kvm", "-cpu", "host"]
        return ["-accel", "tcg,tb-size=32"]


class _Remembered(msgspec.Struct, frozen=True):
    key: str
    accel: Accel


async def choose(wanted: str, binary: str, privilege: Privilege, *, memory: pathlib.Path, key: str) -> Accel:
    """The accelerator to use; the probe's answer is kept in the file `memory` while `key` stays the same.

    Raises ConfigError when `wanted` is none of NAMES.
    """
    if wanted not in NAMES:
        raise ConfigError(f"the accelerator must be one of {', '.join(NAMES)}, not {wanted!r}")
    if wanted != "auto":
        return Accel(name=wanted, reason="the configuration says so")
    if not KVM.exists():
        return Accel(name="tcg", reason="this machine has no /dev/kvm, so processors are emulated")
    known = _recall(memory)
    if known is not None and known.key == key:
        return known.accel
    needs_root = not may_open(KVM, privilege)
    tried = Privilege() if needs_root else privilege
    accel = await _probe(binary, tried, memory.with_suffix(".img"))
    if accel.name == "kvm":
        accel = msgspec.structs.replace(accel, needs_root=needs_root)
    _remember(memory, _Remembered(key=key, accel=accel))
    return accel


async def _probe(binary: str, privilege: Privilege, disk: pathlib.Path) -> Accel:
    try:
        disk.write_bytes(boot_disk())
        disk.chmod(0o444)
        told = await command.run(probe_command(binary, privilege, disk), wait=_WAIT, ok=(ENDED_ITSELF,))
    except OSError as err:
        return Accel(name="tcg", reason=f"KVM could not be tried ({err.strerror}), so processors are emulated")
    except DriverError as err:
        why = "opens, but a guest under it did not run" if "not done" in err.message else "cannot be used"
        return Accel(name="tcg", reason=f"/dev/kvm {why}, so processors are emulated")
    finally:
        disk.unlink(missing_ok=True)
    if PROOF not in told:
        return Accel(name="tcg", reason="a guest under KVM ran wrongly, so processors are emulated")
    return Accel(name="kvm", reason="a guest was seen to run under KVM")


def boot_disk() -> bytes:
    """A disk of 1 MiB with our boot sector; firmware does not boot from much smaller ones."""
    return _BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20)


def probe_command(binary: str, privilege: Privilege, disk: pathlib.Path) -> list[str]:
    """QEMU with our boot sector as its standard input's disk, and what that prints on standard output."""
    return [
        "sh",
        "-c",
        'exec "$@" <"$0"',
        str(disk),
        *privilege.command(),
        binary,
        *("-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "32"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-sandbox", SANDBOX),
        *("-drive", "file=/dev/fd/0,format=raw,if=none,id=d,read-only=on"),
        *("-device", "virtio-blk-pci,drive=d,bootindex=0"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        *("-chardev", "stdio,id=c", "-device", "isa-serial,chardev=c"),
    ]


def _recall(memory: pathlib.Path) -> _Remembered | None:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=_Remembered)
    except (OSError, msgspec.MsgspecError):
        return None


def _remember(memory: pathlib.Path, found: _Remembered) -> None:
    """Kept if the disk allows; otherwise the next start probes again."""
    try:
        memory.write_bytes(msgspec.json.encode(found))
    except OSError:
        return
