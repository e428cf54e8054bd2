"""All that is true of a simulated cloud at one moment: its rows, and what its machines have."""

from collections.abc import Iterable
from typing import Any

import msgspec

from micronova.compute.db import Server, ServerInput
from micronova.compute.driver import GuestFacts, VolumeDisk
from micronova.db import Tx
from micronova.image.db import Image
from micronova.network import specs
from micronova.network.db import (
    Address,
    FloatingIp,
    GivenSegment,
    Membership,
    Network,
    Port,
    Router,
    RouterPort,
    Rule,
    SecurityGroup,
    Subnet,
    TunnelEndpoint,
)
from micronova.network.driver import GroupSpec, PortSpec, SegmentSpec
from micronova.network.switch_changes import State
from micronova.scheduler.db import Allocation
from micronova.sim.world import PROJECTS, SWITCH, Machine, World
from micronova.tasks import Task
from micronova.volume import db as volume_db
from micronova.volume import quota
from micronova.volume.driver import ExportSpec
from micronova.volume.drivers.pretended import Snapshot as KeptSnapshot
from micronova.volume.drivers.pretended import Volume as KeptVolume


class NetworkView(msgspec.Struct, frozen=True):
    """What a host's network driver has, or should have. `groups` are those that rules name as the other side.

    `segments` are what joins its networks with the same ones on other hosts, where it was told.
    """

    ports: dict[str, PortSpec]
    networks: tuple[str, ...]
    groups: dict[str, GroupSpec]
    segments: dict[str, SegmentSpec] = {}


class BackendView(msgspec.Struct, frozen=True):
    """What a back end of volumes has."""

    volumes: dict[str, KeptVolume]
    snapshots: dict[str, KeptSnapshot]
    exports: dict[str, ExportSpec]


class MachineView(msgspec.Struct, frozen=True):
    """What a machine has, and the names of its process's asyncio tasks. `disks` are the volumes of its guests.

    `backups` are those of which it keeps anything, `files` what lies where copies under way do.
    """

    guests: dict[str, GuestFacts]
    network: NetworkView
    running: tuple[str, ...]
    disks: dict[str, tuple[VolumeDisk, ...]]
    backends: dict[str, BackendView]
    backups: frozenset[str]
    files: tuple[str, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """Rows by class, and machines by name. `stored` names the bytes each host keeps for images.

    `wanted` is what each host's network driver should have.
    """

    servers: dict[str, Server]
    inputs: dict[str, ServerInput]
    tasks: list[Task]
    allocations: dict[str, Allocation]
    networks: dict[str, Network]
    subnets: dict[str, Subnet]
    ports: dict[str, Port]
    addresses: list[Address]
    groups: dict[str, SecurityGroup]
    rules: list[Rule]
    memberships: list[Membership]
    routers: dict[str, Router]
    router_ports: list[RouterPort]
    floating_ips: dict[str, FloatingIp]
    images: dict[str, Image]
    stored: dict[str, frozenset[str]]
    machines: dict[str, MachineView]
    wanted: dict[str, NetworkView]
    segments: dict[str, GivenSegment]
    tunnels: dict[str, TunnelEndpoint]
    carried: dict[str, frozenset[int]]
    """VLANs that the switch carries to each host."""
    volumes: dict[str, volume_db.Volume]
    volume_snapshots: dict[str, volume_db.Snapshot]
    attachments: dict[str, volume_db.Attachment]
    backups: dict[str, volume_db.Backup]
    volume_groups: dict[str, volume_db.Group]
    group_snapshots: dict[str, volume_db.GroupSnapshot]
    transfers: dict[str, volume_db.Transfer]
    volume_usage: dict[str, dict[str, int]]
    """What the volume room counts for each project's quota, when it was asked for."""


async def take(world: World, *, wanted: bool = False) -> Snapshot:
    """The cloud as it is now; `wanted` also asks what drivers should have."""
    machines = {machine.name: await _machine(machine) for machine in world.hosts}
    hosts = list(machines) if wanted else []
    stored = {
        machine.name: frozenset((*machine.store.committed, *machine.store.incoming))
        for machine in world.machines.values()
    }
    switch = world.switch.state
    return await world.read(lambda tx: _read(tx, machines, stored, hosts, switch))


async def _machine(machine: Machine) -> MachineView:
    guests = {guest.id: guest for guest in await machine.compute.list()}
    driver = machine.network
    segments = {id: spec.segment for id, spec in driver.networks.items()}
    pools = {name: backend.pool for name, backend in machine.backends.items()}
    return MachineView(
        guests=guests,
        network=NetworkView(dict(driver.ports), tuple(sorted(driver.networks)), dict(driver.groups), segments),
        running=tuple(machine.process.life.names) if machine.process is not None else (),
        disks={id: machine.compute.disks(id) for id in guests},
        backends={
            name: BackendView(dict(pool.volumes), dict(pool.snapshots), dict(pool.exports))
            for name, pool in pools.items()
        },
        backups=frozenset(machine.backups.pieces),
        files=machine.files(),
    )


def _read(
    tx: Tx, machines: dict[str, MachineView], stored: dict[str, frozenset[str]], hosts: list[str], switch: State
) -> Snapshot:
    return Snapshot(
        servers=_by_id(tx.find(Server)),
        inputs=_by_id(tx.find(ServerInput)),
        tasks=tx.find(Task, open=True, order=(("seq", True),)),
        allocations={row.consumer_id: row for row in tx.find(Allocation)},
        networks=_by_id(tx.find(Network)),
        subnets=_by_id(tx.find(Subnet)),
        ports=_by_id(tx.find(Port)),
        addresses=tx.find(Address),
        groups=_by_id(tx.find(SecurityGroup)),
        rules=tx.find(Rule),
        memberships=tx.find(Membership),
        routers=_by_id(tx.find(Router)),
        router_ports=tx.find(RouterPort),
        floating_ips=_by_id(tx.find(FloatingIp)),
        images=_by_id(tx.find(Image)),
        stored=stored,
        machines=machines,
        wanted={host: _wanted(tx, host) for host in hosts},
        segments=_by_id(tx.find(GivenSegment)),
        tunnels=_by_id(tx.find(TunnelEndpoint)),
        carried=_carried(switch),
        volumes=_by_id(tx.find(volume_db.Volume)),
        volume_snapshots=_by_id(tx.find(volume_db.Snapshot, order=(("created_at", True), ("id", True)))),
        attachments=_by_id(tx.find(volume_db.Attachment)),
        backups=_by_id(tx.find(volume_db.Backup)),
        volume_groups=_by_id(tx.find(volume_db.Group)),
        group_snapshots=_by_id(tx.find(volume_db.GroupSnapshot)),
        transfers=_by_id(tx.find(volume_db.Transfer)),
        volume_usage={project_id: quota.usage(tx, project_id) for project_id in PROJECTS} if hosts else {},
    )


def _wanted(tx: Tx, host: str) -> NetworkView:
    ports = specs.wanted_ports(tx, host)
    view = specs.load(tx, ports)
    wanted = {port.id: specs.port_spec(view, port) for port in ports}
    return NetworkView(wanted, tuple(sorted(view.networks)), specs.members(tx, view.remote_groups()))


def _carried(switch: State) -> dict[str, frozenset[int]]:
    facts = {host: [switch.ports[port].facts for port in ports] for host, ports in SWITCH.hosts.items()}
    return {host: frozenset(vlan for one in its for vlan in one.vlans) for host, its in facts.items()}


def _by_id(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.id: row for row in rows}
