"""Back ends as the cloud sees them: what each told last, whether it is up, how much of it is promised."""

from collections.abc import Sequence
from typing import Any

import msgspec

from micronova import __version__, heartbeat
from micronova.db import Tx
from micronova.heartbeat import ServiceRow
from micronova.volume import db
from micronova.volume.choice import Candidate
from micronova.volume.db import Pool

TOPIC = "volume"


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool with its service's state and what was promised of it: (volumes, GiB)."""

    row: Pool
    service: ServiceRow | None
    up: bool
    promised: tuple[int, int]

    @property
    def enabled(self) -> bool:
        """Whether new volumes may go there."""
        return self.service is not None and not self.service.disabled and not self.row.frozen


def name_of(host: str, backend: str) -> str:
    """A pool's name in the API."""
    return f"{host}@{backend}#{backend}"


def views(tx: Tx, down_seconds: float) -> list[PoolView]:
    """Every pool, by name."""
    services = {row.host: row for row in heartbeat.services(tx, topic=TOPIC)}
    promised = db.promised(tx)
    found = []
    for row in db.pools(tx):
        service = services.get(row.host)
        up = service is not None and heartbeat.is_up(service, tx.now, down_seconds) and row.working
        taken = promised.get((row.host, row.backend), (0, 0))
        found.append(PoolView(row=row, service=service, up=up, promised=taken))
    return found


def facts(view: PoolView) -> dict[str, Any]:
    """What a pool tells of itself in the API, and what extra specs may ask for."""
    row, can = view.row, view.row.capabilities
    return {
        "volume_backend_name": row.backend_name,
        "pool_name": row.backend,
        "vendor_name": can.vendor,
        "driver_version": __version__,
        "storage_protocol": can.protocol,
        "total_capacity_gb": round(row.total_gib, 2),
        "free_capacity_gb": round(row.free_gib, 2),
        "allocated_capacity_gb": view.promised[1],
        "provisioned_capacity_gb": view.promised[1],
        "reserved_percentage": row.reserved_percent,
        "max_over_subscription_ratio": str(row.over_commit),
        "thin_provisioning_support": can.thin,
        "thick_provisioning_support": not can.thin,
        "QoS_support": False,
        "multiattach": can.multiattach,
        "consistent_group_snapshot_enabled": can.group_snapshot,
        "online_extend_support": can.extend_in_use,
        "replication_enabled": False,
        "encryption": can.encryption,
        "backend_state": "up" if view.up else "down",
        "filter_function": None,
        "goodness_function": None,
    }


def candidates(found: Sequence[PoolView]) -> list[Candidate]:
    """The pools as the choice takes them."""
    return [
        Candidate(
            id=view.row.id,
            host=view.row.host,
            backend=view.row.backend,
            zone=view.row.zone,
            alive=view.up,
            enabled=view.enabled,
            thin=view.row.capabilities.thin,
            total_gib=view.row.total_gib,
            free_gib=view.row.free_gib,
            promised_gib=view.promised[1],
            over_commit=view.row.over_commit,
            reserved_percent=view.row.reserved_percent,
            facts=facts(view),
        )
        for view in found
    ]
