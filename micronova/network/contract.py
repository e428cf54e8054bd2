"""What other rooms say to the network room and hear from it: plain frozen values that travel."""

import msgspec


class NicRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One interface that a server shall have: on a network, or an existing port; `fixed_ip` needs a network."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class NicInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a server. `fixed_ips` are (subnet_id, ip, ip_version); `created`: the cloud made the port.

    `status` is its port's: ACTIVE when it is real on the server's host.
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


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """A port that is real on this host: `device` is the interface that the guest's side is attached to."""

    port_id: str
    mac: str
    device: str
    mtu: int
