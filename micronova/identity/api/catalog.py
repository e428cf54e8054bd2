"""/v3/services, /v3/endpoints, /v3/regions.

{"service": {"id", "type", "name", "description", "enabled", "links"}}
{"endpoint": {"id", "service_id", "region", "region_id", "interface", "url", "enabled", "links"}}
{"region": {"id", "description", "parent_region_id", "links"}}
"""

from collections.abc import Sequence
from functools import partial

from micronova.http import Answer, Request, Route
from micronova.identity.db import CatalogService, Endpoint, Region
from micronova.identity.part import Part
from micronova.identity.requests import EndpointBody, RegionBody, ServiceBody, resource, update
from micronova.identity.shows import Shown, flags, pages, show_endpoint, show_region, show_service, texts


class CatalogApi(Part):
    """Handlers of the catalog."""

    def routes(self) -> Sequence[Route]:
        service, endpoint, region = (
            "/v3/services/{service_id}",
            "/v3/endpoints/{endpoint_id}",
            "/v3/regions/{region_id}",
        )
        return (
            Route("GET", "/v3/services", self.list_services, policy="identity:list_services"),
            Route("POST", "/v3/services", self.create_service, policy="identity:create_service"),
            Route("GET", service, self.show_service, policy="identity:get_service"),
            Route("PATCH", service, self.update_service, policy="identity:update_service"),
            Route("DELETE", service, self.delete_service, policy="identity:delete_service"),
            Route("GET", "/v3/endpoints", self.list_endpoints, policy="identity:list_endpoints"),
            Route("POST", "/v3/endpoints", self.create_endpoint, policy="identity:create_endpoint"),
            Route("GET", endpoint, self.show_endpoint, policy="identity:get_endpoint"),
            Route("PATCH", endpoint, self.update_endpoint, policy="identity:update_endpoint"),
            Route("DELETE", endpoint, self.delete_endpoint, policy="identity:delete_endpoint"),
            Route("GET", "/v3/regions", self.list_regions, policy="identity:list_regions"),
            Route("POST", "/v3/regions", self.create_region, policy="identity:create_region"),
            Route("PUT", region, self.create_region, policy="identity:create_region"),
            Route("GET", region, self.show_region, policy="identity:get_region"),
            Route("PATCH", region, self.update_region, policy="identity:update_region"),
            Route("DELETE", region, self.delete_region, policy="identity:delete_region"),
        )

    # -- services

    async def list_services(self, request: Request) -> Shown:
        where = {**texts(request, "name", "type"), **flags(request, "enabled")}
        fetch = partial(self.manager.rows, CatalogService, where, order="type")
        return await pages(request, "services", fetch, show_service, self.most)

    async def create_service(self, request: Request) -> Answer:
        body, extra = await resource(request, "service", ServiceBody)
        row = await self.manager.create_service(request.ctx, body, extra)
        return Answer(status=201, body={"service": show_service(request, row)})

    async def show_service(self, request: Request) -> Shown:
        row = await self.manager.show(CatalogService, request.path["service_id"])
        return {"service": show_service(request, row)}

    async def update_service(self, request: Request) -> Shown:
        id = request.path["service_id"]
        body, extra = await update(request, "service", ServiceBody, id)
        row = await self.manager.update_service(request.ctx, id, body, extra)
        return {"service": show_service(request, row)}

    async def delete_service(self, request: Request) -> Answer:
        await self.manager.delete_service(request.ctx, request.path["service_id"])
        return Answer(status=204)

    # -- endpoints

    async def list_endpoints(self, request: Request) -> Shown:
        where = {
            **texts(request, "interface", "service_id", "region_id"),
            **flags(request, "enabled"),
        }
        fetch = partial(self.manager.rows, Endpoint, where, order="id")
        return await pages(request, "endpoints", fetch, show_endpoint, self.most)

    async def create_endpoint(self, request: Request) -> Answer:
        body, extra = await resource(request, "endpoint", EndpointBody)
        row = await self.manager.create_endpoint(request.ctx, body, extra)
        return Answer(status=201, body={"endpoint": show_endpoint(request, row)})

    async def show_endpoint(self, request: Request) -> Shown:
        row = await self.manager.show(Endpoint, request.path["endpoint_id"])
        return {"endpoint": show_endpoint(request, row)}

    async def update_endpoint(self, request: Request) -> Shown:
        id = request.path["endpoint_id"]
        body, extra = await update(request, "endpoint", EndpointBody, id)
        row = await self.manager.update_endpoint(request.ctx, id, body, extra)
        return {"endpoint": show_endpoint(request, row)}

    async def delete_endpoint(self, request: Request) -> Answer:
        await self.manager.delete_endpoint(request.ctx, request.path["endpoint_id"])
        return Answer(status=204)

    # -- regions

    async def list_regions(self, request: Request) -> Shown:
        where = texts(request, "parent_region_id")
        fetch = partial(self.manager.rows, Region, where, order="id")
        return await pages(request, "regions", fetch, show_region, self.most)

    async def create_region(self, request: Request) -> Answer:
        body, extra = await resource(request, "region", RegionBody)
        row = await self.manager.create_region(request.ctx, body, extra, request.path.get("region_id", ""))
        return Answer(status=201, body={"region": show_region(request, row)})

    async def show_region(self, request: Request) -> Shown:
        return {"region": show_region(request, await self.manager.show(Region, request.path["region_id"]))}

    async def update_region(self, request: Request) -> Shown:
        id = request.path["region_id"]
        body, extra = await update(request, "region", RegionBody, id)
        return {"region": show_region(request, await self.manager.update_region(request.ctx, id, body, extra))}

    async def delete_region(self, request: Request) -> Answer:
        await self.manager.delete_region(request.ctx, request.path["region_id"])
        return Answer(status=204)
