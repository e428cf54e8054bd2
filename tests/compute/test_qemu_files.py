"""What the QEMU driver keeps and reads on the host's disk: folders, images, config drives, kernels, rights."""

import errno
import io
import os
import pathlib
import struct

import pycdlib
import pytest

from micronova.compute.driver import GuestSpec
from micronova.compute.drivers.qemu import accel as qemu_accel
from micronova.compute.drivers.qemu import config_drive, kernel_elf
from micronova.compute.drivers.qemu import disk as qemu_disk
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu import privilege as qemu_privilege
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.kernel import KernelCache
from micronova.compute.drivers.qemu.privilege import Privilege
from micronova.errors import ConfigError, DriverError, NoSpace, Rejected


def test_a_config_drive_carries_its_files_under_their_names() -> None:
    files = {"openstack/latest/meta_data.json": b"{}", "openstack/content/0000": b"x" * 5000, "a": b""}

    disk = config_drive.build(files)

    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(disk))
    found = {}
    for name in files:
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
        found[name] = out.getvalue()
    iso.close()
    assert files == found
    assert b"config-2" == disk[32808:32816]


@pytest.mark.parametrize("name", ["../a", "/", ""])
def test_a_config_drive_refuses_paths_that_lead_out_of_it(name: str) -> None:
    with pytest.raises(Rejected):
        config_drive.build({name: b""})


def test_a_description_is_kept_without_the_config_drives_secrets(tmp_path: pathlib.Path) -> None:
    spec = GuestSpec(id="a", name="a", vcpus=1, ram_mib=1, kernel="/k", config_drive={"f": b"secret"})
    folder = GuestFolder(tmp_path, "a")
    folder.path.mkdir()

    qemu_folder.write_spec(folder.path, spec)

    assert "/k" == folder.read_spec().kernel
    assert b"secret" not in (folder.path / "spec.json").read_bytes()
    assert 0o600 == (folder.path / "spec.json").stat().st_mode & 0o777


def test_a_lost_description_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DriverError, match="cannot be read"):
        GuestFolder(tmp_path, "a").read_spec()


def test_a_long_console_is_cut_to_its_end(tmp_path: pathlib.Path) -> None:
    folder = GuestFolder(tmp_path, "a")
    folder.run.mkdir(parents=True)
    folder.console_log.write_bytes(b"old" * 100 + b"new")

    folder.trim_console(above=1000, keep=3)
    before = folder.console_tail(10_000)
    folder.trim_console(above=100, keep=3)

    assert 303 == len(before)
    assert b"new" == folder.console_log.read_bytes()


def test_a_console_that_leads_elsewhere_is_not_followed(tmp_path: pathlib.Path) -> None:
    folder = GuestFolder(tmp_path, "a")
    folder.run.mkdir(parents=True)
    (tmp_path / "shadow").write_text("secret")
    folder.console_log.symlink_to(tmp_path / "shadow")

    with pytest.raises(DriverError):
        folder.console_tail(100)


def test_a_linked_file_outlives_its_source_and_is_replaced_by_another(tmp_path: pathlib.Path) -> None:
    first, second, target = tmp_path / "first", tmp_path / "second", tmp_path / "target"
    first.write_text("1")
    second.write_text("2")

    qemu_folder.link(first, target)
    qemu_folder.link(first, target)
    first.unlink()
    kept = target.read_text()
    qemu_folder.link(second, target)

    assert ("1", "2") == (kept, target.read_text())
    assert ["second", "target"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_full_disk_is_no_space_and_other_refusals_are_not() -> None:
    full = qemu_folder.refusal(OSError(errno.ENOSPC, "No space left on device"), "it failed")
    other = qemu_folder.refusal(OSError(errno.EACCES, "Permission denied"), "it failed")

    assert isinstance(full, NoSpace)
    assert not isinstance(other, NoSpace)


async def test_sizes_are_read_from_the_images_themselves(tmp_path: pathlib.Path) -> None:
    raw, qcow2 = tmp_path / "raw", tmp_path / "qcow2"
    raw.write_bytes(bytes(1000))
    qcow2.write_bytes(struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 5 * 2**30))

    assert 1024 == await qemu_disk.virtual_size(raw, "raw")
    assert 5 * 2**30 == await qemu_disk.virtual_size(qcow2, "qcow2")
    with pytest.raises(Rejected, match="says it is qcow2, but is not"):
        await qemu_disk.virtual_size(raw, "qcow2")
    with pytest.raises(DriverError):
        await qemu_disk.virtual_size(tmp_path / "missing", "raw")


def elf(note: bytes) -> bytes:
    """A 64-bit ELF file whose only segment is this note."""
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    rest = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(note), len(note), 4)
    return head + rest + segment + note


def test_a_kernel_with_the_xen_entry_note_is_entered_directly(tmp_path: pathlib.Path) -> None:
    other = struct.pack("<III", 4, 4, 1) + b"GNU\0" + bytes(4)
    entry = struct.pack("<III", 4, 8, 18) + b"Xen\0" + bytes(8)
    kernel, plain = tmp_path / "kernel", tmp_path / "plain"
    kernel.write_bytes(elf(other + entry))
    plain.write_bytes(elf(other))

    assert kernel_elf.enters_directly(kernel)
    assert not kernel_elf.enters_directly(plain)


async def test_what_is_no_known_kernel_is_left_as_it_is(tmp_path: pathlib.Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"MZ" + bytes(4000))
    cache = KernelCache(tmp_path / "cache")

    direct = await cache.direct(kernel)
    cache.prune()

    assert kernel == direct
    assert [] == list((tmp_path / "cache").iterdir())


def test_qemus_user_must_be_able_to_read_what_it_boots(tmp_path: pathlib.Path) -> None:
    other = Privilege(uid=os.getuid() + 4321, gid=os.getgid() + 4321)
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("")
    link.symlink_to(file)
    file.chmod(0o644)
    tmp_path.chmod(0o700)

    through_folder = qemu_privilege.may_read(file, other)
    through_link = qemu_privilege.may_read(link, other)
    file.chmod(0o600)
    unreadable = qemu_privilege.may_read(file, other)

    assert (True, False, False) == (through_folder, through_link, unreadable)
    assert qemu_privilege.may_read(link, Privilege())


async def test_an_accelerator_nobody_knows_is_a_wrong_configuration(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="must be one of auto, kvm, tcg"):
        await qemu_accel.choose("hax", "qemu", Privilege(), memory=tmp_path / "accel.json", key="")


async def test_kvm_that_is_no_device_or_cannot_run_a_guest_is_not_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "accel.json"

    monkeypatch.setattr(qemu_accel, "KVM", tmp_path / "kvm")
    missing = await qemu_accel.choose("auto", "/nowhere/qemu", Privilege(), memory=memory, key="1")
    (tmp_path / "kvm").write_text("")
    broken = await qemu_accel.choose("auto", "/nowhere/qemu", Privilege(), memory=memory, key="1")
    remembered = await qemu_accel.choose("auto", "/bin/other", Privilege(), memory=memory, key="1")

    assert ("tcg", "tcg") == (missing.name, broken.name)
    assert "no /dev/kvm" in missing.reason
    assert "cannot be used" in broken.reason
    assert broken == remembered
    assert ["accel.json", "kvm"] == sorted(path.name for path in tmp_path.iterdir())
