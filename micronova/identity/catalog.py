"""The catalog: regions, services and where their endpoints are."""

from functools import cached_property
from typing import Any

from msgspec import UNSET

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Conflict, Forbidden
from micronova.identity import db
from micronova.identity.base import IdentityBase
from micronova.identity.db import CatalogService, Endpoint, Region
from micronova.identity.requests import EndpointBody, RegionBody, ServiceBody, given, need

Listing = tuple[tuple[CatalogService, tuple[Endpoint, ...]], ...]


class Catalog(IdentityBase):
    """Regions, services, endpoints."""

    @cached_property
    def _listing(self) -> dict[int, Listing]:
        """The catalog as it was at one identity epoch."""
        return {}

    async def listing(self, epoch: int) -> Listing:
        """Enabled services with their enabled endpoints, by type; read again only when identity has changed.

        `epoch` is that of the session that asks.
        """
        if epoch not in self._listing:
            found = await self.db.read(_listing)
            self._listing.clear()
            self._listing[epoch] = found
        return self._listing[epoch]

    # -- services

    async def create_service(self, ctx: Context, body: ServiceBody, extra: dict[str, Any]) -> CatalogService:
        """A new service of some type."""
        need(body.type, "type", "service")
        fields = given(body, "type", "name", "description", "enabled")

        def record(tx: Tx) -> CatalogService:
            db.advance(tx)
            return tx.insert(CatalogService(id=self.new_id(), extra=extra, **fields))

        return await self.db.write(record, ctx, why="created by request")

    async def update_service(self, ctx: Context, id: str, body: ServiceBody, extra: dict[str, Any]) -> CatalogService:
        """Change what the request carries."""

        def record(tx: Tx) -> CatalogService:
            row = db.get(tx, CatalogService, id)
            db.advance(tx)
            changes = given(body, "type", "name", "description", "enabled")
            return tx.change(row, extra={**row.extra, **extra}, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_service(self, ctx: Context, id: str) -> None:
        """Remove a service and its endpoints."""

        def record(tx: Tx) -> None:
            row = db.get(tx, CatalogService, id)
            for endpoint in tx.find(Endpoint, service_id=id):
                tx.delete(endpoint)
            tx.delete(row)
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- endpoints

    async def create_endpoint(self, ctx: Context, body: EndpointBody, extra: dict[str, Any]) -> Endpoint:
        """A new endpoint. Raises BadRequest when its service or region does not exist."""
        for field in ("service_id", "interface", "url"):
            need(getattr(body, field), field, "endpoint")
        fields = given(body, "service_id", "interface", "url", "enabled")

        def record(tx: Tx) -> Endpoint:
            region_id = _place(tx, body) or None
            db.advance(tx)
            return tx.insert(Endpoint(id=self.new_id(), region_id=region_id, extra=extra, **fields))

        return await self.db.write(record, ctx, why="created by request")

    async def update_endpoint(self, ctx: Context, id: str, body: EndpointBody, extra: dict[str, Any]) -> Endpoint:
        """Change what the request carries. Raises BadRequest when its service or region does not exist."""

        def record(tx: Tx) -> Endpoint:
            row = db.get(tx, Endpoint, id)
            changes = given(body, "service_id", "interface", "url", "enabled")
            region_id = _place(tx, body)
            if region_id is not UNSET:
                changes["region_id"] = region_id
            db.advance(tx)
            return tx.change(row, extra={**row.extra, **extra}, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_endpoint(self, ctx: Context, id: str) -> None:
        """Remove an endpoint."""

        def record(tx: Tx) -> None:
            tx.delete(db.get(tx, Endpoint, id))
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- regions

    async def create_region(self, ctx: Context, body: RegionBody, extra: dict[str, Any], id: str = "") -> Region:
        """A new region with the id asked for, or one of ours. Raises Conflict when the id is taken."""
        asked = body.id or ""
        if id and asked and id != asked:
            raise BadRequest(f'Conflicting region IDs specified: "{id}" in URL != "{asked}" in body.')
        id = id or asked or self.new_id()

        def record(tx: Tx) -> Region:
            if tx.first(Region, id=id) is not None:
                raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id}.", id=id)
            parent = body.parent_region_id or None
            if parent is not None:
                db.get(tx, Region, parent)
            return tx.insert(Region(id=id, parent_region_id=parent, description=body.description or "", extra=extra))

        return await self.db.write(record, ctx, why="created by request")

    async def update_region(self, ctx: Context, id: str, body: RegionBody, extra: dict[str, Any]) -> Region:
        """Change what the request carries. Raises BadRequest for a region below itself."""

        def record(tx: Tx) -> Region:
            row = db.get(tx, Region, id)
            changes = given(body, "description", "parent_region_id")
            if "description" in changes:
                changes["description"] = changes["description"] or ""
            parent = changes.get("parent_region_id")
            while parent:
                if parent == id:
                    raise BadRequest(
                        f"The specified parent region {body.parent_region_id} would create a circular region hierarchy."
                    )
                parent = db.get(tx, Region, parent).parent_region_id
            return tx.change(row, extra={**row.extra, **extra}, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_region(self, ctx: Context, id: str) -> None:
        """Remove a region and those below. Raises Forbidden while one of them has endpoints."""

        def record(tx: Tx) -> None:
            tree = [db.get(tx, Region, id)]
            for row in tree:
                tree += tx.find(Region, parent_region_id=row.id)
            if tx.count(Endpoint, region_id=[row.id for row in tree]):
                raise Forbidden(
                    f"Unable to delete region {id} because it or its child regions have associated endpoints."
                )
            for row in reversed(tree):
                tx.delete(row)

        await self.db.write(record, ctx, why="deleted by request")


def _listing(tx: Tx) -> Listing:
    endpoints: dict[str, list[Endpoint]] = {}
    for endpoint in tx.find(Endpoint, enabled=True, order=(("interface", True), ("id", True))):
        endpoints.setdefault(endpoint.service_id, []).append(endpoint)
    services = tx.find(CatalogService, enabled=True, order=(("type", True), ("id", True)))
    return tuple((service, tuple(endpoints.get(service.id, ()))) for service in services)


def _place(tx: Tx, body: EndpointBody) -> Any:
    """The region of an endpoint, UNSET when the request has none. Raises BadRequest for what does not exist.

    `region` is what `region_id` was called before; a region named that way is made when there is none.
    """
    if body.service_id is not UNSET and tx.first(CatalogService, id=body.service_id) is None:
        raise BadRequest(f"Could not find service: {body.service_id}.")
    if body.region_id is UNSET:
        if body.region and tx.first(Region, id=body.region) is None:
            tx.insert(Region(id=body.region))
        return body.region
    if body.region_id and tx.first(Region, id=body.region_id) is None:
        raise BadRequest(f"Could not find region: {body.region_id}.")
    return body.region_id
