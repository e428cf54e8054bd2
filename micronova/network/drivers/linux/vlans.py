"""How a network meets a VLAN of a host interface, and when a host bridge can be a network.

A VLAN interface of the kernel where it has those; else a *trunk*, a bridge of ours that parts VLANs and owns the host
interface, with a pair of wires to each network's bridge. A host interface with addresses of its own can't be owned.
"""

import errno
from pathlib import Path
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from micronova.errors import DriverError
from micronova.network.driver import NetworkSpec
from micronova.network.drivers.served.links import Link, Links, missing, refused, without_ipv6
from micronova.network.drivers.served.names import Names

PVID, UNTAGGED = 0x2, 0x4  # BRIDGE_VLAN_INFO_* in linux/if_bridge.h
UNKNOWN_KIND = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
SHOWN_TO_FILTER = tuple(Path("/proc/sys/net/bridge", f"bridge-nf-call-{name}") for name in ("iptables", "ip6tables"))


def check_lan(links: Links, link: Link) -> None:
    """Raises DriverError when the interface is no bridge, or keeps its packets from the packet filter."""
    data = _details(links, link, "bridge")
    if data is None:
        raise DriverError(f"{link.name} is no bridge, so no flat network can be on it")
    shown = all(path.exists() and path.read_text().strip() == "1" for path in SHOWN_TO_FILTER)
    if not shown and not (data.get_attr("IFLA_BR_NF_CALL_IPTABLES") and data.get_attr("IFLA_BR_NF_CALL_IP6TABLES")):
        raise DriverError(
            f"bridge {link.name} keeps its packets from the packet filter: set net.bridge.bridge-nf-call-iptables and "
            "-ip6tables to 1"
        )


def ensure(links: Links, names: Names, spec: NetworkSpec, interface: str) -> Link:
    """An interface carries the network's VLAN of the host interface.

    Raises DriverError when the host interface is missing, or the kernel knows no VLANs.
    """
    parent, name = links.need(interface), names.uplink(spec.id)
    if parent.mtu < spec.mtu:
        raise DriverError(f"interface {interface} carries packets of {parent.mtu} bytes, the network wants {spec.mtu}")
    if not parent.up:
        links.settle(parent, mtu=parent.mtu)
    link = links.find(name)
    if link is not None and not _fits(links, names, spec, parent, link):
        unmake(links, names, spec.id)
        links.delete(name)
        link = None
    if link is None:
        if links.find(names.trunk(interface)) is not None or not _make_vlan(links, name, spec, parent):
            _make_drop(links, names, spec, _trunk(links, names, parent))
        link = links.need(name)
        without_ipv6(name)
    _settle_drop(links, names, spec)
    return link


def unmake(links: Links, names: Names, network_id: str) -> None:
    """Nothing carries the network's VLAN on a trunk, and a trunk that carries none has given its interface back."""
    drop = links.find(names.drop(network_id))
    if drop is None:
        return
    parent = next((link for link in links.all() if link.master == drop.master and not _is_ours(names, link)), None)
    owner = names.owner(drop.alias)
    if parent is not None and owner is not None:
        with refused(f"letting a VLAN of {parent.name} pass no more"), missing(errno.ENOENT):
            links.netlink.vlan_filter("del", index=parent.index, vlan_info={"vid": int(owner.id.rpartition("-")[2])})
    links.delete(drop.name)
    others = [link for link in links.all() if link.master == drop.master]
    trunk = next((link for link in links.all() if link.index == drop.master), None)
    if trunk is not None and not any(_is_ours(names, link) for link in others):
        links.delete(trunk.name)


def _fits(links: Links, names: Names, spec: NetworkSpec, parent: Link, link: Link) -> bool:
    data = _details(links, link, "vlan")
    if data is not None:
        return data.get_attr("IFLA_VLAN_ID") == spec.segment.id and _parent(links, link) == parent.index
    drop, trunk = links.find(names.drop(spec.id)), links.find(names.trunk(parent.name))
    if drop is None or trunk is None or drop.master != trunk.index or parent.master != trunk.index:
        return False
    return drop.alias == _alias(names, spec)


