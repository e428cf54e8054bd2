"""A network's VXLAN interface: where it leads is what the specification says, and nothing that it heard."""

import errno
import ipaddress

from pyroute2.netlink.exceptions import NetlinkError

from micronova.errors import DriverError
from micronova.network.driver import SegmentSpec
from micronova.network.drivers.served.links import Link, Links, refused, without_ipv6
from micronova.network.drivers.served.neighbours import EVERYBODY, Place, settle_places

PORT = 4789  # RFC 7348 section 5


def ensure(links: Links, name: str, segment: SegmentSpec) -> Link:
    """An interface of that name wraps packets for this segment, from this host's address.

    Raises DriverError when somebody else on this host has the segment.
    """
    link = links.find(name)
    if link is not None and not _is(links, link, segment):
        links.delete(name)
        link = None
    if link is None:
        _make(links, name, segment)
        link = links.need(name)
        without_ipv6(name)
    return link


def settle_peers(links: Links, link: Link, segment: SegmentSpec) -> None:
    """The interface leads to these peers and to no others."""
    places = [Place(EVERYBODY, _text(peer.address)) for peer in segment.peers]
    places += [Place(mac.lower(), _text(peer.address)) for peer in segment.peers for mac in peer.macs]
    one_each = {place.mac: place for place in places if place.mac != EVERYBODY}
    settle_places(links, link, [*one_each.values(), *(place for place in places if place.mac == EVERYBODY)])


def _make(links: Links, name: str, segment: SegmentSpec) -> None:
    local = ipaddress.ip_address(segment.local)
    source = {"vxlan_local" if local.version == 4 else "vxlan_local6": str(local)}
    with refused(f"making tunnel {name}"):
        try:
            links.netlink.link(
                "add", ifname=name, kind="vxlan", vxlan_id=segment.id, vxlan_port=PORT, vxlan_learning=0, **source
            )
        except NetlinkError as err:
            if err.code == errno.EEXIST:
                raise DriverError(f"VXLAN {segment.id} is in use by somebody else on this host") from err
            if err.code == errno.EOPNOTSUPP:
                raise DriverError("this kernel has no VXLAN: load the module vxlan") from err
            raise


def _is(links: Links, link: Link, segment: SegmentSpec) -> bool:
    with refused(f"looking at tunnel {link.name}"):
        [found] = list(links.netlink.link("get", index=link.index))
    data = found.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    if data is None:
        return False
    local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6")
    return data.get_attr("IFLA_VXLAN_ID") == segment.id and str(local) == _text(segment.local)


def _text(address: str) -> str:
    return str(ipaddress.ip_address(address))
