"""Ethernet frames as bytes, honest and forged, for tests that send what a guest's kernel would not."""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(source: str, target: str, kind: int, payload: bytes) -> bytes:
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def arp(source: str, claimed_mac: str, claimed_ip: str, asked_ip: str) -> bytes:
    """An ARP request sent by `source` that says who it is."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    sender = mac(claimed_mac) + ipaddress.IPv4Address(claimed_ip).packed
    target = bytes(6) + ipaddress.IPv4Address(asked_ip).packed
    return ethernet(source, BROADCAST, 0x0806, head + sender + target)


def udp4(eth: tuple[str, str], ips: tuple[str, str], ports: tuple[int, int], data: bytes) -> bytes:
    """A UDP packet over IPv4; each pair is (source, target)."""
    body = struct.pack("!HHHH", ports[0], ports[1], 8 + len(data), 0) + data
    packed = b"".join(ipaddress.IPv4Address(ip).packed for ip in ips)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + packed
    head = head[:10] + struct.pack("!H", _sum(head)) + head[12:]
    return ethernet(eth[0], eth[1], 0x0800, head + body)


def icmp6(eth: tuple[str, str], ips: tuple[str, str], kind: int, rest: bytes) -> bytes:
    """An ICMPv6 message of type `kind`; `rest` follows its checksum."""
    packed = b"".join(ipaddress.IPv6Address(ip).packed for ip in ips)
    body = struct.pack("!BBH", kind, 0, 0) + rest
    check = _sum(packed + struct.pack("!II", len(body), 58) + body)
    body = body[:2] + struct.pack("!H", check) + body[4:]
    head = struct.pack("!IHBB", 0x60000000, len(body), 58, 255) + packed
    return ethernet(eth[0], eth[1], 0x86DD, head + body)


def dhcp_reply(client: str, marker: bytes) -> bytes:
    """The payload of an offer, with `marker` in its server name."""
    head = struct.pack("!BBBBIHH", 2, 1, 6, 0, 1, 0, 0) + bytes(16) + mac(client).ljust(16, b"\0")
    return head + marker.ljust(64, b"\0") + bytes(128) + b"\x63\x82\x53\x63\x35\x01\x02\xff"


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
