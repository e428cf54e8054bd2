"""What the image is made of: files of Debian packages, downloaded and unpacked but never installed."""

import asyncio
import os
import pathlib

from micronova import command
from micronova.errors import DriverError

KERNEL = "linux-image-cloud-amd64"
PROGRAMS = ("busybox-static", "dropbear-bin")
_KERNEL_FILES = "linux-image-"
_WAIT = 300
_ENV = {"LC_ALL": "C"}


async def download(folder: pathlib.Path) -> None:
    """`folder` holds the package files of the kernel and the programs with their libraries.

    Raises DriverError when they cannot be had, in one sentence.
    """
    try:
        await _download(folder)
    except DriverError as first:
        if os.geteuid() != 0:
            raise _unavailable(first) from first
        try:
            # Lists that are missing or older than the archive are the usual reason.
            await command.run(["apt-get", "-q", "update"], wait=_WAIT, env=_ENV)
            await _download(folder)
        except DriverError as err:
            raise _unavailable(err) from err


async def unpack(folder: pathlib.Path, to: pathlib.Path) -> None:
    """`to` holds the files of all packages in `folder`; of the kernel's those that can matter. Raises DriverError."""
    kernel = sorted(folder.glob(f"{_KERNEL_FILES}*.deb"))
    others = sorted(set(folder.glob("*.deb")) - set(kernel))
    done = await asyncio.gather(_unpack_kernel(kernel, to), _unpack(others, to), return_exceptions=True)
    for result in done:
        if result is not None:
            raise result


async def _unpack(files: list[pathlib.Path], to: pathlib.Path) -> None:
    for file in files:
        await command.run(["dpkg-deb", "-x", str(file), str(to)], wait=_WAIT)


async def _unpack_kernel(files: list[pathlib.Path], to: pathlib.Path) -> None:
    script = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "./boot/vmlinuz-*" "*/kernel/[dfn]*"'
    for file in files:
        await command.run(["sh", "-c", script, "sh", str(file), str(to)], wait=_WAIT)


async def _download(folder: pathlib.Path) -> None:
    # One question for everything: each start of apt costs a second where its cache is not kept.
    argv = ["apt-cache", "depends", "--recurse", "--important", KERNEL, *PROGRAMS]
    needs = _parse(await command.run(argv, wait=_WAIT, env=_ENV))
    kernels = sorted(name for name in needs.get(KERNEL, ()) if name.startswith(_KERNEL_FILES))
    if not kernels:
        raise DriverError(f"the package archive knows no {KERNEL}")
    names = [kernels[-1], *_closure(needs, PROGRAMS)]
    script = 'cd "$1" && shift && exec apt-get -q -o APT::Sandbox::User=root download "$@"'
    await command.run(["sh", "-c", script, "sh", str(folder), *names], wait=_WAIT, env=_ENV)


def _parse(told: bytes) -> dict[str, set[str]]:
    """What each package needs, from apt-cache's lines: names at the margin, below each "Depends: name"."""
    needs: dict[str, set[str]] = {}
    current: set[str] = set()
    for line in told.decode().splitlines():
        if line[:1].isalnum():
            current = needs.setdefault(line.strip(), set())
        elif "epends: " in line and "<" not in line:
            current.add(line.partition("epends: ")[2].strip())
    return needs


def _closure(needs: dict[str, set[str]], names: tuple[str, ...]) -> list[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(needs.get(name, ()))
    return sorted(found)


def _unavailable(err: DriverError) -> DriverError:
    reason = err.message.strip().splitlines()[-1].removeprefix("E: ")[-200:]
    return DriverError(f"the guest image cannot be built, because Debian's packages cannot be had: {reason}")
