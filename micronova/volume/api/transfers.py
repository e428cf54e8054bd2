"""Transfers on the wire: the old path (os-volume-transfer) and the new one (volume-transfers, 3.55 and later).

{"transfer": {"id": "…", "volume_id": "…", "name": "gift", "auth_key": "…only once", "created_at": "…", "links": []}}
"""

from typing import Any

import msgspec

from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Filters, Name, both
from micronova.volume.db import Transfer
from micronova.volume.manager import VolumeManager
from micronova.volume.transfers import NewTransfer

OLD, NEW = "/os-volume-transfer", "/volume-transfers"
COLUMNS = {"name": "name", "volume_id": "volume_id", "id": "id", "project_id": "project_id"}
SORT = {"id": "id", "name": "name", "display_name": "name", "created_at": "created_at", "volume_id": "volume_id"}


class _New(msgspec.Struct, kw_only=True):
    volume_id: str
    name: Name | None = None
    no_snapshots: bool | str = False


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    transfer: _New


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    auth_key: str


class _Accept(msgspec.Struct, forbid_unknown_fields=True):
    accept: _Key


class TransferApi:
    """The handlers, for one of the two paths."""

    def __init__(self, volume: VolumeManager, most: int, path: str) -> None:
        self._volume = volume
        self._path = path
        self._filters = Filters(columns=COLUMNS, sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).transfer
        asked = NewTransfer(
            volume_id=said.volume_id,
            name=inputs.stripped(said.name),
            no_snapshots=request.version >= (3, 55) and inputs.flag(said.no_snapshots, "no_snapshots"),
            encrypted=request.version >= (3, 70),
        )
        row, key = await self._volume.offer(request.ctx, asked)
        return Answer(status=202, body={"transfer": {**self._detail(request, row), "auth_key": key}})

    async def list(self, request: Request) -> Any:
        page = await self._volume.find_transfers(request.ctx, inputs.query(request, self._filters))
        return {"transfers": [self._brief(request, row) for row in page.rows]}

    async def detail(self, request: Request) -> Any:
        page = await self._volume.find_transfers(request.ctx, inputs.query(request, self._filters))
        return {"transfers": [self._detail(request, row) for row in page.rows]}

    async def show(self, request: Request) -> Any:
        row = await self._volume.get_transfer(request.ctx, request.path["id"])
        return {"transfer": self._detail(request, row)}

    async def accept(self, request: Request) -> Any:
        key = (await request.body(_Accept)).accept.auth_key
        row = await self._volume.accept(request.ctx, request.path["id"], key)
        return Answer(status=202, body={"transfer": self._brief(request, row)})

    async def delete(self, request: Request) -> Any:
        await self._volume.withdraw(request.ctx, request.path["id"])
        return Answer(status=202)

    def _brief(self, request: Request, row: Transfer) -> dict[str, Any]:
        links = inputs.links(request, f"{self._path}/{row.id}")
        return {"id": row.id, "volume_id": row.volume_id, "name": row.name, "links": links}

    def _detail(self, request: Request, row: Transfer) -> dict[str, Any]:
        shown = {**self._brief(request, row), "created_at": inputs.bare(row.created_at)}
        if request.version >= (3, 55):
            shown["no_snapshots"] = row.no_snapshots
        if request.version >= (3, 57):
            shown["destination_project_id"] = row.destination_project_id
            shown["source_project_id"] = row.project_id
            shown["accepted"] = row.accepted
        return shown


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of transfers, on both paths."""
    found: list[Route] = []
    for path, since in ((OLD, (0, 0)), (NEW, (3, 55))):
        api, one = TransferApi(volume, most, path), path + "/{id}"
        found += [
            *both("POST", path, api.create, since=since),
            *both("GET", path, api.list, "volume:get_all_transfers", since=since),
            *both("GET", f"{path}/detail", api.detail, "volume:get_all_transfers", since=since),
            *both("GET", one, api.show, since=since),
            *both("DELETE", one, api.delete, since=since),
            *both("POST", f"{one}/accept", api.accept, since=since),
        ]
    return found
