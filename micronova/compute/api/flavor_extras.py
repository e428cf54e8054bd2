"""Extra specs of flavors and who may use private ones, on the wire.

{"extra_specs": {"hw:cpu_policy": "shared"}}
{"flavor_access": [{"flavor_id": "1", "tenant_id": "…"}]}
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from micronova.compute import inputs
from micronova.compute.db import Flavor
from micronova.compute.flavors import Flavors, spec_of
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route

_SPECS = "os_compute_api:os-flavor-extra-specs:"
_ACCESS = "os_compute_api:os-flavor-access"

_Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_:. ]+\Z")]
_Value = Annotated[str, Meta(max_length=255)] | int | float
_Pairs = dict[_Key, _Value]


class _Specs(msgspec.Struct, forbid_unknown_fields=True):
    extra_specs: _Pairs


class _Tenant(msgspec.Struct, forbid_unknown_fields=True):
    tenant: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9-]*\Z")]


class FlavorExtrasApi:
    """The handlers."""

    def __init__(self, flavors: Flavors) -> None:
        self._flavors = flavors

    async def specs(self, request: Request) -> Any:
        row = await self._flavors.get(request.ctx, request.path["id"])
        return {"extra_specs": row.extra_specs}

    async def set_specs(self, request: Request) -> Any:
        said = _texts((await request.body(_Specs)).extra_specs)
        await self._flavors.set_specs(request.ctx, request.path["id"], said)
        return {"extra_specs": said}

    async def spec(self, request: Request) -> Any:
        row = await self._flavors.get(request.ctx, request.path["id"])
        return {request.path["key"]: spec_of(row, request.path["key"])}

    async def set_spec(self, request: Request) -> Any:
        said = _texts(await request.body(_Pairs))
        if len(said) != 1:
            raise BadRequest("There must be exactly one extra spec in the request body.")
        if request.path["key"] not in said:
            raise BadRequest("Request body and URI mismatch")
        await self._flavors.set_specs(request.ctx, request.path["id"], said)
        return said

    async def unset_spec(self, request: Request) -> Any:
        await self._flavors.unset_spec(request.ctx, request.path["id"], request.path["key"])
        return Answer(status=200)

    async def access(self, request: Request) -> Any:
        return show_access(await self._flavors.access(request.ctx, request.path["id"]))

    async def action(self, request: Request) -> Any:
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("addTenantAccess", "removeTenantAccess"))
        try:
            project_id = msgspec.convert(body[name], _Tenant).tenant
        except msgspec.ValidationError as err:
            raise BadRequest(f"Invalid input for {name}: {err}") from err
        if name == "addTenantAccess":
            request.policy.require(request.ctx, f"{_ACCESS}:add_tenant_access")
            return show_access(await self._flavors.add_access(request.ctx, request.path["id"], project_id))
        request.policy.require(request.ctx, f"{_ACCESS}:remove_tenant_access")
        return show_access(await self._flavors.remove_access(request.ctx, request.path["id"], project_id))


def routes(flavors: Flavors) -> list[Route]:
    """The routes of extra specs and access."""
    api = FlavorExtrasApi(flavors)
    specs, one = "/v2.1/flavors/{id}/os-extra_specs", "/v2.1/flavors/{id}/os-extra_specs/{key}"
    return [
        Route("GET", specs, api.specs, f"{_SPECS}index"),
        Route("POST", specs, api.set_specs, f"{_SPECS}create"),
        Route("GET", one, api.spec, f"{_SPECS}show"),
        Route("PUT", one, api.set_spec, f"{_SPECS}update"),
        Route("DELETE", one, api.unset_spec, f"{_SPECS}delete"),
        Route("GET", "/v2.1/flavors/{id}/os-flavor-access", api.access, _ACCESS),
        Route("POST", "/v2.1/flavors/{id}/action", api.action),
    ]


def show_access(row: Flavor) -> dict[str, Any]:
    """The projects that may use a private flavor."""
    return {"flavor_access": [{"flavor_id": row.flavorid, "tenant_id": project} for project in row.access]}


def _texts(pairs: _Pairs) -> dict[str, str]:
    return {key: str(value) for key, value in pairs.items()}
