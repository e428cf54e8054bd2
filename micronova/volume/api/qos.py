"""QoS specs on the wire.

{"qos_specs": {"id": "…", "name": "slow", "consumer": "front-end", "specs": {"total_iops_sec": "100"}}}
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import both
from micronova.volume.db import QosSpec
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
CONSUMERS = ("front-end", "back-end", "both")
_Said = dict[str, str | int | float | bool | None]
_RULE = "volume_extension:qos_specs_manage"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    qos_specs: _Said


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: Annotated[list[str], Meta(min_length=1)]


class QosApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager) -> None:
        self._qos = volume.qos

    async def list(self, request: Request) -> Any:
        return {"qos_specs": [show_qos(row) for row in await self._qos.find(request.ctx)]}

    async def create(self, request: Request) -> Any:
        said = dict((await request.body(_Body)).qos_specs)
        name = said.pop("name", None)
        if not isinstance(name, str) or not name.strip() or len(name) > 255:
            raise BadRequest("Invalid input for field/attribute name. A name of 1 to 255 letters is required.")
        consumer = _consumer(said) or "back-end"
        row = await self._qos.create(request.ctx, name.strip(), consumer, _texts(said))
        return self._one(request, row)

    async def show(self, request: Request) -> Any:
        return self._one(request, await self._qos.get(request.ctx, request.path["id"]))

    def _one(self, request: Request, row: QosSpec) -> dict[str, Any]:
        return {"qos_specs": show_qos(row), "links": inputs.links(request, f"/qos-specs/{row.id}")}

    async def update(self, request: Request) -> Any:
        said = dict((await request.body(_Body)).qos_specs)
        consumer = _consumer(said)
        specs = _texts(said)
        await self._qos.set(request.ctx, request.path["id"], specs, consumer)
        return {"qos_specs": {**specs, **({"consumer": consumer} if consumer else {})}}

    async def unset(self, request: Request) -> Any:
        await self._qos.unset(request.ctx, request.path["id"], (await request.body(_Keys)).keys)
        return ACCEPTED

    async def delete(self, request: Request) -> Any:
        await self._qos.delete(request.ctx, request.path["id"], force=inputs.query_flag(request, "force"))
        return ACCEPTED

    async def associations(self, request: Request) -> Any:
        rows = await self._qos.users(request.ctx, request.path["id"])
        shown = [{"association_type": "volume_type", "name": row.name, "id": row.id} for row in rows]
        return {"qos_associations": shown}

    async def associate(self, request: Request) -> Any:
        await self._qos.associate(request.ctx, request.path["id"], _type(request))
        return ACCEPTED

    async def disassociate(self, request: Request) -> Any:
        await self._qos.disassociate(request.ctx, request.path["id"], _type(request))
        return ACCEPTED

    async def disassociate_all(self, request: Request) -> Any:
        await self._qos.disassociate(request.ctx, request.path["id"], None)
        return ACCEPTED


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of QoS specs."""
    api, one = QosApi(volume), "/qos-specs/{id}"
    return [
        *both("GET", "/qos-specs", api.list, f"{_RULE}:get_all"),
        *both("POST", "/qos-specs", api.create, f"{_RULE}:create"),
        *both("GET", one, api.show, f"{_RULE}:get"),
        *both("PUT", one, api.update, f"{_RULE}:update"),
        *both("DELETE", one, api.delete, f"{_RULE}:delete"),
        *both("PUT", f"{one}/delete_keys", api.unset, f"{_RULE}:delete"),
        *both("GET", f"{one}/associations", api.associations, f"{_RULE}:get_all"),
        *both("GET", f"{one}/associate", api.associate, f"{_RULE}:update"),
        *both("GET", f"{one}/disassociate", api.disassociate, f"{_RULE}:update"),
        *both("GET", f"{one}/disassociate_all", api.disassociate_all, f"{_RULE}:update"),
    ]


def show_qos(row: QosSpec) -> dict[str, Any]:
    """A QoS spec."""
    return {"id": row.id, "name": row.name, "consumer": row.consumer, "specs": row.specs}


def _type(request: Request) -> str:
    found = request.get("vol_type_id")
    if not found:
        raise BadRequest("Volume Type id must not be None.")
    return found


def _consumer(said: _Said) -> str | None:
    consumer = said.pop("consumer", None)
    if consumer is not None and consumer not in CONSUMERS:
        raise BadRequest(f"Valid consumer of QoS specs are: {', '.join(CONSUMERS)}")
    return None if consumer is None else str(consumer)


def _texts(said: _Said) -> dict[str, str]:
    return {key: str(value) for key, value in said.items() if value is not None}
