"""Rows of networks, subnets and ports, and the addresses that are given."""

from typing import Annotated, Any, ClassVar

import msgspec

from micronova.db import INDEX, KEY, Row
from micronova.network.db.standard import Standard


class Network(Standard, frozen=True, kw_only=True):
    """A layer-2 segment. `public`: every project sees it, because it is shared or external. `shared_with` are the
    projects that may use it besides, each by a policy of its own.

    `subnet_ids` are here too, so that adding a subnet changes its network: two that overlap can't both win.
    """

    TABLE: ClassVar[str] = "networks"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (*Standard.INDEXES, ("public",))

    status: str = "ACTIVE"
    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    public: bool = False
    shared_with: tuple[str, ...] = ()
    is_default: bool = False
    mtu: int = 1500
    network_type: str = ""
    physical_network: str | None = None
    segmentation_id: int | None = None
    port_security_enabled: bool = True
    dns_domain: str = ""
    availability_zone_hints: tuple[str, ...] = ()
    qos_policy_id: Annotated[str | None, INDEX] = None
    subnet_ids: tuple[str, ...] = ()


class Subnet(Standard, frozen=True, kw_only=True):
    """An address range of a network. `pools` are (first, last) of what is given out without being asked for."""

    TABLE: ClassVar[str] = "subnets"

    network_id: Annotated[str, INDEX]
    ip_version: int
    cidr: Annotated[str, INDEX]
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    pools: tuple[tuple[str, str], ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[tuple[str, str], ...] = ()
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    service_types: tuple[str, ...] = ()
    subnetpool_id: Annotated[str | None, INDEX] = None


class FixedIp(msgspec.Struct, frozen=True, array_like=True):
    """One address of a port."""

    subnet_id: str
    ip: str


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """A further address a port may send from; `mac` None means the port's own."""

    ip: str
    mac: str | None = None


class DhcpOption(msgspec.Struct, frozen=True, array_like=True):
    """One DHCP option beyond what the subnet says; `value` is as DHCP servers' files write it, "" for none."""

    name: str
    value: str
    ip_version: int = 4


class Port(Standard, frozen=True, kw_only=True):
    """A place on a network for one interface. `host` is where it is bound, "" for nowhere yet.

    `owned`: made by the cloud for a server, and gone with it. `guest_of` is the project whose network it is on, where
    that is another one than its own.
    """

    TABLE: ClassVar[str] = "ports"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("network_id", "mac"),)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (
        *Standard.INDEXES,
        ("project_id", "device_id", "id"),
        ("project_id", "id"),
    )

    network_id: str
    guest_of: Annotated[str, INDEX] = ""
    mac: Annotated[str, INDEX]
    status: str = "DOWN"
    admin_state_up: bool = True
    device_id: Annotated[str, INDEX] = ""
    device_owner: str = ""
    fixed_ips: tuple[FixedIp, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    port_security_enabled: bool = True
    allowed_pairs: tuple[Pair, ...] = ()
    host: Annotated[str, INDEX] = ""
    vnic_type: str = "normal"
    profile: dict[str, Any] = {}
    dns_name: str = ""
    dhcp_options: tuple[DhcpOption, ...] = ()
    qos_policy_id: Annotated[str | None, INDEX] = None
    owned: bool = False
    tag: str | None = None
    position: int = 0


class Address(Row, frozen=True, kw_only=True):
    """An address that is given. `number` is it in hexadecimal of fixed width, so that text order is its order."""

    TABLE: ClassVar[str] = "addresses"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("subnet_id", "number"),)
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    subnet_id: str
    number: str
    ip: Annotated[str, INDEX]
    network_id: str
    port_id: Annotated[str, INDEX]
