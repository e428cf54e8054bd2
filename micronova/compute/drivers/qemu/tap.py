"""The taps of a guest's network cards, opened by us (the network driver made them) and handed to QEMU."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from micronova.compute.driver import Nic
from micronova.errors import DriverError

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
"""linux/if_tun.h; without packet information, with offload headers, as QEMU opens taps itself."""


@contextlib.contextmanager
def opened(nics: tuple[Nic, ...]) -> Iterator[tuple[int, ...]]:
    """Descriptors of the cards' taps, in their order, closed again at the end.

    Raises DriverError when a device is missing, is no tap, or serves another guest.
    """
    with contextlib.ExitStack() as stack:
        handles = []
        for nic in nics:
            handle = _open(nic)
            stack.callback(os.close, handle)
            handles.append(handle)
        yield tuple(handles)


def _open(nic: Nic) -> int:
    try:
        socket.if_nametoindex(nic.device)  # attaching to a missing tap would make one
        handle = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        raise DriverError(f"network device {nic.device} cannot be used: {err.strerror}") from err
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", nic.device.encode(), flags))
        os.set_blocking(handle, False)
    except OSError as err:
        os.close(handle)
        raise DriverError(f"network device {nic.device} cannot be used: {err.strerror}") from err
    return handle
