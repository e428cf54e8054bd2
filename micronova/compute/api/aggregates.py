"""Host aggregates on the wire (os-aggregates).

{"aggregate": {"id": 1, "uuid": "…", "name": "fast", "availability_zone": "east", "hosts": ["h1"],
               "metadata": {"availability_zone": "east"}, "created_at": "…", "updated_at": null,
               "deleted": false, "deleted_at": null}}
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from micronova.compute import inputs
from micronova.compute.inputs import HostName, Name
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.scheduler.aggregates import Aggregates
from micronova.scheduler.db import Aggregate

_RULE = "os_compute_api:os-aggregates:"
_Zone = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A(?!\s)[^:\x00-\x1f\x7f]*(?<!\s)\Z")]
_Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9\-_:. ]+\Z")]


class _New(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    availability_zone: _Zone | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    aggregate: _New


class _Changes(msgspec.Struct, forbid_unknown_fields=True):
    name: Name | None = None
    availability_zone: _Zone | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    aggregate: _Changes


class _Host(msgspec.Struct, forbid_unknown_fields=True):
    host: HostName


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    metadata: dict[_Key, Annotated[str, Meta(max_length=255)] | None]


class AggregateApi:
    """The handlers."""

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates

    async def list(self, request: Request) -> Any:
        rows = await self._aggregates.list(request.ctx)
        return {"aggregates": [show_aggregate(request, row) for row in rows]}

    async def show(self, request: Request) -> Any:
        return {"aggregate": show_aggregate(request, await self._aggregates.get(request.ctx, _id(request)))}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).aggregate
        row = await self._aggregates.create(request.ctx, said.name, said.availability_zone)
        shown = show_aggregate(request, row)
        return {"aggregate": {name: shown[name] for name in shown if name not in ("hosts", "metadata")}}

    async def update(self, request: Request) -> Any:
        id, said = _id(request), (await request.body(_Update)).aggregate
        if said.name is None and said.availability_zone is None:
            raise BadRequest("Invalid input for field/attribute aggregate. A name or availability_zone is needed.")
        row = await self._aggregates.update(request.ctx, id, name=said.name, zone=said.availability_zone)
        return {"aggregate": show_aggregate(request, row)}

    async def delete(self, request: Request) -> Any:
        await self._aggregates.delete(request.ctx, _id(request))
        return Answer(status=200)

    async def action(self, request: Request) -> Any:
        id, body = _id(request), await request.body(dict[str, Any])
        name = inputs.one_action(body, ("add_host", "remove_host", "set_metadata"))
        request.policy.require(request.ctx, f"{_RULE}{name}")
        try:
            row = await self._act(request, id, name, body[name])
        except msgspec.ValidationError as err:
            raise BadRequest(f"Invalid input for {name}: {err}") from err
        return {"aggregate": show_aggregate(request, row)}

    async def _act(self, request: Request, id: int, name: str, said: Any) -> Aggregate:
        if name == "set_metadata":
            return await self._aggregates.set_metadata(request.ctx, id, msgspec.convert(said, _Metadata).metadata)
        host = msgspec.convert(said, _Host).host
        if name == "add_host":
            return await self._aggregates.add_host(request.ctx, id, host)
        return await self._aggregates.remove_host(request.ctx, id, host)


def routes(aggregates: Aggregates) -> list[Route]:
    """The routes of aggregates."""
    api, base = AggregateApi(aggregates), "/v2.1/os-aggregates"
    return [
        Route("GET", base, api.list, f"{_RULE}index"),
        Route("POST", base, api.create, f"{_RULE}create"),
        Route("GET", f"{base}/{{id}}", api.show, f"{_RULE}show"),
        Route("PUT", f"{base}/{{id}}", api.update, f"{_RULE}update"),
        Route("DELETE", f"{base}/{{id}}", api.delete, f"{_RULE}delete"),
        Route("POST", f"{base}/{{id}}/action", api.action),
    ]


def show_aggregate(request: Request, row: Aggregate) -> dict[str, Any]:
    """An aggregate with its facts."""
    shown = {
        "id": row.id,
        "name": row.name,
        "availability_zone": row.zone or None,
        "hosts": list(row.hosts),
        "metadata": row.metadata,
        "created_at": inputs.bare(row.created_at),
        "updated_at": inputs.bare(row.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    if request.version >= (2, 41):
        shown["uuid"] = row.uuid
    return shown


def _id(request: Request) -> int:
    text = request.path["id"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequest(f"Invalid aggregate id {text}: it must be a number.")
    return int(text)
