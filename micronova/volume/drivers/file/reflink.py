"""Copies that share their blocks until one of them changes (btrfs, xfs, bcachefs, NFS 4.2 on such).

The kernel makes one at a single moment, even of a file that is being written: all that was written before is in it.
"""

import errno
import fcntl
import os
import pathlib

_FICLONE = 0x40049409
"""linux/fs.h: _IOW(0x94, 9, int)."""
_UNABLE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)


def clone(source: pathlib.Path, target: pathlib.Path) -> bool:
    """Whether the new file `target` has the data of `source`; False, and no file, where that can't be done at once.

    Raises OSError when it can and failed.
    """
    read = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        write = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.ioctl(write, _FICLONE, read)
            os.fsync(write)
        except OSError as err:
            target.unlink(missing_ok=True)
            if err.errno in _UNABLE:
                return False
            raise
        finally:
            os.close(write)
    finally:
        os.close(read)
    return True


def offered(one: pathlib.Path, two: pathlib.Path) -> bool:
    """Whether a new file `one` can be copied to `two` so: it is tried. Raises OSError when nothing can be written."""
    try:
        one.write_bytes(b"\1" * 65536)
        return clone(one, two)
    finally:
        one.unlink(missing_ok=True)
        two.unlink(missing_ok=True)
