"""Rows of the scheduler room: hosts, what they hold, host aggregates, decisions; and the questions asked of them."""

from datetime import datetime
from typing import Annotated, ClassVar

import sqlalchemy as sa

from micronova.db import INDEX, KEY, SERIAL, UNIQUE, Row, Tx, table
from micronova.db.rows import micros
from micronova.scheduler.driver import Removal, Request, Weighed


class Host(Row, frozen=True, kw_only=True):
    """A host that runs servers, as it described itself last. `reserved_ram_mib` is not for guests."""

    TABLE: ClassVar[str] = "hosts"

    number: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    host: Annotated[str, UNIQUE]
    hostname: str
    address: str
    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    ram_mib: int
    disk_gib: int
    reserved_ram_mib: int
    cpu_model: str
    accel: str
    zone: str
    created_at: datetime
    updated_at: datetime


class Allocation(Row, frozen=True, kw_only=True):
    """What one consumer (a server) holds of one host."""

    TABLE: ClassVar[str] = "allocations"

    consumer_id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    host: Annotated[str, INDEX]
    vcpus: int
    ram_mib: int
    disk_gib: int
    created_at: datetime


class Decision(Row, frozen=True, kw_only=True):
    """One answer of a driver and how it came about. `host` "" means none was found; `message` says why.

    `margin` is the winner's lead in weight over the next best candidate.
    """

    TABLE: ClassVar[str] = "decisions"
    JOURNAL: ClassVar[bool] = False

    serial: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    consumer_id: Annotated[str, INDEX]
    project_id: str
    request_id: str
    driver: str
    host: str
    message: str
    candidates: tuple[str, ...]
    removed: tuple[Removal, ...]
    weights: tuple[Weighed, ...]
    margin: float
    request: Request
    created_at: datetime


class Aggregate(Row, frozen=True, kw_only=True):
    """Hosts that an operator put together; with a `zone` they are that availability zone."""

    TABLE: ClassVar[str] = "aggregates"

    id: Annotated[int, SERIAL] = 0
    uuid: Annotated[str, KEY]
    name: Annotated[str, UNIQUE]
    zone: Annotated[str, INDEX] = ""
    hosts: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    created_at: datetime
    updated_at: datetime | None = None


_ALLOCATIONS = table(Allocation)
_C = _ALLOCATIONS.c
_USED = sa.select(
    _C.host,
    sa.func.sum(_C.vcpus),
    sa.func.sum(_C.ram_mib),
    sa.func.sum(_C.disk_gib),
    sa.func.count(),
).group_by(_C.host)
_OF_PROJECT = (
    sa.select(_C.host, sa.func.count())
    .where(_C.project_id == sa.bindparam("project_id", type_=sa.Text()))
    .group_by(_C.host)
)


def hosts(tx: Tx) -> list[Host]:
    """All hosts known, by name."""
    return tx.find(Host, order=(("host", True),))


def used(tx: Tx) -> dict[str, tuple[int, int, int, int]]:
    """(vCPUs, RAM in MiB, disk in GiB, servers) held on each host that holds anything."""
    return {host: (int(v), int(r), int(d), int(n)) for host, v, r, d, n in tx.values(_USED)}


def held_by_project(tx: Tx, project_id: str) -> dict[str, int]:
    """How many servers of a project each host holds."""
    return {host: int(n) for host, n in tx.values(_OF_PROJECT, project_id=project_id)}


def aggregates(tx: Tx) -> list[Aggregate]:
    """All aggregates in the order they were made."""
    return tx.find(Aggregate, order=(("id", True),))


def zones(tx: Tx) -> dict[str, str]:
    """The availability zone of each host that an aggregate puts into one."""
    return {host: found.zone for found in aggregates(tx) if found.zone for host in found.hosts}


def decisions(tx: Tx, consumer_id: str) -> list[Decision]:
    """All decisions for a consumer, oldest first."""
    return tx.find(Decision, order=(("serial", True),), consumer_id=consumer_id)


_DECISIONS = table(Decision)
_OLD = (
    sa.select(_DECISIONS)
    .where(_DECISIONS.c.created_at < sa.bindparam("before", type_=sa.BigInteger()))
    .where(_DECISIONS.c.consumer_id.not_in(sa.select(_C.consumer_id)))
    .order_by(_DECISIONS.c.serial)
    .limit(1000)
)


def old_decisions(tx: Tx, before: datetime) -> list[Decision]:
    """The oldest decisions from before a moment about consumers that hold nothing, at most 1000."""
    return tx.rows(Decision, _OLD, before=micros(before))


ROWS: tuple[type[Row], ...] = (Host, Allocation, Decision, Aggregate)
