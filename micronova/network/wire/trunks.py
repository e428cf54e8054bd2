"""How trunks and what they carry look on the wire (Networking API v2.0 reference, "Trunk networking")."""

from collections.abc import Sequence
from typing import Any

from micronova.network.db import SubPort, Trunk
from micronova.network.room import Room
from micronova.network.wire import Show, Shown, standard


def show_trunk(room: Room, row: Trunk, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "port_id": row.port_id,
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "sub_ports": [show_sub_port(one) for one in parts],
    }


def show_sub_port(row: SubPort) -> Shown:
    return {
        "port_id": row.id,
        "segmentation_type": row.segmentation_type,
        "segmentation_id": row.segmentation_id,
    }


SHOW: dict[str, Show] = {"trunk": show_trunk}
