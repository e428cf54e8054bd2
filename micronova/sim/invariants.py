"""What must be true of a cloud: ALWAYS, after every event, and HEALED, once all faults are gone and time has passed.

Each invariant is a function from a snapshot to sentences that say what is wrong; none when all is well.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from micronova.compute import states
from micronova.compute.db import Server
from micronova.image import states as image_states
from micronova.options import QuotaOptions
from micronova.sim.network_invariants import NETWORK_ALWAYS, SERVICE, machines_have_the_ports_of_rows
from micronova.sim.segment_invariants import (
    hosts_know_each_other,
    no_segment_twice,
    the_switch_carries_what_hosts_need,
)
from micronova.sim.snapshot import Snapshot
from micronova.sim.volume_invariants import VOLUME_ALWAYS, VOLUME_HEALED
from micronova.tasks import Task

Invariant = Callable[[Snapshot], Iterator[str]]
SETTLED = (states.ACTIVE, states.STOPPED)
POWERS = {states.ACTIVE: ("running",), states.STOPPED: ("shutdown", "crashed")}
TASK_NAME = "task "
"""How the runner names the asyncio tasks in which it runs durable ones."""


def allocations_have_consumers(now: Snapshot) -> Iterator[str]:
    """What is held of a host is held by a server of that host, as much as its flavor says; and the other way round."""
    for id, held in now.allocations.items():
        server = now.servers.get(id)
        if server is None:
            yield f"{held.host} is held for server {id}, which is gone"
        elif server.host != held.host:
            yield f"server {id} is on {server.host!r} and holds {held.host}"
        elif (held.vcpus, held.ram_mib) != (server.vcpus, server.ram_mib):
            yield f"server {id} holds {held.vcpus} CPUs and {held.ram_mib} MiB, which is not its flavor"
    for server in now.servers.values():
        if server.host and server.id not in now.allocations:
            yield f"server {server.id} is on {server.host} and holds nothing of it"


def quotas_are_kept(options: QuotaOptions) -> Invariant:
    """No project has more than it may have."""

    def quotas_kept(now: Snapshot) -> Iterator[str]:
        counted: dict[str, Iterable[Any]] = {
            "networks": now.networks.values(),
            "subnets": now.subnets.values(),
            "ports": now.ports.values(),
            "security_groups": now.groups.values(),
            "security_group_rules": now.rules,
            "instances": now.servers.values(),
        }
        for name, rows in counted.items():
            for project_id, count in sorted(Counter(row.project_id for row in rows).items()):
                if count > getattr(options, name):
                    yield f"project {project_id} has {count} {name}, its quota is {getattr(options, name)}"
        for name, field in (("cores", "vcpus"), ("ram", "ram_mib")):
            sums: Counter[str] = Counter()
            for server in now.servers.values():
                sums[server.project_id] += getattr(server, field)
            for project_id, total in sorted(sums.items()):
                if total > getattr(options, name):
                    yield f"project {project_id} has {total} {name}, its quota is {getattr(options, name)}"

    return quotas_kept


def what_is_passing_has_an_owner(now: Snapshot) -> Iterator[str]:
    """Where something is being done to a server, an open task with a deadline does it."""
    owned = {task.resource for task in now.tasks if not task.cancelled}
    for server in now.servers.values():
        passing = server.task_state is not None or server.vm_state == states.BUILDING
        if passing and f"server:{server.id}" not in owned:
            yield f"server {server.id} is {server.vm_state} ({server.task_state}) and no task cares for it"


def tasks_of_a_resource_take_turns(now: Snapshot) -> Iterator[str]:
    """Of one resource at most one task runs, wherever."""
    running = [name for machine in now.machines.values() for name in machine.running if name.startswith(TASK_NAME)]
    resources = [name.split(" ", 2)[2] for name in running]
    for resource in _repeated(name for name in resources if name):
        yield f"several tasks of {resource} run at once"


def a_guest_is_on_one_machine(now: Snapshot) -> Iterator[str]:
    """No two machines have the same guest."""
    for id in _repeated(id for machine in now.machines.values() for id in machine.guests):
        yield f"guest {id} is on several machines"


def ports_have_their_servers(now: Snapshot) -> Iterator[str]:
    """What is a server's port is the port of a server that is there."""
    for port in now.ports.values():
        if port.device_owner.startswith(SERVICE):
            continue
        if port.device_id and port.device_id not in now.servers:
            yield f"port {port.id} belongs to server {port.device_id}, which is gone"
        if port.owned and not port.device_id:
            yield f"port {port.id} was made for a server and belongs to none"
    for id in now.inputs:
        if id not in now.servers:
            yield f"what server {id} was made from is left, the server is gone"


