"""How what operators see looks on the wire: agents, metering (Networking API v2.0 reference)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from micronova.network.agents import Life
from micronova.network.db import Agent, MeteringLabel, MeteringRule
from micronova.network.duties import DHCP_AGENT, L3_AGENT
from micronova.network.room import Room
from micronova.network.wire import Show, Shown, owner


def show_agent(room: Room, row: Agent, parts: Sequence[Any]) -> Shown:
    life: Life = parts[0]
    return {
        "id": row.id,
        "agent_type": row.agent_type,
        "binary": row.binary,
        "topic": row.topic,
        "host": row.host,
        "availability_zone": row.availability_zone,
        "admin_state_up": row.admin_state_up,
        "alive": life.alive,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.created_at),
        "heartbeat_timestamp": _moment(life.seen_at or row.created_at),
        "description": row.description or None,
        "resources_synced": None,
        "configurations": _configurations(row.agent_type, life),
    }


def _configurations(agent_type: str, life: Life) -> Mapping[str, Any]:
    """What such an agent does on its host. An L3 agent both routes for its ports and leads them out."""
    ports, networks = life.load.ports, life.load.networks
    if agent_type == DHCP_AGENT:
        return {"networks": networks, "ports": ports}
    if agent_type == L3_AGENT:
        return {"agent_mode": "dvr_snat", "networks": networks}
    return {"devices": ports}


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def show_metering_label(room: Room, row: MeteringLabel, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        **owner(row),
        "shared": row.shared,
    }


def show_metering_rule(room: Room, row: MeteringRule, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        **owner(row),
        "metering_label_id": row.label_id,
        "direction": row.direction,
        "excluded": row.excluded,
        "remote_ip_prefix": row.remote_prefix,
        "source_ip_prefix": row.source_prefix,
        "destination_ip_prefix": row.destination_prefix,
    }


SHOW: dict[str, Show] = {
    "agent": show_agent,
    "metering_label": show_metering_label,
    "metering_label_rule": show_metering_rule,
}
