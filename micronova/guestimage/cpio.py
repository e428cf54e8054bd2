"""The archive a Linux kernel unpacks into its first file system: cpio "newc", owned by root whoever builds it.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

import gzip
import pathlib
import stat

_TRAILER = "TRAILER!!!"


class Archive:
    """Files by path, in the order they were added; folders on the way are added by themselves."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        """The archive has the folder."""
        if path and path not in self._known:
            self._above(path)
            self._add(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """The archive has the file."""
        self._above(path)
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """The archive has a symbolic link at `path`, unless something is there already."""
        if path not in self._known:
            self._above(path)
            self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """The archive has a character device."""
        self._above(path)
        self._add(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def write(self, to: pathlib.Path) -> None:
        """The file `to` is the archive, compressed with gzip, the same bytes for the same content."""
        self._add(_TRAILER, 0, b"")
        to.write_bytes(gzip.compress(b"".join(self._parts), compresslevel=6, mtime=0))

    def _above(self, path: str) -> None:
        self.folder(path.rpartition("/")[0])

    def _add(self, path: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._known.add(path)
        name = path.encode() + b"\0"
        inode = 0 if path == _TRAILER else len(self._known)
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._parts += [_padded(head), _padded(content)]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
