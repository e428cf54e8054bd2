"""What a host that runs QEMU has to give, and which programs it must have."""

import os
import pathlib
import re
import shutil

from micronova.compute.driver import HostFacts
from micronova.compute.drivers.qemu.accel import Accel
from micronova.errors import DriverError


def program(name: str, package: str) -> str:
    """The path of a program. Raises DriverError, naming the package that brings it, when it is missing."""
    found = shutil.which(name)
    if found is None:
        raise DriverError(f"{name} is missing on this host: install the package {package}")
    return found


def version(told: bytes) -> int:
    """`QEMU emulator version 7.2.22` as Nova writes versions: 7002022; 0 when it cannot be read."""
    match = re.search(rb"version (\d+)\.(\d+)\.(\d+)", told)
    if match is None:
        return 0
    major, minor, micro = (int(number) for number in match.groups())
    return (major * 1000 + minor) * 1000 + micro


def facts(state: pathlib.Path, version: int, accel: Accel) -> HostFacts:
    """This host, as its kernel tells it; `disk_gib` is the size of the file system that holds `state`."""
    return HostFacts(
        hypervisor_type="QEMU",
        hypervisor_version=version,
        vcpus=os.cpu_count() or 1,
        ram_mib=ram_mib(),
        disk_gib=shutil.disk_usage(state).total // 2**30,
        cpu_model=_cpu_model(),
        accel=accel.name,
        reason=accel.reason,
    )


def ram_mib() -> int:
    """All memory of this host."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


def _cpu_model() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1) if match else ""
