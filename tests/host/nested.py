"""A machine with a Debian kernel in which Python scripts run: for what the kernel below the tests may not have.

The machine gets the files of this one that a Python script loads, at the same places, and kernel modules of the
package; nothing is installed, here or there.
"""

import asyncio
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from micronova.command import run
from micronova.errors import DriverError
from micronova.guestimage import packages
from micronova.guestimage.cpio import Archive

NEEDED = ("qemu-system-x86_64", "apt-get", "dpkg-deb", "ldd")
LIBRARIES = ("libnftables.so.1",)
RUNNER = Path(__file__).with_name("nested_runner.py")
BOOT_SECONDS = 800
_NEEDS = re.compile(rb"\0depends=([^\0]*)\0")
_LOADED = """
import sys, encodings.idna, {names}
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)), sep="\\n")
"""
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
mkdir -p /proc /sys /dev /run/netns /tmp /var/lib/misc
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for name in $(cat /modules); do insmod /modules.d/$name.ko || echo "MISSING $name"; done
ip link set lo up
export PYTHONHOME={home} PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1
{python} {runner} {names} 2>&1
poweroff -f
"""


class Machine:
    """What is put into the machine. `folder` holds what is downloaded and built for it."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in NEEDED if not shutil.which(name)]
        if os.geteuid() != 0 or missing:
            pytest.skip(f"needs root and the commands {', '.join(NEEDED)}")
        self._folder = folder
        self._archive = Archive()
        self._known: set[str] = set()
        self._archive.device("dev/console", 5, 1)
        self._archive.file("etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        self._archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        self._archive.file("etc/resolv.conf", b"")

    def runs(
        self, names: Sequence[str], *, modules: Iterable[str], later: Iterable[str], commands: Iterable[str]
    ) -> dict[str, str]:
        """What `main` of each of these modules of this folder prints in a machine that loaded kernel `modules`.

        Those of `later` are at hand in /modules.d, and in which order to load them stands in /later. What was printed
        by one whose `main` came to its end ends with "ENDED 0".
        """
        self._add_python(names)
        for name in dict.fromkeys(commands):
            self._program(shutil.which(name) or pytest.skip(f"needs the command {name}"))
        for name in LIBRARIES:
            self._program(_library(name))
        busybox = shutil.which("busybox") or pytest.skip("needs the command busybox")
        self._archive.link("bin/busybox", busybox)
        self._program(busybox)
        kernel = asyncio.run(self._add_kernel(modules, later))
        self._archive.file("init", self._init(names).encode(), 0o755)
        self._archive.write(self._folder / "initrd")
        console = self._boot(kernel)
        return {name: console.partition(f"BEGIN {name}")[2].partition("BEGIN ")[0] or console for name in names}

    def _init(self, names: Sequence[str]) -> str:
        path = ":".join(dict.fromkeys([str(RUNNER.parent), *(word for word in sys.path if word)]))
        python = os.path.realpath(sys.executable)
        return _INIT.format(home=sys.base_prefix, path=path, python=python, runner=RUNNER, names=" ".join(names))

    def _add_python(self, names: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": ":".join([str(RUNNER.parent), *sys.path])}
        argv = [sys.executable, "-c", _LOADED.format(names=", ".join(names))]
        told = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True, env=environment).stdout
        standard = Path(sysconfig.get_path("stdlib"))
        files = [Path(line) for line in told.split("\n") if line.startswith("/")]
        files += [path for name in ("encodings", "lib-dynload") for path in (standard / name).glob("*")]
        self._program(os.path.realpath(sys.executable))
        self._file(RUNNER)
        for path in files:
            if ".so" in path.suffixes:
                self._program(str(path))
            elif path.is_file():
                self._module(path)

    def _module(self, path: Path) -> None:
        """The module, compiled: in the machine there is no time for that, and times of files are not kept."""
        if path.suffix != ".py":
            self._file(path)
        elif str(path) not in self._known:
            self._known.add(str(path))
            compiled = self._folder / "compiled"
            py_compile.compile(
                str(path), str(compiled), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )
            self._archive.file(str(path.with_suffix(".pyc")).lstrip("/"), compiled.read_bytes())

    def _program(self, path: str) -> None:
        """The file and the libraries it needs, at the places where the loader looks for them."""
        if path in self._known:
            return
        self._file(Path(path), 0o755)
        told = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=60, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", told):
            self._file(Path(library), 0o755)

    def _file(self, path: Path, mode: int = 0o644) -> None:
        if str(path) not in self._known:
            self._known.add(str(path))
            self._archive.file(str(path).lstrip("/"), path.read_bytes(), mode)

    async def _add_kernel(self, modules: Iterable[str], later: Iterable[str]) -> Path:
        debs, tree = self._folder / "debs", self._folder / "tree"
        debs.mkdir()
        tree.mkdir()
        script = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "./boot/vmlinuz-*" "*/kernel/[cdln]*"'
        try:
            await packages.download(debs)
            for deb in debs.glob("linux-image-*.deb"):
                await run(["sh", "-c", script, "sh", str(deb), str(tree)], wait=300)
        except DriverError as err:
            pytest.skip(str(err))
        files = {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}
        first, second = _in_order(files, modules), _in_order(files, later)
        self._archive.file("modules", " ".join(first).encode())
        self._archive.file("later", " ".join(name for name in second if name not in first).encode())
        for name in dict.fromkeys([*first, *second]):
            self._archive.file(f"modules.d/{name}.ko", files[name].read_bytes())
        return next((tree / "boot").glob("vmlinuz-*"))

    def _boot(self, kernel: Path) -> str:
        console = self._folder / "console"
        argv = [
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "768",
            "-smp",
            "1",
            "-nodefaults",
        ]
        argv += ["-no-user-config", "-display", "none", "-no-reboot", "-nic", "none", "-serial", f"file:{console}"]
        argv += ["-kernel", str(kernel), "-initrd", str(self._folder / "initrd")]
        argv += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0 rdinit=/init"]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as machine:
            try:
                machine.wait(BOOT_SECONDS)
            finally:
                machine.kill()
        return console.read_text(errors="replace")


def _in_order(files: dict[str, Path], names: Iterable[str]) -> list[str]:
    """The modules and all they need, each after what it needs; what the kernel has built in is no file."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in files:
            return
        needs = _NEEDS.search(files[name].read_bytes())
        for other in needs.group(1).decode().split(",") if needs else []:
            visit(other.replace("-", "_"))
        order.append(name)

    for name in names:
        visit(name)
    return order


def _library(name: str) -> str:
    told = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(rf"^\s*{re.escape(name)} .*=> (\S+)$", told, re.MULTILINE)
    return found.group(1) if found else pytest.skip(f"needs the library {name}")
