"""Rows of the network room and the questions asked of them; no decisions."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.db import INDEX, KEY, UNIQUE, Row, Tx, table


class Standard(Row, frozen=True, kw_only=True):
    """What every resource of the API has: owner, words about it, tags, when it came and changed."""

    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("project_id", "name", "id"),)

    id: Annotated[str, KEY]
    project_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime


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


class SecurityGroup(Standard, frozen=True, kw_only=True):
    """Rules under a name. `default_of` is the project whose default group this is; it can have only one."""

    TABLE: ClassVar[str] = "security_groups"

    stateful: bool = True
    shared: bool = False
    default_of: Annotated[str | None, UNIQUE] = None


class Rule(Standard, frozen=True, kw_only=True):
    """One thing a group lets pass. `fingerprint` says all that makes two rules the same."""

    TABLE: ClassVar[str] = "security_group_rules"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("group_id", "fingerprint"),)

    group_id: str
    direction: str
    ethertype: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group_id: Annotated[str | None, INDEX] = None
    fingerprint: str


class Membership(Row, frozen=True, kw_only=True):
    """A port, bound on `host`, is in a group."""

    TABLE: ClassVar[str] = "security_group_members"
    JOURNAL: ClassVar[bool] = False

    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("group_id", "host"),)

    id: Annotated[str, KEY]
    group_id: str
    port_id: Annotated[str, INDEX]
    host: str = ""


class Router(Standard, frozen=True, kw_only=True):
    """Joins networks, and leads out of them by `external_network_id` where it has a gateway.

    `interface_ids` are its ports on the networks; they are here too, so that adding one changes the router: two whose
    ranges overlap can't both win. The gateway's port is not among them.
    """

    TABLE: ClassVar[str] = "routers"

    status: str = "ACTIVE"
    admin_state_up: bool = True
    external_network_id: Annotated[str | None, INDEX] = None
    gateway_port_id: str | None = None
    enable_snat: bool = True
    routes: tuple[tuple[str, str], ...] = ()
    availability_zone_hints: tuple[str, ...] = ()
    interface_ids: tuple[str, ...] = ()


class RouterPort(Row, frozen=True, kw_only=True):
    """Port `id` is the router's interface on the network."""

    TABLE: ClassVar[str] = "router_ports"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    router_id: Annotated[str, INDEX]
    network_id: Annotated[str, INDEX]


class FloatingIp(Standard, frozen=True, kw_only=True):
    """An address of an external network that stands for a port's own. `holder_id` is the port that keeps the address.

    `fixed_network_id` is the network of `port_id`. Both and `router_id` are None while it stands for none.
    """

    TABLE: ClassVar[str] = "floating_ips"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("floating_network_id", "floating_ip_address"),
        ("floating_network_id", "port_id", "fixed_ip_address"),
    )

    status: str = "DOWN"
    floating_network_id: str
    floating_ip_address: str
    holder_id: Annotated[str, INDEX]
    port_id: Annotated[str | None, INDEX] = None
    fixed_ip_address: str | None = None
    fixed_network_id: Annotated[str | None, INDEX] = None
    router_id: Annotated[str | None, INDEX] = None
    dns_name: str = ""
    dns_domain: str = ""


class SubnetPool(Standard, frozen=True, kw_only=True):
    """Ranges that subnets are cut from, by prefix lengths; `default_quota` is a project's share."""

    TABLE: ClassVar[str] = "subnet_pools"

    ip_version: int
    prefixes: tuple[str, ...]
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None = None
    shared: bool = False
    is_default: bool = False


class RbacPolicy(Standard, frozen=True, kw_only=True):
    """What the owner of a network lets a project do with it; `target_tenant` "*" means every project."""

    TABLE: ClassVar[str] = "rbac_policies"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("object_id", "action", "target_tenant"),)

    object_type: str
    object_id: str
    action: str
    target_tenant: Annotated[str, INDEX]


class QuotaLimit(Row, frozen=True, kw_only=True):
    """A project's own limit for one kind of resource."""

    TABLE: ClassVar[str] = "network_quotas"

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    resource: str
    most: int


ROWS: tuple[type[Row], ...] = (
    Network,
    Subnet,
    Port,
    Address,
    SecurityGroup,
    Rule,
    Membership,
    Router,
    RouterPort,
    FloatingIp,
    SubnetPool,
    RbacPolicy,
    QuotaLimit,
)

# -- addresses

