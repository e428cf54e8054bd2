"""Interfaces, addresses and routes of one network namespace, by netlink. Each method measures, then acts.

A `Links` works on the namespace of the thread that opened it, and only in that thread. All failures are DriverError.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from micronova.errors import DriverError, NoSpace

TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
IFF_UP = 0x1
IFA_F_NODAD = 0x02
MAIN_TABLE = 254
RULE_PRIORITY = 20_000
NTF_PROXY = 0x08  # linux/neighbour.h
FULL = frozenset({errno.EXFULL, errno.ENOSPC, errno.ENFILE, errno.ENOMEM})  # a bridge has 1023 ports at most
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
Range = ipaddress.IPv4Network | ipaddress.IPv6Network


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An interface as it is. `master` is the bridge's index, 0 for none; `qdisc` the kind of its own queue."""

    index: int
    name: str
    alias: str
    mac: str
    mtu: int
    master: int
    up: bool
    qdisc: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route other than a default route. `via` is None for what is on the link itself."""

    cidr: Range
    link: int
    via: str | None


class Links:
    """An open netlink socket. Use as a context, or call `close`."""

    def __init__(self) -> None:
        # A loop of our own: an application may have chosen a policy whose loops know no netlink sockets.
        self._loop = asyncio.SelectorEventLoop()
        with refused("netlink"):
            self._ip = IPRoute(groups=0, use_event_loop=self._loop)

    @property
    def netlink(self) -> IPRoute:
        """The socket itself, for what only one kind of interface has."""
        return self._ip

    def close(self) -> None:
        """The socket is closed."""
        self._ip.close()
        self._loop.run_until_complete(asyncio.sleep(0))  # the transport ends in the loop's next turn
        self._loop.close()

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, name: str) -> Link | None:
        """The interface of that name; None when there is none."""
        return self._get(ifname=name)

    def at(self, index: int) -> Link | None:
        """The interface with that index; None when there is none."""
        return self._get(index=index)

    def _get(self, **which: str | int) -> Link | None:
        with refused(f"looking for interface {which}"):
            try:
                found = list(self._ip.link("get", **which))
            except NetlinkError as err:
                if err.code == errno.ENODEV:
                    return None
                raise
        return _link(found[0]) if found else None

    def need(self, name: str) -> Link:
        """The interface of that name. Raises DriverError when there is none."""
        link = self.find(name)
        if link is None:
            raise DriverError(f"interface {name} is not there")
        return link

    def all(self) -> list[Link]:
        """Every interface, in order of name."""
        with refused("listing interfaces"):
            return sorted((_link(message) for message in self._ip.get_links()), key=lambda link: link.name)

    def ensure_bridge(self, name: str, *, mac: str) -> Link:
        """A bridge of that name forwards at once and shows its packets to the packet filter."""
        link = self.find(name)
        if link is None:
            with refused(f"making bridge {name}"):
                self._ip.link(
                    "add",
                    ifname=name,
                    kind="bridge",
                    address=mac,
                    br_stp_state=0,
                    br_forward_delay=0,
                    br_mcast_snooping=0,
                    br_nf_call_iptables=1,
                    br_nf_call_ip6tables=1,
                )
            link = self.need(name)
            without_ipv6(name)
        return link

    def ensure_veth(self, name: str, *, peer: str, namespace: Path) -> Link:
        """A veth pair: `name` here, `peer` in the other namespace."""
        link = self.find(name)
        if link is None:
            fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with refused(f"making interface {name}"):
                    pair = {"peer": {"ifname": peer, "net_ns_fd": fd}, "address": _high_mac(name)}
                    self._ip.link("add", ifname=name, kind="veth", **pair)
            finally:
                os.close(fd)
            link = self.need(name)
            without_ipv6(name)
        return link

    def ensure_tap(self, name: str, *, owner: int | None) -> Link:
        """An interface of that name: the one that is there, else a tap that stays and that user `owner` may open."""
        link = self.find(name)
        if link is None:
            with refused(f"making tap {name}"):
                _make_tap(name, owner)
            link = self.need(name)
            without_ipv6(name)
            with refused(f"setting interface {name}"):
                self._ip.link("set", index=link.index, address=_high_mac(name))
        return link

    def settle(
        self,
        link: Link,
        *,
        mtu: int,
        mac: str | None = None,
        master: int | None = None,
        alias: str | None = None,
        up: bool = True,
    ) -> None:
        """The interface has these properties; None leaves one as it is, `master` 0 takes it out of its bridge."""
        wanted: dict[str, Any] = {}
        if link.mtu != mtu:
            wanted["mtu"] = mtu
        if mac is not None and link.mac != mac:
            wanted["address"] = mac
        if master is not None and link.master != master:
            wanted["master"] = master
        if alias is not None and link.alias != alias:
            wanted["ifalias"] = alias
        if link.up != up:
            wanted["state"] = "up" if up else "down"
        if wanted:
            with refused(f"setting interface {link.name}"):
                self._ip.link("set", index=link.index, **wanted)

    def delete(self, name: str) -> None:
        """No interface of that name is left."""
        link = self.find(name)
        if link is None:
            return
        with refused(f"deleting interface {name}"):
            try:
                self._ip.link("del", index=link.index)
            except NetlinkError as err:
                if err.code != errno.ENODEV:
                    raise

    def delete_all(self, names: Iterable[str], *, group: int) -> None:
        """No interface of these names is left.

        In one step by way of the interface group `group`, which nobody else may use: one by one the kernel would
        wait tens of milliseconds for each. Raises DriverError when the group is in use.
        """
        doomed = [link for name in sorted(set(names)) if (link := self.find(name)) is not None]
        if not doomed:
            return
        with refused("deleting interfaces"):
            if any(message.get_attr("IFLA_GROUP") == group for message in self._ip.get_links()):
                raise DriverError(f"interface group {group} is in use")
            for link in doomed:
                self._ip.link("set", index=link.index, group=group)
            self._ip.link("del", group=group)

    def ensure_addresses(self, link: Link, wanted: Iterable[str]) -> None:
        """The interface has exactly these addresses (with prefix length), and its own link-local ones."""
        missing = {str(ipaddress.ip_interface(text)) for text in wanted}
        with refused(f"setting addresses of {link.name}"):
            for message in list(self._ip.get_addr(index=link.index)):
                have = f"{message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
                if have in missing:
                    missing.discard(have)
                elif not ipaddress.ip_interface(have).is_link_local or have.startswith("169.254."):
                    address, length = have.split("/")
                    self._ip.addr("del", index=link.index, address=address, prefixlen=int(length))
            for text in sorted(missing):
                self._add_address(link, text)

    def _add_address(self, link: Link, text: str) -> None:
        address, length = text.split("/")
        # Without duplicate detection an IPv6 address serves at once; the network has one gateway, and it is this.
        flags = {"flags": IFA_F_NODAD} if ":" in address else {}
        self._ip.addr("add", index=link.index, address=address, prefixlen=int(length), **flags)

    def addresses(self) -> list[ipaddress.IPv4Address]:
        """Every IPv4 address of this namespace."""
        with refused("listing addresses"):
            found = [message.get_attr("IFA_LOCAL") for message in self._ip.get_addr(family=socket.AF_INET)]
        return [ipaddress.IPv4Address(text) for text in found if text]

    def routes(self, table: int = MAIN_TABLE, *, version: int = 4) -> list[Route]:
        """The table's routes of one IP version, but default ones."""
        with refused("listing routes"):
            found = list(self._ip.get_routes(family=FAMILIES[version], table=table))
        routes = []
        for message in found:
            cidr = message.get_attr("RTA_DST")
            if cidr:
                network = ipaddress.ip_network((cidr, message["dst_len"]))
                link, via = message.get_attr("RTA_OIF") or 0, message.get_attr("RTA_GATEWAY")
                routes.append(Route(cidr=network, link=link, via=via))
        return routes

    def ensure_route(
        self, link: Link, cidr: str, *, via: str | None = None, source: str | None = None, table: int = MAIN_TABLE
    ) -> None:
        """Packets for `cidr` leave by this interface, in place of any other route for just that range."""
        fields = {name: value for name, value in (("gateway", via), ("prefsrc", source)) if value}
        if via is None and ":" not in cidr:
            fields["scope"] = "link"
        with refused(f"routing {cidr} by {link.name}"):
            self._ip.route("replace", dst=cidr, oif=link.index, table=table, **fields)

    def drop_route(self, link: int, cidr: str, *, table: int = MAIN_TABLE) -> None:
        """No route for `cidr` by the interface with this index is left."""
        with refused(f"dropping the route for {cidr}"), missing(errno.ESRCH):
            self._ip.route("del", dst=cidr, oif=link, table=table)

    def ensure_gateways(self, link: Link, wanted: dict[str, str]) -> None:
        """Of routes by a next hop, the interface has just these: range to next hop."""
        for route in (*self.routes(), *self.routes(version=6)):
            if route.link == link.index and route.via is not None and str(route.cidr) not in wanted:
                self.drop_route(link.index, str(route.cidr))
        for cidr, via in wanted.items():
            self.ensure_route(link, cidr, via=via)

    def ensure_rule(self, name: str, table: int, *, version: int = 4) -> None:
        """What comes by this interface is looked up in this table first."""
        with refused(f"making {name} use a routing table"), missing(errno.EEXIST):
            self._ip.rule("add", iifname=name, table=table, priority=RULE_PRIORITY, family=FAMILIES[version])

    def drop_rules(self, start: str, table: int | None = None, *, versions: Iterable[int] = FAMILIES) -> None:
        """No interface whose name starts so uses a routing table of its own (or this one)."""
        for family in (FAMILIES[version] for version in versions):
            with refused("dropping routing rules"):
                for message in list(self._ip.get_rules(family=family)):
                    name, uses = message.get_attr("FRA_IIFNAME") or "", message.get_attr("FRA_TABLE")
                    if name.startswith(start) and table in (None, uses) and uses != MAIN_TABLE:
                        self._drop_rule(name, uses, family)

    def _drop_rule(self, name: str, table: int, family: int) -> None:
        with missing(errno.ENOENT):
            self._ip.rule("del", iifname=name, table=table, priority=RULE_PRIORITY, family=family)
        self._ip.flush_routes(table=table, family=family)

    def set_answering(self, index: int, address: str, *, on: bool) -> None:
        """Who asks for this address on the interface with this index is told that it is here, or is not (ARP)."""
        with refused(f"answering for {address}"), missing(errno.ENOENT, errno.EEXIST):
            self._ip.neigh("replace" if on else "del", dst=address, ifindex=index, flags=NTF_PROXY)


