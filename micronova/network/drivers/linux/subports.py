"""The interface by which a port is reached that another one carries: a VLAN interface on top of that one's own.

The kernel gives a tagged frame to the VLAN interface before the bridge sees it, and drops those of other tags as frames
that the port's guest may not send. A kernel without VLAN interfaces has nothing in their place: guests' interfaces are
ports of their networks' bridges already.
"""

import errno

from pyroute2.netlink.exceptions import NetlinkError

from micronova.errors import DriverError
from micronova.network.driver import ParentSpec
from micronova.network.drivers.served.links import Link, Links, refused, without_ipv6

UNKNOWN_KIND = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})


def ensure(links: Links, name: str, parent: ParentSpec) -> Link:
    """An interface of that name has the parent's frames of that tag, without it.

    Raises DriverError when the parent isn't there, or the kernel knows no VLAN interfaces.
    """
    below = links.need(parent.device)
    link = links.find(name)
    if link is not None and not _fits(links, link, below, parent.vlan):
        links.delete(name)
        link = None
    if link is None:
        _make(links, name, below, parent.vlan)
        link = links.need(name)
        without_ipv6(name)
    return link


def _make(links: Links, name: str, below: Link, vlan: int) -> None:
    with refused(f"making VLAN interface {name}"):
        try:
            links.netlink.link("add", ifname=name, kind="vlan", link=below.index, vlan_id=vlan)
        except NetlinkError as err:
            if err.code in UNKNOWN_KIND:
                raise DriverError("this kernel knows no VLAN interfaces: trunks need the module 8021q") from err
            if err.code == errno.EEXIST:
                raise DriverError(f"tag {vlan} of {below.name} is in use by somebody else") from err
            raise


def _fits(links: Links, link: Link, below: Link, vlan: int) -> bool:
    with refused(f"looking at interface {link.name}"):
        [found] = list(links.netlink.link("get", index=link.index))
    if found.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "vlan":
        return False
    tag = found.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID")
    return bool(tag == vlan and found.get_attr("IFLA_LINK") == below.index)
