"""What a list of a thousand servers shows of their ports: addresses and groups, read in one pass over few columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from micronova.db import KEY, Row, Tx
from micronova.network import floating_ips
from micronova.network.db import FixedIp, Port


class _Name(Row, frozen=True, kw_only=True):
    """A network's or group's id and name. A view: the table is another class's."""

    id: Annotated[str, KEY]
    name: str


class _NetworkName(_Name, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "networks"


class _GroupName(_Name, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "security_groups"


class _PortLine(Row, frozen=True, kw_only=True):
    """Some columns of Port, whose table it is."""

    TABLE: ClassVar[str] = Port.TABLE

    id: Annotated[str, KEY]
    device_id: str
    network_id: str
    mac: str
    fixed_ips: tuple[FixedIp, ...]
    security_group_ids: tuple[str, ...]
    position: int


class SeenNic(msgspec.Struct, frozen=True, gc=False):
    """An interface as lists show it; `fixed_ips` as in NicInfo."""

    network_label: str
    mac: str
    fixed_ips: tuple[tuple[str, str, int], ...]
    floating_ips: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True):
    """The interfaces, in order, and the names of the groups of servers by id; servers without ports are missing."""

    nics: Mapping[str, Sequence[SeenNic]]
    groups: Mapping[str, Sequence[str]]


def summary(tx: Tx, server_ids: Sequence[str]) -> Summary:
    """What these servers' ports show."""
    if not server_ids:
        return Summary({}, {})
    ports = tx.find(_PortLine, device_id=list(server_ids), order=(("position", True), ("id", True)))
    labels = _names(tx, _NetworkName, (port.network_id for port in ports))
    titles = _names(tx, _GroupName, (id for port in ports for id in port.security_group_ids))
    floating = floating_ips.addresses_of(tx, [port.id for port in ports])
    nics: dict[str, list[SeenNic]] = {}
    groups: dict[str, list[str]] = {}
    for port in ports:
        ips = tuple([(one.subnet_id, one.ip, 6 if ":" in one.ip else 4) for one in port.fixed_ips])
        nics.setdefault(port.device_id, []).append(
            SeenNic(labels[port.network_id], port.mac, ips, floating.get(port.id, ()))
        )
        names = groups.setdefault(port.device_id, [])
        for id in port.security_group_ids:
            if titles[id] not in names:
                names.append(titles[id])
    return Summary(nics, groups)


def _names(tx: Tx, cls: type[_Name], ids: Iterable[str]) -> dict[str, str]:
    wanted = sorted(set(ids))
    return {row.id: row.name for row in tx.find(cls, id=wanted)} if wanted else {}
