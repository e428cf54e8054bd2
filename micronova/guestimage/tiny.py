"""Builds `tiny`: kernel, initial file system and an empty data disk, in a few seconds, without root or mounts.

The kernel is taken out of its compressed form, because that is what boots fastest (see kernel_elf). The same
recipe is built once; a build that is killed leaves nothing that counts.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable

import msgspec

from micronova import command
from micronova.compute.drivers.qemu import kernel_elf
from micronova.errors import DriverError
from micronova.guestimage import packages
from micronova.guestimage.cpio import Archive

CMDLINE = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off audit=0 apparmor=0 8250.nr_uarts=1"
MIN_RAM_MIB = 96
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net", "virtio_rng", "button", "evdev")
"""What every boot loads, with what these need; all else of this kernel that a guest needs is built in."""
FILESYSTEMS = {"iso9660": ("isofs",), "vfat": ("vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1")}
"""What a config drive needs, loaded when one is seen."""
AGENT = ("virtio_console",)
"""What the channel to a guest agent needs, loaded by whoever brings an agent."""
DISK_MIB = 16
_LOADER = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_ROOT = pathlib.Path(__file__).parent / "root"
_NEEDS = re.compile(rb"\0depends=([^\0]*)\0")

Progress = Callable[[str], None]


class TinyImage(msgspec.Struct, frozen=True, kw_only=True):
    """A built image: its files, and what to tell the hypervisor. `kernel_version` is the kernel's own name."""

    kernel: str
    initrd: str
    disk: str
    cmdline: str
    kernel_version: str
    min_ram_mib: int = MIN_RAM_MIB


async def build(cache: pathlib.Path, progress: Progress | None = None) -> TinyImage:
    """The image, in `cache`; built now, or found there if this recipe was built before.

    `progress` is called with one sentence per phase. Raises DriverError when packages cannot be had, or the disk
    refuses.
    """
    place = cache / f"tiny-{_recipe()}"
    known = _built(place)
    if known is not None:
        return known
    tell = progress or _tell_nobody
    try:
        cache.mkdir(parents=True, exist_ok=True)
        async with _only_builder(cache):
            if _built(place) is None:
                for stale in cache.glob(".tiny-*"):
                    shutil.rmtree(stale, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=".tiny-", dir=cache) as temporary:
                    await _build(pathlib.Path(temporary), place, tell)
    except OSError as err:
        raise DriverError(f"the guest image cannot be built: {err.strerror}") from err
    image = _built(place)
    if image is None:
        raise DriverError("the guest image was built but cannot be read")
    return image


@contextlib.asynccontextmanager
async def _only_builder(cache: pathlib.Path) -> AsyncIterator[None]:
    """No other process builds in `cache` meanwhile; a killed one holds nothing."""
    with (cache / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.1)
        yield


async def _build(work: pathlib.Path, place: pathlib.Path, tell: Progress) -> None:
    debs, tree, made = work / "debs", work / "tree", work / "made"
    for folder in (debs, tree, made):
        folder.mkdir()
    tell("downloading Debian's kernel and busybox")
    await packages.download(debs)
    tell("unpacking them")
    await packages.unpack(debs, tree)
    version = _kernel_version(tree)
    tell(f"taking out the kernel {version}")
    bzimage = tree / "boot" / f"vmlinuz-{version}"
    if not await kernel_elf.extract(bzimage, made / "vmlinux"):
        shutil.copyfile(bzimage, made / "vmlinux")
    tell("packing the first file system")
    await asyncio.to_thread((await _archive(tree, version)).write, made / "initrd")
    await _make_disk(made / "disk.raw")
    for path in made.iterdir():
        path.chmod(0o644)
    (made / "version").write_text(version)
    made.chmod(0o755)
    for older in place.parent.glob("tiny-*"):
        shutil.rmtree(older, ignore_errors=True)
    os.rename(made, place)
    tell("built")


def _built(place: pathlib.Path) -> TinyImage | None:
    try:
        version = (place / "version").read_text()
    except OSError:
        return None
    return TinyImage(
        kernel=str(place / "vmlinux"),
        initrd=str(place / "initrd"),
        disk=str(place / "disk.raw"),
        cmdline=CMDLINE,
        kernel_version=version,
    )


