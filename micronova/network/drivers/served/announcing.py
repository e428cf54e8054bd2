"""Telling everybody on a wire that an address is here now: gratuitous ARP (RFC 5227 section 3).

Who knew it elsewhere would else ask that place for as long as it remembers. Nobody answers, so nothing is awaited.
"""

import ipaddress
import socket
import struct

from micronova.network.drivers.served.links import Link, refused

ETH_ARP, ETH_IPV4 = 0x0806, 0x0800
REQUEST = 1
EVERYBODY = b"\xff" * 6


def announce(link: Link, address: str) -> None:
    """Hosts on the interface's wire that know the address look for it here. One without a MAC is no such wire."""
    if len(link.mac) != len("00:00:00:00:00:00") or not link.up:
        return
    with (
        refused(f"announcing {address} on {link.name}"),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ARP)) as wire,
    ):
        wire.bind((link.name, ETH_ARP))
        wire.send(gratuitous(link.mac, address))


def gratuitous(mac: str, address: str) -> bytes:
    """The frame that says that `mac` has the address."""
    own, ip = bytes.fromhex(mac.replace(":", "")), ipaddress.IPv4Address(address).packed
    head = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, REQUEST)
    return EVERYBODY + own + struct.pack("!H", ETH_ARP) + head + own + ip + bytes(6) + ip
