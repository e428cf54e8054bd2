"""What the network API says of itself: versions, extensions, agents, zones, service providers, free addresses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from micronova import heartbeat
from micronova.db import Tx
from micronova.heartbeat import ServiceRow
from micronova.http import Request, Route
from micronova.network import checks, db, ipam, listing, reading
from micronova.network.attributes import Resource
from micronova.network.base import NetworkManager
from micronova.network.db import Network, Subnet
from micronova.network.extensions import EXTENSIONS, UPDATED
from micronova.network.refusals import bad, missing

TOPIC = "network"
AGENT_TYPE = "Micronova network agent"


def routes(manager: NetworkManager, resources: Sequence[Resource]) -> list[Route]:
    """The routes that tell about the API and the cloud."""
    about = About(manager, resources)
    root = reading.ROOT
    return [
        Route("GET", "", about.versions, public=True),
        Route("GET", root, about.version, public=True),
        Route("GET", f"{root}/extensions", about.extensions),
        Route("GET", f"{root}/extensions/{{id}}", about.extension),
        Route("GET", f"{root}/agents", about.agents),
        Route("GET", f"{root}/agents/{{id}}", about.agent),
        Route("GET", f"{root}/availability_zones", about.zones),
        Route("GET", f"{root}/service-providers", about.providers),
        Route("GET", f"{root}/network-ip-availabilities", about.availabilities),
        Route("GET", f"{root}/network-ip-availabilities/{{id}}", about.availability),
    ]


class About:
    """The handlers."""

    def __init__(self, manager: NetworkManager, resources: Sequence[Resource]) -> None:
        self._manager = manager
        self._room = manager.room
        self._resources = resources

    async def versions(self, request: Request) -> Any:
        links = [{"rel": "self", "href": f"{request.root}{reading.ROOT}/"}]
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}

    async def version(self, request: Request) -> Any:
        root = f"{request.root}{reading.ROOT}"
        return {
            "resources": [
                {
                    "name": resource.noun,
                    "collection": resource.plural,
                    "links": [{"rel": "self", "href": f"{root}/{resource.path}"}],
                }
                for resource in self._resources
            ]
        }

    async def extensions(self, request: Request) -> Any:
        return {"extensions": [_extension(alias) for alias in EXTENSIONS]}

    async def extension(self, request: Request) -> Any:
        alias = request.path["id"]
        if alias not in EXTENSIONS:
            raise missing("extension", checks.short(alias))
        return {"extension": _extension(alias)}

    async def agents(self, request: Request) -> Any:
        """The hosts' network services; only for administrators, as in Neutron."""
        if not self._may(request, "get_agent"):
            return {"agents": []}
        shown = [self._agent(row) for row in await self._services()]
        filters = [(name, value) for name, value in request.query() if name not in listing.RESERVED]
        found = [one for one in shown if all(_matches(one, name, value) for name, value in filters)]
        wanted = listing.fields(request)
        return {"agents": [{k: v for k, v in one.items() if not wanted or k in wanted} for one in found]}

    async def agent(self, request: Request) -> Any:
        found = [row for row in await self._services() if row.id == request.path["id"]]
        if not found or not self._may(request, "get_agent"):
            raise missing("agent", checks.short(request.path["id"]))
        return {"agent": self._agent(found[0])}

    async def zones(self, request: Request) -> Any:
        zones = sorted({row.zone for row in await self._services()} | {self._room.zone})
        return {"availability_zones": [{"name": zone, "resource": "network", "state": "available"} for zone in zones]}

    async def providers(self, request: Request) -> Any:
        return {"service_providers": []}

    async def availabilities(self, request: Request) -> Any:
        """How many addresses each network has and has given; only for administrators, as in Neutron."""
        if not self._may(request, "get_network_ip_availability"):
            return {"network_ip_availabilities": []}
        versions = [_ip_version(value) for value in request.get_all("ip_version")]
        wanted = {
            column: request.get_all(name)
            for name, column in (("network_id", "id"), ("network_name", "name"), ("project_id", "project_id"))
            if request.get_all(name)
        }
        if any("\0" in value for values in wanted.values() for value in values):
            raise bad("A filter holds a character that cannot be stored.")

        def read(tx: Tx) -> list[dict[str, Any]]:
            networks = tx.find(Network, order=(("id", True),), **wanted)  # type: ignore[arg-type]
            return [_availability(tx, network, versions) for network in networks]

        return {"network_ip_availabilities": await self._room.db.read(read)}

    async def availability(self, request: Request) -> Any:
        id = reading.id_of(request, "network")

        def read(tx: Tx) -> dict[str, Any]:
            network = tx.first(Network, id=id)
            if network is None or not self._may(request, "get_network_ip_availability"):
                raise missing("network", id)
            return _availability(tx, network, [])

        return {"network_ip_availability": await self._room.db.read(read)}

    # -- inside

    def _may(self, request: Request, rule: str) -> bool:
        return self._room.policy.allows(request.ctx, rule)

    async def _services(self) -> list[ServiceRow]:
        return await self._room.db.read(lambda tx: heartbeat.services(tx, topic=TOPIC))

    def _agent(self, row: ServiceRow) -> dict[str, Any]:
        down = self._manager.config.options.service.down_seconds
        return {
            "id": row.id,
            "agent_type": AGENT_TYPE,
            "binary": row.binary,
            "topic": row.topic,
            "host": row.host,
            "availability_zone": row.zone,
            "admin_state_up": not row.disabled,
            "alive": heartbeat.is_up(row, self._room.clock.now(), down),
            "created_at": _moment(row.created_at),
            "started_at": _moment(row.created_at),
            "heartbeat_timestamp": _moment(row.seen_at),
            "description": row.disabled_reason,
            "resources_synced": None,
            "configurations": {"driver": type(self._manager.driver).__name__},
        }


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": UPDATED, "links": []}


def _matches(shown: dict[str, Any], name: str, value: str) -> bool:
    return name in shown and str(shown[name]).lower() == value.lower()


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _ip_version(value: str) -> int:
    if value not in ("4", "6"):
        raise bad(f"Invalid input for ip_version. Reason: '{checks.short(value)}' is neither 4 nor 6.")
    return int(value)


def _availability(tx: Tx, network: Network, versions: Sequence[int]) -> dict[str, Any]:
    given = db.addresses_per_subnet(tx, network.id)
    subnets = [
        {
            "subnet_id": subnet.id,
            "subnet_name": subnet.name,
            "cidr": subnet.cidr,
            "ip_version": subnet.ip_version,
            "total_ips": ipam.size(subnet.pools),
            "used_ips": given.get(subnet.id, 0),
        }
        for subnet in tx.find(Subnet, network_id=network.id, order=(("id", True),))
        if not versions or subnet.ip_version in versions
    ]
    return {
        "network_id": network.id,
        "network_name": network.name,
        "project_id": network.project_id,
        "tenant_id": network.project_id,
        "total_ips": sum(subnet["total_ips"] for subnet in subnets),
        "used_ips": sum(subnet["used_ips"] for subnet in subnets),
        "subnet_ip_availability": subnets,
    }
