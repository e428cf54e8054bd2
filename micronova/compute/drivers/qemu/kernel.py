"""Kernels in the form that QEMU boots fastest, made once for each kernel file and kept while a guest uses it."""

import asyncio
import hashlib
import os
import pathlib

from micronova.compute.drivers.qemu import kernel_elf


class KernelCache:
    """A folder of unpacked kernels; guests hold hard links to them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._unpacking = asyncio.Lock()

    async def direct(self, kernel: pathlib.Path) -> pathlib.Path:
        """The kernel as an ELF file that QEMU enters directly, or `kernel` itself if it cannot be had so.

        Raises OSError when the file is missing or the host refuses.
        """
        if kernel_elf.is_elf(kernel):
            return kernel
        facts = kernel.stat()
        key = f"{kernel.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        unpacked = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.elf"
        async with self._unpacking:
            if unpacked.exists():
                return unpacked
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            if not await kernel_elf.extract(kernel, unpacked):
                return kernel
        os.chmod(unpacked, 0o644)
        return unpacked

    def prune(self) -> None:
        """Kernels that no guest uses are gone."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.stat().st_nlink == 1:
                path.unlink(missing_ok=True)
