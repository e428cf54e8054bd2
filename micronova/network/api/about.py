"""What the network API says of itself: versions, extensions, zones, service providers, free addresses."""

from collections.abc import Sequence
from typing import Any

import msgspec

from micronova.db import Tx
from micronova.http import Request, Route
from micronova.network import checks, db, ipam, listing, reading, zones
from micronova.network.attributes import Resource
from micronova.network.db import Network, Subnet
from micronova.network.extensions import EXTENSIONS, UPDATED
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad, invalid, missing


def routes(manager: NetworkManager, resources: Sequence[Resource]) -> list[Route]:
    """The routes that tell about the API and the cloud."""
    about = About(manager, resources)
    root = reading.ROOT
    return [
        Route("GET", "", about.versions, public=True),
        Route("GET", root, about.version, public=True),
        Route("GET", f"{root}/extensions", about.extensions),
        Route("GET", f"{root}/extensions/{{id}}", about.extension),
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
                if not resource.inside
            ]
        }

    async def extensions(self, request: Request) -> Any:
        return {"extensions": [_extension(alias) for alias in EXTENSIONS]}

    async def extension(self, request: Request) -> Any:
        alias = request.path["id"]
        if alias not in EXTENSIONS:
            raise missing("extension", checks.short(alias))
        return {"extension": _extension(alias)}

    async def zones(self, request: Request) -> Any:
        filters = [(name, value) for name, value in request.query() if name not in listing.RESERVED]
        unknown = [name for name, _ in filters if name not in zones.Zone.__struct_fields__]
        if unknown:
            raise invalid(f"['{checks.short(unknown[0])}'] is invalid attribute for filtering")
        found = await self._room.db.read(lambda tx: zones.all_zones(tx, self._room.zone))
        wanted, fields = _by_name(filters), listing.fields(request)
        return {
            "availability_zones": [
                {name: value for name, value in msgspec.structs.asdict(zone).items() if not fields or name in fields}
                for zone in found
                if all(getattr(zone, name) in values for name, values in wanted.items())
            ]
        }

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


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": UPDATED, "links": []}


def _by_name(pairs: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        found.setdefault(name, set()).add(value)
    return found


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