@contextlib.contextmanager
def missing(*codes: int) -> Iterator[None]:
    """The kernel's answer that it is so already is no failure."""
    try:
        yield
    except NetlinkError as err:
        if err.code not in codes:
            raise


def set_sysctl(name: str, value: int) -> None:
    """The kernel's setting in the calling thread's namespace is `value`. One this kernel doesn't have is left out."""
    path = Path("/proc/sys", name)
    with refused(f"setting {name}"):
        try:
            if path.read_text().strip() != str(value):
                path.write_text(str(value))
        except FileNotFoundError:
            return


def forward_ipv6() -> None:
    """The host forwards IPv6. What it learned of its own way out from routers it goes on learning."""
    if Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text().strip() == "1":
        return
    for path in Path("/proc/sys/net/ipv6/conf").glob("*/accept_ra"):
        if path.read_text().strip() == "1":  # "if I don't forward"; 2 is "even if"
            set_sysctl(f"net/ipv6/conf/{path.parent.name}/accept_ra", 2)
    set_sysctl("net/ipv6/conf/all/forwarding", 1)


def with_ipv6(name: str) -> None:
    """The host speaks IPv6 on this interface, with the addresses it is given and no others."""
    for setting, value in (("accept_ra", 0), ("addr_gen_mode", 1), ("disable_ipv6", 0)):
        set_sysctl(f"net/ipv6/conf/{name}/{setting}", value)


def without_ipv6(name: str) -> None:
    """The host has no IPv6 address of its own on this interface, so guests can't reach the host by it."""
    set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", 1)


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """What the kernel or the operating system refuses inside is told as DriverError, or as NoSpace."""
    try:
        yield
    except NetlinkError as err:
        kind = NoSpace if err.code in FULL else DriverError
        raise kind(f"{what}: {os.strerror(err.code)}", code=err.code) from err
    except OSError as err:
        raise DriverError(f"{what}: {err.strerror or err}", code=err.errno) from err


def _high_mac(name: str) -> str:
    """A MAC for our end of a wire: a bridge takes the lowest of its ports' for its own, and shall keep what it has."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return ":".join(("fe", *(digits[at : at + 2] for at in range(0, 10, 2))))


def _make_tap(name: str, owner: int | None) -> None:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        if owner is not None:
            fcntl.ioctl(fd, TUNSETOWNER, owner)
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def _link(message: Any) -> Link:
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        master=message.get_attr("IFLA_MASTER") or 0,
        up=bool(message["flags"] & IFF_UP),
        qdisc=message.get_attr("IFLA_QDISC") or "",
    )