def _recipe() -> str:
    """Changes when what is built would change for another reason than newer packages."""
    digest = hashlib.sha256(repr((MODULES, FILESYSTEMS, AGENT, DISK_MIB)).encode())
    for path in sorted(_ROOT.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


async def _archive(tree: pathlib.Path, version: str) -> Archive:
    archive = Archive()
    for name in ("proc", "sys", "dev", "run", "tmp", "data"):
        archive.folder(name)
    archive.folder("root", 0o700)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    for path in sorted(_ROOT.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            executable = content.startswith(b"#!")
            archive.file(str(path.relative_to(_ROOT)), content, 0o755 if executable else 0o644)
    _add_modules(archive, tree / "lib" / "modules" / version)
    await _add_programs(archive, tree)
    archive.link("init", "/bin/busybox")
    return archive


async def _add_programs(archive: Archive, tree: pathlib.Path) -> None:
    busybox = _find(tree, "busybox")
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    told = await command.run([str(busybox), "--list"])
    for name in told.decode().split():
        archive.link(f"bin/{name}", "/bin/busybox")
    for name in ("getty", "init"):
        archive.link(f"sbin/{name}", "/bin/busybox")
    dropbear, keygen = _find(tree, "dropbear"), _find(tree, "dropbearkey")
    archive.file("usr/sbin/dropbear", dropbear.read_bytes(), 0o755)
    archive.file("usr/bin/dropbearkey", keygen.read_bytes(), 0o755)
    for library in await _libraries(tree, dropbear):
        archive.file(str(library.relative_to(tree)), library.read_bytes(), 0o755)
    archive.link("lib64/ld-linux-x86-64.so.2", f"/{_LOADER}")


async def _libraries(tree: pathlib.Path, program: pathlib.Path) -> list[pathlib.Path]:
    """The shared libraries of `program`, with the loader itself, as the unpacked loader finds them."""
    loader = tree / _LOADER
    folders = f"{tree}/lib/x86_64-linux-gnu:{tree}/usr/lib/x86_64-linux-gnu"
    told = await command.run([str(loader), "--library-path", folders, "--list", str(program)])
    found = re.findall(rf"=> ({re.escape(str(tree))}\S+)", told.decode())
    return [loader, *(pathlib.Path(path) for path in found if not path.endswith(loader.name))]


def _add_modules(archive: Archive, folder: pathlib.Path) -> None:
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    later = {f"modules.{kind}": names for kind, names in FILESYSTEMS.items()}
    wanted = {"modules": MODULES, "modules.agent": AGENT, **later}
    packed: set[str] = set()
    for listing, names in wanted.items():
        order = _load_order(files, names)
        archive.file(f"etc/{listing}", "".join(f"{name}\n" for name in order).encode())
        for name in order:
            if name not in packed:
                archive.file(f"lib/modules/{name}.ko", files[name].read_bytes())
                packed.add(name)


def _load_order(files: dict[str, pathlib.Path], names: tuple[str, ...]) -> list[str]:
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


async def _make_disk(path: pathlib.Path) -> None:
    """An empty data disk, with a file system if this machine can make one."""
    with path.open("wb") as file:
        file.truncate(DISK_MIB * 2**20)
    program = shutil.which("mke2fs", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is not None:
        options = ["-q", "-F", "-t", "ext4", "-L", "data", "-m", "0", "-O", "^has_journal"]
        await command.run([program, *options, str(path)])


def _kernel_version(tree: pathlib.Path) -> str:
    for path in sorted((tree / "boot").glob("vmlinuz-*")):
        return path.name.removeprefix("vmlinuz-")
    raise DriverError("the kernel's package holds no kernel")


def _find(tree: pathlib.Path, name: str) -> pathlib.Path:
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin"):
        path = tree / folder / name
        if path.is_file():
            return path
    raise DriverError(f"Debian's packages hold no {name}")


def _tell_nobody(phase: str) -> None:
    """For callers who do not care."""
