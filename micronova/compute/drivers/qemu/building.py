"""The files of a guest, made and described anew: its folder is whole or absent."""

import os
import pathlib

from micronova.compute.driver import GuestSpec
from micronova.compute.drivers.qemu import config_drive
from micronova.compute.drivers.qemu import disk as qemu_disk
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu import privilege as qemu_privilege
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.kernel import KernelCache
from micronova.compute.drivers.qemu.privilege import Privilege
from micronova.errors import DriverError


async def build(folder: GuestFolder, spec: GuestSpec, kernels: KernelCache, privilege: Privilege) -> None:
    """The guest's folder is complete and off, or not there. Raises DriverError, NoSpace."""
    folder.erase()
    try:
        folder.staging.mkdir(parents=True, mode=0o711)
        folder.staging.chmod(0o711)
        run = folder.staging / "run"
        run.mkdir(mode=0o700)
        qemu_privilege.give(run, privilege)
        await _fill(folder.staging, spec, kernels, privilege)
        if spec.disk is not None:
            await qemu_disk.create(spec.disk, folder.staging)
            qemu_privilege.give(folder.staging / "root.qcow2", privilege)
        (folder.staging / "stopped").touch()
        os.rename(folder.staging, folder.path)
    except OSError as err:
        folder.erase()
        raise qemu_folder.refusal(err, "the guest's files could not be written") from err
    except BaseException:
        folder.erase()
        raise


async def describe(folder: GuestFolder, spec: GuestSpec, kernels: KernelCache, privilege: Privilege) -> None:
    """An existing guest that is off has the new description; its disk is kept, and grown if it must be.

    Raises DriverError, NoSpace.
    """
    try:
        await _fill(folder.path, spec, kernels, privilege)
        if spec.disk is not None:
            await qemu_disk.grow(spec.disk, folder.path)
    except OSError as err:
        raise qemu_folder.refusal(err, "the guest's files could not be written") from err


async def _fill(path: pathlib.Path, spec: GuestSpec, kernels: KernelCache, privilege: Privilege) -> None:
    """The folder holds what may change between starts: description, kernel, config drive. Raises OSError."""
    for name, given in (("kernel", spec.kernel), ("initrd", spec.initrd)):
        source = pathlib.Path(given) if given is not None else None
        if source is not None and source.exists():
            direct = await kernels.direct(source) if name == "kernel" else source
            qemu_folder.link(direct, path / name)
        elif source is not None and not (path / name).exists():
            raise DriverError(f"the guest's {name} is not on this host")
    if spec.config_drive is not None:
        qemu_folder.write(path / "config.iso", config_drive.build(spec.config_drive))
        qemu_privilege.give(path / "config.iso", privilege)
    qemu_folder.write_spec(path, spec)
