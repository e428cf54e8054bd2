"""How address groups look on the wire (Networking API v2.0 reference, "Address groups")."""

from collections.abc import Sequence
from typing import Any

from micronova.network.db import AddressGroup
from micronova.network.room import Room
from micronova.network.wire import Show, Shown, standard


def show_address_group(room: Room, row: AddressGroup, parts: Sequence[Any]) -> Shown:
    return {**standard(row), "addresses": row.addresses, "shared": row.shared}


SHOW: dict[str, Show] = {"address_group": show_address_group}