def _make_vlan(links: Links, name: str, spec: NetworkSpec, parent: Link) -> bool:
    """Whether the kernel made it; False when it knows no VLAN interfaces."""
    with refused(f"making VLAN interface {name}"):
        try:
            links.netlink.link("add", ifname=name, kind="vlan", link=parent.index, vlan_id=spec.segment.id)
        except NetlinkError as err:
            if err.code in UNKNOWN_KIND:
                return False
            if err.code == errno.EEXIST:
                raise DriverError(f"VLAN {spec.segment.id} of {parent.name} is in use by somebody else") from err
            raise
    return True


def _trunk(links: Links, names: Names, parent: Link) -> Link:
    name = names.trunk(parent.name)
    trunk = links.find(name)
    if parent.master and (trunk is None or parent.master != trunk.index):
        raise DriverError(f"interface {parent.name} belongs to a bridge, so it can't carry VLANs without module 8021q")
    if trunk is None:
        with refused(f"listing addresses of {parent.name}"):
            held = [m for m in list(links.netlink.get_addr(index=parent.index)) if m["scope"] == 0]
        if held:
            raise DriverError(f"interface {parent.name} has addresses, so it can't carry VLANs without module 8021q")
        _make_trunk(links, name, parent)
        trunk = links.need(name)
        without_ipv6(name)
    alias = names.alias("trunk", parent.name, parent.name)
    links.settle(trunk, mtu=parent.mtu, alias=alias)
    links.settle(parent, mtu=parent.mtu, master=trunk.index)
    return trunk


def _make_trunk(links: Links, name: str, parent: Link) -> None:
    fields = {"br_vlan_filtering": 1, "br_vlan_default_pvid": 0, "br_stp_state": 0, "br_forward_delay": 0}
    with refused(f"making trunk {name}"):
        try:
            links.netlink.link("add", ifname=name, kind="bridge", address=parent.mac, br_mcast_snooping=0, **fields)
        except NetlinkError as err:
            if err.code in UNKNOWN_KIND:
                raise DriverError(
                    "this kernel can't tell VLANs apart: load the module 8021q, or use another network type"
                ) from err
            raise


def _make_drop(links: Links, names: Names, spec: NetworkSpec, trunk: Link) -> None:
    uplink, drop = names.uplink(spec.id), names.drop(spec.id)
    with refused(f"making interface {uplink}"):
        links.netlink.link("add", ifname=uplink, kind="veth", peer={"ifname": drop})
    without_ipv6(drop)
    links.settle(links.need(drop), mtu=spec.mtu, master=trunk.index, alias=_alias(names, spec), up=False)


def _settle_drop(links: Links, names: Names, spec: NetworkSpec) -> None:
    """The trunk carries the VLAN between the host interface and the network's wire; nothing where there is no trunk."""
    drop = links.find(names.drop(spec.id))
    if drop is None:
        return
    vlan = spec.segment.id
    parent = next(link for link in links.all() if link.master == drop.master and not _is_ours(names, link))
    for index, info in ((parent.index, {"vid": vlan}), (drop.index, {"vid": vlan, "flags": PVID | UNTAGGED})):
        with refused(f"letting VLAN {vlan} pass"), missing(errno.EEXIST):
            links.netlink.vlan_filter("add", index=index, vlan_info=info)
    links.settle(drop, mtu=spec.mtu)


def _is_ours(names: Names, link: Link) -> bool:
    return link.name.startswith(names.interfaces)


def _alias(names: Names, spec: NetworkSpec) -> str:
    return names.alias("drop", f"{spec.id}-{spec.segment.id}", spec.id)


def _details(links: Links, link: Link, kind: str) -> Any:
    """What the kernel tells of interfaces of this kind; None when it is of another."""
    with refused(f"looking at interface {link.name}"):
        [found] = list(links.netlink.link("get", index=link.index))
    if found.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != kind:
        return None
    return found.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")


def _parent(links: Links, link: Link) -> int:
    with refused(f"looking at interface {link.name}"):
        [found] = list(links.netlink.link("get", index=link.index))
    return int(found.get_attr("IFLA_LINK") or 0)
