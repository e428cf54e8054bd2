"""What other rooms say to the network room and hear from it: plain frozen values that travel."""

import msgspec


class NicRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One interface that a server shall have: on a network, or an existing port; `fixed_ip` needs a network.

    `auto`: on the one network that the project may use, and if there is none, on one that is made for it.
    """

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None
    auto: bool = False


class NicAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address of an interface, and what its guest needs to use it.

    `mode` is how the guest comes by it: "dhcp", or by IPv6's "slaac", "dhcpv6-stateless", "dhcpv6-stateful"; "static"
    where nobody there tells it. `routes` are (destination, next hop), the one by the gateway first.
    """

    ip: str
    cidr: str
    mode: str
    routes: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()


class NicInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a server. `fixed_ips` are (subnet_id, ip, ip_version); `created`: the cloud made the port.

    `status` is its port's: ACTIVE when it is real on the server's host. `addresses` say more of `fixed_ips`, for the
    guest itself; elsewhere they are left out.
    """

    port_id: str
    network_id: str
    network_label: str
    mac: str
    fixed_ips: tuple[tuple[str, str, int], ...] = ()
    floating_ips: tuple[str, ...] = ()
    created: bool = True
    tag: str | None = None
    mtu: int = 1500
    device_id: str = ""
    status: str = "ACTIVE"
    addresses: tuple[NicAddress, ...] = ()


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """A port that is real on this host: `device` is the interface that the guest's side is attached to."""

    port_id: str
    mac: str
    device: str
    mtu: int
