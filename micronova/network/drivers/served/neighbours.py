"""Who is where on other hosts, as the kernel's tables say it: neighbours of a gateway, MACs behind an uplink.

Each function leaves what somebody else put into the table. What comes is added before what goes is taken away.
"""

import errno
import socket
from collections.abc import Iterable
from typing import Any

import msgspec

from micronova.network.drivers.served.links import Link, Links, missing, refused

NTF_SELF, NTF_MASTER, NTF_EXT_LEARNED = 0x02, 0x04, 0x10  # linux/neighbour.h
NUD_REACHABLE, NUD_NOARP, NUD_PERMANENT = 0x02, 0x40, 0x80
EVERYBODY = "00:00:00:00:00:00"


class Place(msgspec.Struct, frozen=True, order=True):
    """A MAC behind a tunnel, and the end of the tunnel that has it."""

    mac: str
    address: str


def settle_neighbours(links: Links, link: Link, wanted: dict[str, str]) -> None:
    """Just these addresses have a fixed MAC on the interface; others are asked for."""
    netlink = links.netlink
    with refused(f"setting neighbours of {link.name}"):
        for family in (socket.AF_INET, socket.AF_INET6):
            have = {
                str(message.get_attr("NDA_DST")): message.get_attr("NDA_LLADDR")
                for message in list(netlink.get_neighbours(family=family, ifindex=link.index))
                if message["state"] & NUD_PERMANENT
            }
            mine = {ip: mac for ip, mac in wanted.items() if (":" in ip) == (family == socket.AF_INET6)}
            for ip, mac in mine.items():
                if have.get(ip) != mac:
                    netlink.neigh("replace", dst=ip, lladdr=mac, ifindex=link.index, state=NUD_PERMANENT)
            for ip in have.keys() - mine.keys():
                with missing(errno.ENOENT):
                    netlink.neigh("del", dst=ip, ifindex=link.index)


def settle_places(links: Links, link: Link, wanted: Iterable[Place]) -> None:
    """The tunnel leads to just these places. One for `EVERYBODY` gets what is for all, or for nobody known."""
    places = set(wanted)
    have = {
        Place(message.get_attr("NDA_LLADDR"), str(message.get_attr("NDA_DST")))
        for message in _entries(links, link)
        if message.get_attr("NDA_DST") is not None and message["flags"] & NTF_SELF
    }
    known = {place.mac for place in places} - {EVERYBODY}
    with refused(f"setting where {link.name} leads"):
        for place in sorted(places - have):
            what = "append" if place.mac == EVERYBODY else "replace"
            _place(links, what, link, place)
        for place in sorted(have - places):
            if place.mac not in known:  # replaced already
                with missing(errno.ENOENT):
                    _place(links, "del", link, place)


def settle_behind(links: Links, link: Link, macs: Iterable[str]) -> None:
    """The bridge looks for these MACs behind this port until it sees them elsewhere, and floods nothing for them."""
    wanted = set(macs)
    have = {
        message.get_attr("NDA_LLADDR")
        for message in _entries(links, link)
        if message["flags"] & NTF_EXT_LEARNED and message.get_attr("NDA_MASTER")
    }
    with refused(f"telling the bridge what is behind {link.name}"):
        for mac in sorted(wanted - have):
            _behind(links, "replace", link, mac)
        for mac in sorted(have - wanted):
            with missing(errno.ENOENT):
                _behind(links, "del", link, mac)


def _entries(links: Links, link: Link) -> list[Any]:
    with refused(f"listing what is behind {link.name}"):
        found = list(links.netlink.fdb("dump", ifindex=link.index))
    return [message for message in found if message["ifindex"] == link.index]


def _place(links: Links, what: str, link: Link, place: Place) -> None:
    fields = {"ifindex": link.index, "lladdr": place.mac, "dst": place.address, "flags": NTF_SELF}
    # The kernel keeps bridge tables under the family AF_BRIDGE, whatever the family of `dst`.
    links.netlink.neigh(what, family=socket.AF_BRIDGE, state=NUD_NOARP | NUD_PERMANENT, **fields)


def _behind(links: Links, what: str, link: Link, mac: str) -> None:
    fields = {"ifindex": link.index, "lladdr": mac, "flags": NTF_MASTER | NTF_EXT_LEARNED}
    links.netlink.neigh(what, family=socket.AF_BRIDGE, state=NUD_REACHABLE, **fields)