# -- once everything has healed


def nothing_is_left_to_do(now: Snapshot) -> Iterator[str]:
    """No task is open, no server or image on its way."""
    for task in now.tasks:
        yield _told(task)
    for server in now.servers.values():
        if server.task_state is not None or server.vm_state == states.BUILDING:
            yield f"server {server.id} is still {server.vm_state} ({server.task_state})"
    for image in now.images.values():
        if image.status in image_states.TRANSIENT:
            yield f"image {image.id} is still {image.status}"


def machines_have_the_guests_of_rows(now: Snapshot) -> Iterator[str]:
    """Every settled server has a guest on its host, on or off as its row says; no machine has any other guest."""
    for name, machine in now.machines.items():
        for id in machine.guests:
            server = now.servers.get(id)
            if server is None or server.host != name:
                yield f"{name} has guest {id}, which is no server of it"
    for server in now.servers.values():
        if server.vm_state in SETTLED:
            yield from _power(now, server)
        elif server.vm_state != states.ERROR:
            yield f"server {server.id} ended {server.vm_state}"


def _power(now: Snapshot, server: Server) -> Iterator[str]:
    machine = now.machines.get(server.host)
    guest = machine.guests.get(server.id) if machine is not None else None
    power = guest.power if guest is not None else "absent"
    if power not in POWERS[server.vm_state]:
        yield f"server {server.id} is {server.vm_state}, its guest is {power}"


def servers_have_real_ports(now: Snapshot) -> Iterator[str]:
    """The ports of settled servers are real where the server is; ports of nobody are bound nowhere."""
    for port in now.ports.values():
        server = now.servers.get(port.device_id)
        if port.device_owner.startswith(SERVICE):
            continue
        if server is None:
            if port.host or port.status == "ACTIVE":
                yield f"port {port.id} is nobody's, bound on {port.host!r}, {port.status}"
        elif port.host != server.host:
            yield f"port {port.id} is bound on {port.host!r}, its server {server.id} is on {server.host!r}"
        elif server.vm_state in SETTLED and port.status != "ACTIVE":
            yield f"port {port.id} of {server.vm_state} server {server.id} is {port.status}"


def images_have_their_bytes(now: Snapshot) -> Iterator[str]:
    """Where an image's bytes shall be they are, and nobody keeps any others."""
    wanted = {(image.store_host, image.location) for image in now.images.values() if image.location}
    stored = {(host, name) for host, names in now.stored.items() for name in names}
    for host, location in sorted(wanted - stored):
        yield f"image bytes {location} are not on {host}"
    for host, location in sorted(stored - wanted):
        yield f"{host} keeps bytes {location} of no image"


ALWAYS: tuple[Invariant, ...] = (
    *NETWORK_ALWAYS,
    *VOLUME_ALWAYS,
    no_segment_twice,
    allocations_have_consumers,
    what_is_passing_has_an_owner,
    tasks_of_a_resource_take_turns,
    a_guest_is_on_one_machine,
    ports_have_their_servers,
)
HEALED: tuple[Invariant, ...] = (
    nothing_is_left_to_do,
    machines_have_the_guests_of_rows,
    machines_have_the_ports_of_rows,
    hosts_know_each_other,
    the_switch_carries_what_hosts_need,
    servers_have_real_ports,
    images_have_their_bytes,
    *VOLUME_HEALED,
)


def broken(invariants: Iterable[Invariant], now: Snapshot) -> list[str]:
    """What is wrong, each with the name of its invariant."""
    return [f"{invariant.__name__}: {what}" for invariant in invariants for what in invariant(now)]


def _told(task: Task) -> str:
    return f"task {task.method} of {task.resource} on {task.host!r} is still {task.state}: {task.error}"


def _repeated(items: Iterable[Hashable]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]
