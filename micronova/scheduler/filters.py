"""Which hosts can take a request at all: test after test, each telling what it removed and what was missing."""

from collections.abc import Callable, Sequence

import msgspec

from micronova.scheduler.driver import HostState, Ratios, Removal, Request


class Miss(msgspec.Struct, frozen=True):
    """Why one host does not pass. `short` counts what is missing in `unit`; 0 where nothing can be counted."""

    reason: str
    short: int = 0
    unit: str = ""


Test = Callable[[Request, HostState, Ratios], Miss | None]


class Filter(msgspec.Struct, frozen=True):
    """A named test; `one` and `many` say in a sentence what is wrong with one or several hosts it removed."""

    name: str
    test: Test
    one: str
    many: str


def passing(
    filters: Sequence[Filter], request: Request, hosts: Sequence[HostState], ratios: Ratios
) -> tuple[list[HostState], tuple[Removal, ...]]:
    """The hosts that pass all filters, in their order, and what each filter that removed any removed."""
    left, removed = list(hosts), []
    for item in filters:
        misses = [(host, item.test(request, host, ratios)) for host in left]
        failed = [(host.host, miss) for host, miss in misses if miss is not None]
        if failed:
            closest, miss = min(failed, key=lambda pair: (pair[1].short, pair[0]))
            removed.append(
                Removal(
                    filter=item.name,
                    hosts=tuple(name for name, _ in failed),
                    closest=closest,
                    short=miss.short,
                    unit=miss.unit,
                    reason=miss.reason,
                )
            )
        left = [host for host, miss in misses if miss is None]
    return left, tuple(removed)


def capacity(total: int, ratio: float) -> int:
    """The most units that guests may hold of `total` real ones."""
    return int(total * ratio)


def free_vcpus(host: HostState, ratios: Ratios) -> int:
    return capacity(host.vcpus, ratios.cpu) - host.vcpus_used


def free_ram_mib(host: HostState, ratios: Ratios) -> int:
    return capacity(host.ram_mib, ratios.ram) - host.ram_used_mib


def free_disk_gib(host: HostState, ratios: Ratios) -> int:
    return capacity(host.disk_gib, ratios.disk) - host.disk_used_gib


def _up(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    return None if host.up else Miss(f"host {host.host} does not report that it is alive")


def _enabled(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    return None if host.enabled else Miss(f"host {host.host} is disabled")


def _zone(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    if request.zone is None or host.zone == request.zone:
        return None
    return Miss(f"needs zone {request.zone}, host {host.host} is in {host.zone}")


def _allowed(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    if request.only_hosts and host.host not in request.only_hosts:
        return Miss(f"must be on {' or '.join(request.only_hosts)}, not on {host.host}")
    if host.host in request.not_hosts:
        return Miss(f"must not be on {host.host}")
    return None


def _short(wanted: int, free: int, host: str, unit: str) -> Miss | None:
    if wanted <= free:
        return None
    said = f"needs {wanted} {unit}, host {host} has {free} {unit} free, {wanted - free} {unit} short"
    return Miss(said, wanted - free, unit)


def _vcpus(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    if request.vcpus > host.vcpus:
        said = f"needs {request.vcpus} vCPUs in one server, host {host.host} has only {host.vcpus} CPUs"
        return Miss(said, request.vcpus - host.vcpus, "vCPUs")
    return _short(request.vcpus, free_vcpus(host, ratios), host.host, "vCPUs")


def _ram(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    return _short(request.ram_mib, free_ram_mib(host, ratios), host.host, "MiB")


def _disk(request: Request, host: HostState, ratios: Ratios) -> Miss | None:
    return _short(request.disk_gib, free_disk_gib(host, ratios), host.host, "GiB")


FILTERS: tuple[Filter, ...] = (
    Filter("up", _up, "is down", "are down"),
    Filter("enabled", _enabled, "is disabled", "are disabled"),
    Filter("zone", _zone, "is in another zone", "are in another zone"),
    Filter("allowed", _allowed, "is not allowed for this server", "are not allowed for this server"),
    Filter("ram", _ram, "has too little memory", "have too little memory"),
    Filter("vcpus", _vcpus, "has too few vCPUs", "have too few vCPUs"),
    Filter("disk", _disk, "has too little disk", "have too little disk"),
)
"""In the order they are asked: what an operator can see at a glance first, then what has to be counted."""


def no_host_message(filters: Sequence[Filter], hosts: int, removed: Sequence[Removal]) -> str:
    """One sentence with the numbers: why no host was left."""
    if hosts == 0:
        return "No valid host was found: there is no host yet."
    words = {item.name: item for item in filters}
    parts = [f"{hosts} host{'' if hosts == 1 else 's'}"]
    for removal in removed:
        item = words[removal.filter]
        parts.append(f"{len(removal.hosts)} {item.one if len(removal.hosts) == 1 else item.many}")
    counted = [removal for removal in removed if removal.short]
    closest = ""
    if counted:
        # The last filter's best host came furthest.
        best = counted[-1]
        closest = f"; the closest, {best.closest}, is {best.short} {best.unit} short"
    return f"No valid host was found: {', '.join(parts)}{closest}."
