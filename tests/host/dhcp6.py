"""A guest's DHCPv6 client, as far as tests need it: asks for one address and takes what it is offered (RFC 8415)."""

import ipaddress
import socket
import struct
import time

from netlab import Guest

from micronova.network.drivers.served.namespace import in_namespace

SOLICIT, ADVERTISE, REQUEST, REPLY = 1, 2, 3, 7
CLIENT_ID, SERVER_ID, IA_NA, IA_ADDR = 1, 2, 3, 5
SERVERS = "ff02::1:2"


def lease(guest: Guest, *, tries: int = 8) -> str | None:
    """The address that DHCPv6 leases to the guest; None when nobody offers one, however often it asks."""

    def work() -> str | None:
        index = socket.if_nametoindex("eth0")
        for _ in range(tries):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as wire:
                wire.bind(("::", 546, 0, index))
                wire.settimeout(2)
                found = _try(wire, index, guest.mac)
            if found is not None:
                return found
            time.sleep(0.5)
        return None

    return in_namespace(guest.path, work)


def _try(wire: socket.socket, index: int, mac: str) -> str | None:
    offer = _ask(wire, index, SOLICIT, mac, b"")
    if offer is None or _address(offer) is None:
        return None
    server = _option(SERVER_ID, _options(offer[4:])[SERVER_ID])
    reply = _ask(wire, index, REQUEST, mac, server, _options(offer[4:])[IA_NA])
    return None if reply is None else _address(reply)


def _ask(
    wire: socket.socket,
    index: int,
    kind: int,
    mac: str,
    server: bytes,
    association: bytes = struct.pack("!III", 7, 0, 0),
) -> bytes | None:
    client = _option(CLIENT_ID, struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", "")))
    message = bytes([kind, 0, 0, kind]) + client + server + _option(IA_NA, association)
    wire.sendto(message, (SERVERS, 547, 0, index))
    try:
        return wire.recv(2000)
    except TimeoutError:
        return None


def _address(message: bytes) -> str | None:
    association = _options(message[4:]).get(IA_NA, b"")
    found = _options(association[12:]).get(IA_ADDR)
    return str(ipaddress.IPv6Address(found[:16])) if found else None


def _options(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        kind, length = struct.unpack("!HH", data[:4])
        found[kind], data = data[4 : 4 + length], data[4 + length :]
    return found


def _option(kind: int, data: bytes) -> bytes:
    return struct.pack("!HH", kind, len(data)) + data
