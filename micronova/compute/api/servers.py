"""Servers on the wire: list, show, create, update, delete. What one looks like is in show.py."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.compute import inputs
from micronova.compute.api import create as api_create
from micronova.compute.api.create import CreateIn, DiskConfig, read_create, refuse_unknown
from micronova.compute.base import PREFIX
from micronova.compute.db import Server, ServerLine
from micronova.compute.inputs import Name, Text
from micronova.compute.manager import ComputeManager, Wanted
from micronova.compute.query import read_query
from micronova.compute.show import Fragments, Show, Sight
from micronova.http import Answer, Request, Route, encode
from micronova.microversion import Version

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


class UpdateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `server` of an update."""

    name: Name | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
    accessIPv4: str | UnsetType = UNSET
    accessIPv6: str | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    hostname: str | UnsetType = UNSET


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    server: UpdateIn


UPDATE_SINCE: dict[str, Version] = {"description": (2, 19), "hostname": (2, 90)}


class ServerApi:
    """The handlers."""

    def __init__(self, compute: ComputeManager, most: int) -> None:
        self._compute = compute
        self._most = most
        self._fragments = Fragments()

    # -- reading

    async def index(self, request: Request) -> Any:
        """The short list: ids and names."""
        query = read_query(request, self._most, self._allows(request))
        servers, more = await self._compute.find(request.ctx, query)
        show = Show(request, Sight())
        return {"servers": [show.short(server) for server in servers], **_next(request, "", servers, more)}

    async def detail(self, request: Request) -> Any:
        """The long list, put together from rows rendered before where they are still the same."""
        query = read_query(request, self._most, self._allows(request))
        sight = self._sight(request)
        show = Show(request, sight)
        ready: dict[str, bytes] = {}

        def known(id: str, revision: int) -> bool:
            found = self._fragments.get(show.shape, id, revision)
            if found is not None:
                ready[id] = found
            return found is not None

        page = await self._compute.page(request.ctx, query, wanted(request, sight), known)
        parts = []
        for line in page.lines:
            fixed = ready.get(line.id) or self._fragments.put(show, page.rows[line.id])
            parts.append(b"%b,%b" % (fixed, encode(show.moving(line, page.beside))[1:]))
        rest = encode(_next(request, "/detail", page.lines, page.more))
        body = b'{"servers":[%b]%b' % (b",".join(parts), b"," + rest[1:] if page.more else b"}")
        return Answer(body=body)

    async def show(self, request: Request) -> Any:
        """One server."""
        sight = self._sight(request)
        show = Show(request, sight)
        server, beside = await self._compute.show(request.ctx, request.path["id"], wanted(request, sight, groups=True))
        fixed = self._fragments.get(show.shape, server.id, server.revision) or self._fragments.put(show, server)
        moving = encode(show.moving(server, beside, groups=True))
        return Answer(body=b'{"server":%b,%b}' % (fixed, moving[1:]))

    # -- changing

    async def create(self, request: Request) -> Any:
        """POST /servers: 202, or the reservation's id when that was asked for."""
        body = await request.body(CreateIn)
        asked = read_create(body, request.version)
        servers = await self._compute.create(request.ctx, asked)
        if inputs.flag(body.server.return_reservation_id, "return_reservation_id"):
            return Answer(status=202, body={"reservation_id": servers[0].reservation_id})
        first = servers[0]
        links = Show(request, Sight()).links(first.id)
        groups = body.server.security_groups
        shown = {
            "id": first.id,
            "links": links,
            "OS-DCF:diskConfig": first.disk_config,
            "security_groups": [{"name": "default"}] if groups is UNSET else [{"name": one.name} for one in groups],
            "adminPass": body.server.adminPass or self.password(),
        }
        return Answer(status=202, body={"server": shown}, headers={"Location": links[0]["href"]})

    def password(self) -> str:
        """A password nobody has heard of."""
        return "".join(LETTERS[byte % len(LETTERS)] for byte in self._compute.clock.secret(12))

    async def update(self, request: Request) -> Any:
        """PUT /servers/{id}."""
        said = (await request.body(_Update)).server
        refuse_unknown(said, request.version, UPDATE_SINCE, "server")
        fields = update_fields(said, request.version)
        server = await self._compute.update(request.ctx, request.path["id"], fields)
        return {"server": await self.shown_after(request, server)}

    async def shown_after(self, request: Request, server: Server) -> dict[str, Any]:
        """A server as updates and rebuilds answer: plain before 2.75, in full from then on."""
        sight = self._sight(request)
        show = Show(request, sight)
        beside = await self._compute.beside(request.ctx, server, wanted(request, sight, groups=True))
        if request.version >= (2, 75):
            return show.full(server, beside, groups=True)
        shown = show.plain(server, beside)
        if request.version >= (2, 71):
            shown["server_groups"] = list(beside.groups.get(server.id, ()))
        return shown

    async def delete(self, request: Request) -> Any:
        await self._compute.delete(request.ctx, request.path["id"])
        return Answer(status=204)

    # -- what the caller may see

    def _allows(self, request: Request) -> Any:
        return lambda rule: self._compute.allows(request.ctx, rule)

    def _sight(self, request: Request) -> Sight:
        allows = self._compute.allows
        ctx, version = request.ctx, request.version
        return Sight(
            extended=allows(ctx, "os-extended-server-attributes"),
            host_status=version >= (2, 16) and allows(ctx, "servers:show:host_status"),
            extra_specs=version >= (2, 47) and allows(ctx, "servers:show:flavor-extra-specs"),
            details=ctx.is_admin,
        )


def routes(api: ServerApi) -> list[Route]:
    """The routes of servers."""
    return [
        Route("GET", "/v2.1/servers", api.index, f"{PREFIX}servers:index"),
        Route("POST", "/v2.1/servers", api.create, f"{PREFIX}servers:create"),
        Route("GET", "/v2.1/servers/detail", api.detail, f"{PREFIX}servers:detail"),
        Route("GET", "/v2.1/servers/{id}", api.show),
        Route("PUT", "/v2.1/servers/{id}", api.update),
        Route("DELETE", "/v2.1/servers/{id}", api.delete),
    ]


def wanted(request: Request, sight: Sight, *, groups: bool = False) -> Wanted:
    """What has to be read besides the rows, for this microversion and caller."""
    return Wanted(
        user_data=sight.extended and request.version >= (2, 3),
        host_status=sight.host_status,
        groups=groups and request.version >= (2, 71),
    )


def update_fields(said: UpdateIn, version: Version) -> dict[str, Any]:
    """An update as fields of the row. Raises BadRequest for a wrong one."""
    fields: dict[str, Any] = {}
    if said.name is not UNSET:
        fields["name"] = said.name
    if said.description is not UNSET:
        fields["description"] = said.description
    if said.disk_config is not UNSET:
        fields["disk_config"] = said.disk_config
    if said.accessIPv4 is not UNSET:
        fields["access_ip_v4"] = api_create.check_ip(said.accessIPv4, 4, "accessIPv4")
    if said.accessIPv6 is not UNSET:
        fields["access_ip_v6"] = api_create.check_ip(said.accessIPv6, 6, "accessIPv6")
    if said.hostname is not UNSET:
        fields["hostname"] = api_create.check_hostname(said.hostname, version)
    return fields


def _next(request: Request, path: str, servers: Sequence[Server | ServerLine], more: bool) -> dict[str, Any]:
    return {"servers_links": inputs.next_link(request, "/v2.1/servers" + path, servers[-1].id)} if more else {}