_A = table(Address)
_POOL = (
    _A.c.subnet_id == sa.bindparam("subnet_id", type_=sa.Text()),
    _A.c.number >= sa.bindparam("first", type_=sa.Text()),
    _A.c.number <= sa.bindparam("last", type_=sa.Text()),
)
_HIGHEST = sa.select(_A.c.number).where(*_POOL).order_by(_A.c.number.desc()).limit(1)
_TAKEN = sa.select(_A.c.number).where(*_POOL).order_by(_A.c.number).limit(sa.bindparam("most", type_=sa.Integer()))
_ONE = sa.select(_A.c.number).where(_POOL[0], _A.c.number == sa.bindparam("number", type_=sa.Text()))
_PER_SUBNET = (
    sa.select(_A.c.subnet_id, sa.func.count())
    .where(_A.c.network_id == sa.bindparam("network_id", type_=sa.Text()))
    .group_by(_A.c.subnet_id)
)


def highest_taken(tx: Tx, subnet_id: str, first: str, last: str) -> str | None:
    """The highest number given in a range."""
    found = tx.values(_HIGHEST, subnet_id=subnet_id, first=first, last=last)
    return str(found[0][0]) if found else None


def taken(tx: Tx, subnet_id: str, first: str, last: str, most: int) -> list[str]:
    """The lowest `most` numbers given in a range, in order."""
    return [row[0] for row in tx.values(_TAKEN, subnet_id=subnet_id, first=first, last=last, most=most)]


def is_taken(tx: Tx, subnet_id: str, number: str) -> bool:
    return bool(tx.values(_ONE, subnet_id=subnet_id, number=number))


def addresses_per_subnet(tx: Tx, network_id: str) -> dict[str, int]:
    """How many addresses are given, by subnet."""
    return {row[0]: row[1] for row in tx.values(_PER_SUBNET, network_id=network_id)}


# -- hosts that must hear of a change

_P, _M, _R = table(Port), table(Membership), table(Rule)
_NEXT_HOST = (
    sa.select(sa.func.min(_M.c.host))
    .where(_M.c.group_id == sa.bindparam("group_id", type_=sa.Text()))
    .where(_M.c.host > sa.bindparam("host", type_=sa.Text()))
)
_TRUSTING = sa.select(_R.c.group_id).distinct().where(_R.c.remote_group_id == sa.bindparam("group_id", type_=sa.Text()))
_HOSTS_OF_NETWORK = (
    sa.select(_P.c.host)
    .distinct()
    .where(_P.c.network_id == sa.bindparam("network_id", type_=sa.Text()), _P.c.host != "")
)
_MEMBER_ADDRESSES = (
    sa.select(_M.c.group_id, _P.c.fixed_ips, _P.c.allowed_pairs)
    .select_from(_M.join(_P, _P.c.id == _M.c.port_id))
    .where(_M.c.group_id == sa.bindparam("group_id", type_=sa.Text()))
)
_decode_ips = msgspec.json.Decoder(tuple[FixedIp, ...]).decode
_decode_pairs = msgspec.json.Decoder(tuple[Pair, ...]).decode


def hosts_of_groups(tx: Tx, group_ids: Iterable[str]) -> set[str]:
    """Hosts with ports in one of these groups, found by one look into the index for each, however many ports."""
    found: set[str] = set()
    for id in group_ids:
        host = tx.values(_NEXT_HOST, group_id=id, host="")[0][0]
        while host is not None:
            found.add(host)
            host = tx.values(_NEXT_HOST, group_id=id, host=host)[0][0]
    return found


def hosts_that_trust(tx: Tx, group_ids: Iterable[str]) -> set[str]:
    """Hosts with ports whose rules name one of these groups as the remote side."""
    trusting = {row[0] for id in group_ids for row in tx.values(_TRUSTING, group_id=id)}
    return hosts_of_groups(tx, sorted(trusting))


def hosts_of_network(tx: Tx, network_id: str) -> set[str]:
    """Hosts with ports of this network."""
    return {row[0] for row in tx.values(_HOSTS_OF_NETWORK, network_id=network_id)}


def follow_port(tx: Tx, port: Port) -> None:
    """The port's memberships say where it is bound."""
    for membership in tx.find(Membership, port_id=port.id):
        tx.change(membership, host=port.host)


def addresses_of_group(tx: Tx, group_id: str) -> set[str]:
    """Every address that a member of the group may send from."""
    found: set[str] = set()
    for _, ips, pairs in tx.values(_MEMBER_ADDRESSES, group_id=group_id):
        found.update(one.ip for one in _decode_ips(ips))
        found.update(one.ip for one in _decode_pairs(pairs))
    return found


# -- rows by what they belong to


def ports_of_devices(tx: Tx, device_ids: Sequence[str]) -> list[Port]:
    """Ports of these servers in the order of their interfaces."""
    return tx.find(Port, device_id=list(device_ids), order=(("position", True), ("id", True)))


def by_id(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.id: row for row in rows}


def find_all(tx: Tx, cls: type[Any], ids: Iterable[str]) -> dict[str, Any]:
    """Rows with these ids, by id; those that are not there are missing."""
    wanted = sorted(set(ids))
    return by_id(tx.find(cls, id=wanted)) if wanted else {}
