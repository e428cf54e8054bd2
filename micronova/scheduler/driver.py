"""What a scheduler driver must be able to do: choose, from a request and the table of hosts, and say why.

A driver is a pure function: no database, no clock, no host. The same arguments give the same choice.
"""

from typing import Protocol

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer needs and where it may go.

    Empty `only_hosts` allows all hosts. `near` and `far` are hosts that are better or worse than others, not more.
    """

    consumer_id: str
    project_id: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    zone: str | None = None
    only_hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of hosts: what a host has, what of it is taken, and whether it takes more.

    `own_servers` counts the servers of the request's project there.
    """

    host: str
    zone: str = "nova"
    up: bool = True
    enabled: bool = True
    vcpus: int
    ram_mib: int
    disk_gib: int
    vcpus_used: int = 0
    ram_used_mib: int = 0
    disk_used_gib: int = 0
    servers: int = 0
    own_servers: int = 0


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """How many units guests may hold for each real one."""

    cpu: float = 1.0
    ram: float = 1.0
    disk: float = 1.0


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What one filter took out, and why the closest of those hosts missed: by `short` of `unit`, 0 for no number."""

    filter: str
    hosts: tuple[str, ...]
    closest: str
    short: int
    unit: str
    reason: str


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate's weight and its parts by weigher, multiplied already."""

    host: str
    weight: float
    parts: dict[str, float] = {}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The decision and its record. `host` "" means none; `candidates` and `weights` are best first."""

    host: str
    message: str
    candidates: tuple[str, ...] = ()
    removed: tuple[Removal, ...] = ()
    weights: tuple[Weighed, ...] = ()
    margin: float = 0.0


class SchedulerDriver(Protocol):
    """A way of choosing hosts."""

    name: str

    def choose(self, request: Request, hosts: tuple[HostState, ...], ratios: Ratios, seed: int) -> Choice:
        """The host for a request, or none, with the record of why; chance comes from `seed` only. Raises nothing."""
