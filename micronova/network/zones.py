"""Availability zones as the network API tells them: where there are agents for networks, and for routers."""

from collections.abc import Iterable

import msgspec

from micronova.db import Tx
from micronova.network.db import Agent
from micronova.network.duties import DHCP_AGENT, L3_AGENT
from micronova.network.refusals import refusal

SERVED_BY = {"network": DHCP_AGENT, "router": L3_AGENT}
AVAILABLE, UNAVAILABLE = "available", "unavailable"


class Zone(msgspec.Struct, frozen=True, order=True):
    """A zone for one kind of resource; `state` is "available" while an agent there is switched on."""

    name: str
    resource: str
    state: str


def all_zones(tx: Tx, usual: str) -> list[Zone]:
    """Every zone in order of name and resource; `usual` is this host's, which is there even before its agents are."""
    found = []
    for resource, agent_type in SERVED_BY.items():
        agents = tx.find(Agent, agent_type=agent_type)
        working = {agent.availability_zone for agent in agents if agent.admin_state_up}
        for name in {usual, *(agent.availability_zone for agent in agents)}:
            found.append(Zone(name, resource, AVAILABLE if name in working else UNAVAILABLE))
    return sorted(found)


def check(tx: Tx, usual: str, hints: Iterable[str]) -> None:
    """Return when there are all these zones. Raises NotFound."""
    wanted = set(hints)
    absent = sorted(wanted - {zone.name for zone in all_zones(tx, usual)}) if wanted else []
    if absent:
        raise refusal("AvailabilityZoneNotFound", f"AvailabilityZone {absent[0]} could not be found.")
