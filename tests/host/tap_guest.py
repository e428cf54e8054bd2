"""A guest behind a tap, as a hypervisor makes it: frames are carried as they are, unfinished checksums and all."""

import contextlib
import fcntl
import os
import select
import struct
import threading
from collections.abc import Iterator

from netlab import Guest, Lab

from micronova.network.drivers.served.namespace import in_namespace

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
LONGEST = 70_000


@contextlib.contextmanager
def behind_tap(lab: Lab, device: str, mac: str) -> Iterator[Guest]:
    """A guest whose card is at the other end of the tap `device`, which is there. It leaves checksums to the host."""
    path = lab.add_namespace(f"tapped-{device}")
    guest = Guest(path, lab.folder / f"{device}.lease", mac)
    near, far = _open(device), in_namespace(path, lambda: _open("eth0"))
    guest.run("ip", "link", "set", "eth0", "address", mac, "mtu", "1400", "up")
    stop, stopped = os.pipe()
    carrier = threading.Thread(target=_carry, args=(near, far, stop))
    carrier.start()
    try:
        yield guest
    finally:
        os.close(stopped)
        carrier.join()
        for fd in (near, far, stop):
            os.close(fd)


def _open(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    return fd


def _carry(near: int, far: int, stop: int) -> None:
    other = {near: far, far: near}
    while True:
        ready, _, _ = select.select([near, far, stop], [], [])
        if stop in ready:
            return
        for fd in ready:
            with contextlib.suppress(OSError):
                os.write(other[fd], os.read(fd, LONGEST))
