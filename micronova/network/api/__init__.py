"""The network API, /network/v2.0: one set of handlers for every collection, and the shape of its errors.

POST /v2.0/networks {"network": {"name": "net1"}}            -> 201 {"network": {…}}
POST /v2.0/networks {"networks": [{…}, {…}]}                 -> 201 {"networks": [{…}, {…}]}
GET  /v2.0/networks?name=net1&fields=id&limit=2              -> 200 {"networks": [{…}], "networks_links": […]}
PUT  /v2.0/networks/ID/tags {"tags": ["a"]}                  -> 200 {"tags": ["a"]}
error: {"NeutronError": {"type": "NetworkNotFound", "message": "Network … could not be found.", "detail": ""}}
"""

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from micronova import http
from micronova.errors import Error
from micronova.http import Answer, Api, Request, Route
from micronova.network import checks, listing, reading, wire
from micronova.network.api import about as api_about
from micronova.network.api import agents as api_agents
from micronova.network.api import qos as api_qos
from micronova.network.api import quotas as api_quotas
from micronova.network.api import routers as api_routers
from micronova.network.api import services as api_services
from micronova.network.api import topologies as api_topologies
from micronova.network.api import trunks as api_trunks
from micronova.network.attributes import Asked, for_create, for_update
from micronova.network.collection import Collection, Found
from micronova.network.manager import NetworkManager
from micronova.network.nested import Nested
from micronova.network.refusals import STATUSES, bad, refusal
from micronova.network.wire import address_groups as wire_address_groups
from micronova.network.wire import operators as wire_operators
from micronova.network.wire import qos as wire_qos
from micronova.network.wire import trunks as wire_trunks
from micronova.options import Options

PREFIX = "/network"
SHOW = {**wire.SHOW, **wire_operators.SHOW, **wire_qos.SHOW, **wire_trunks.SHOW, **wire_address_groups.SHOW}
GENERIC = {
    "BadRequest": "HTTPBadRequest",
    "NotFound": "HTTPNotFound",
    "Forbidden": "PolicyNotAuthorized",
    "Conflict": "HTTPConflict",
    "TooLarge": "HTTPRequestEntityTooLarge",
    "Unavailable": "HTTPServiceUnavailable",
    "Error": "HTTPInternalServerError",
}
"""What clients call errors that aren't the network's own."""


def api(manager: NetworkManager, options: Options) -> Api:
    """Every route of the network API."""
    collections: tuple[Collection[Any], ...] = (
        manager.networks,
        manager.subnets,
        manager.ports,
        manager.security_groups,
        manager.security_group_rules,
        manager.routers,
        manager.floating_ips,
        manager.port_forwardings,
        manager.trunks,
        manager.address_groups,
        manager.qos_policies,
        *manager.qos_rules,
        manager.address_scopes,
        manager.metering_labels,
        manager.metering_rules,
        manager.agents,
        manager.subnet_pools,
        manager.rbac_policies,
    )
    routes: list[Route] = []
    for collection in collections:
        routes += Handlers(collection, options.api.max_page).routes()
    routes += api_routers.routes(manager)
    routes += api_agents.routes(manager)
    routes += api_topologies.routes(manager)
    routes += api_quotas.routes(manager)
    routes += api_trunks.routes(manager)
    routes += api_services.routes(manager)
    routes += api_qos.routes(manager, manager.qos_rules)
    routes += api_about.routes(manager, [collection.resource for collection in collections])
    return Api(name="network", prefix=PREFIX, routes=routes, render=render, statuses=STATUSES)


def render(status: int, error: Error) -> tuple[str, bytes]:
    """An error as Neutron writes it; 401 as its token filter does."""
    if status == 401:
        body: Any = {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}
    else:
        name = error.facts.get("type") or GENERIC.get(error.type, error.type)
        body = {"NeutronError": {"type": name, "message": error.message, "detail": ""}}
    return http.JSON, http.encode(body)


class Handlers:
    """The handlers of one collection."""

    def __init__(self, collection: Collection[Any], max_page: int) -> None:
        self._collection = collection
        self._resource = collection.resource
        self._noun, self._plural = collection.resource.noun, collection.resource.plural
        self._show = SHOW[self._noun]
        self._lists = listing.Lists(collection.resource, collection.row)
        self._max_page = max_page
        self._part = "inner" if self._resource.inside else "id"  # `id` is the parent's then

    def routes(self) -> list[Route]:
        """Routes of the collection, of one resource, and of its tags where it has any."""
        many = f"{reading.ROOT}/{self._resource.path}"
        one = f"{many}/{{{self._part}}}"
        usual = [
            Route("GET", many, self.index),
            Route("POST", many, self.create),
            Route("GET", one, self.get),
            Route("PUT", one, self.update),
            Route("DELETE", one, self.delete),
        ]
        found = [route for route in usual if route.method in self._resource.verbs]
        if "tags" in self._resource.named():
            found += Tags(self._collection).routes(f"{one}/tags")
        return found

    async def index(self, request: Request) -> Any:
        hidden = self._hidden(request)
        page = listing.parse(self._lists, request, hidden, self._max_page)
        found = await self._of(request).find(request.ctx, page.search)
        body = {self._plural: self._shown(found, hidden, page.fields)[: page.most]}
        links = _links(request, page, body[self._plural], found.rows)
        return {**body, f"{self._plural}_links": links} if links else body

    async def create(self, request: Request) -> Answer:
        body = await reading.object_of(request)
        bulk = self._plural in body
        given = body.get(self._plural) if bulk else [body.get(self._noun)]
        if not (bulk or self._noun in body) or not isinstance(given, list):
            raise bad(f"Unable to find '{self._noun}' in request body")
        if not given:
            raise bad("Resources required")
        asked = [for_create(self._resource, _unwrapped(self._noun, one)) for one in given]
        shown = self._shown(await self._of(request).create(request.ctx, asked), self._hidden(request))
        return Answer(status=201, body={self._plural: shown} if bulk else {self._noun: shown[0]})

    async def get(self, request: Request) -> Any:
        found = await self._of(request).get(request.ctx, self._id(request))
        shown = self._shown(found, self._hidden(request), listing.fields(request))
        return {self._noun: shown[0]}

    async def update(self, request: Request) -> Any:
        id, revision = self._id(request), _revision(request)
        asked = await self._asked_update(request)
        found = await self._of(request).update(request.ctx, id, asked, revision)
        return {self._noun: self._shown(found, self._hidden(request))[0]}

    async def delete(self, request: Request) -> Answer:
        await self._of(request).delete(request.ctx, self._id(request), _revision(request))
        return Answer(status=204)

    async def _asked_update(self, request: Request) -> Asked:
        body = await reading.object_of(request)
        if self._noun not in body:
            raise bad(f"Unable to find '{self._noun}' in request body")
        return for_update(self._resource, body[self._noun])

    def _id(self, request: Request) -> str:
        return reading.id_of(request, self._noun, self._part)

    def _of(self, request: Request) -> Collection[Any]:
        """The collection that the path names: one inside of another resource is the parent's own."""
        if not isinstance(self._collection, Nested):
            return self._collection
        return self._collection.within(reading.id_of(request, self._resource.inside))

    def _hidden(self, request: Request) -> tuple[str, ...]:
        return wire.hidden_from(self._collection.room.policy, request.ctx, self._noun)

    def _shown(
        self, found: Found[Any], hidden: Sequence[str], fields: frozenset[str] = frozenset()
    ) -> list[dict[str, Any]]:
        room, show, parts = self._collection.room, self._show, found.parts
        shown = [show(room, row, parts.get(row.id, ())) for row in found.rows]
        for one in shown if hidden else ():
            for name in hidden:
                del one[name]
        if not fields:
            return shown
        return [{name: value for name, value in one.items() if name in fields} for one in shown]


class Tags:
    """The tags of one resource as a resource of their own."""

    def __init__(self, collection: Collection[Any]) -> None:
        self._collection = collection

    def routes(self, path: str) -> list[Route]:
        one = f"{path}/{{tag}}"
        return [
            Route("GET", path, self.index),
            Route("PUT", path, self.replace),
            Route("DELETE", path, self.clear),
            Route("GET", one, self.has),
            Route("PUT", one, self.add),
            Route("DELETE", one, self.remove),
        ]

    async def index(self, request: Request) -> Any:
        return {"tags": await self._tags(request)}

    async def replace(self, request: Request) -> Any:
        body = await reading.object_of(request)
        if set(body) != {"tags"}:
            raise bad("Invalid tags body")
        wanted = _tags(body["tags"])
        row = await self._change(request, lambda tags: wanted)
        return {"tags": row.tags}

    async def clear(self, request: Request) -> Answer:
        await self._change(request, lambda tags: ())
        return Answer(status=204)

    async def has(self, request: Request) -> Answer:
        if request.path["tag"] not in await self._tags(request):
            raise _no_tag(request)
        return Answer(status=204)

    async def add(self, request: Request) -> Answer:
        await self._change(request, lambda tags: _tags([*tags, request.path["tag"]]))
        return Answer(status=201)

    async def remove(self, request: Request) -> Answer:
        gone = request.path["tag"]

        def without(tags: tuple[str, ...]) -> tuple[str, ...]:
            if gone not in tags:
                raise _no_tag(request)
            return tuple(tag for tag in tags if tag != gone)

        await self._change(request, without)
        return Answer(status=204)

    async def _tags(self, request: Request) -> tuple[str, ...]:
        found = await self._collection.get(request.ctx, self._id(request))
        tags: tuple[str, ...] = found.rows[0].tags
        return tags

    async def _change(self, request: Request, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Any:
        return await self._collection.tag(request.ctx, self._id(request), change)

    def _id(self, request: Request) -> str:
        return reading.id_of(request, self._collection.noun)


# -- reading requests


def _revision(request: Request) -> int | None:
    """The revision number that the row must have, from the header If-Match. Raises BadRequest."""
    header = request.header("If-Match")
    if header is None:
        return None
    found = re.fullmatch(r'\s*"?revision_number=([0-9]{1,18})"?\s*', header, re.ASCII)
    if found is None:
        raise bad("Invalid value for If-Match header: revision_number=NUMBER is understood")
    return int(found[1])


def _unwrapped(noun: str, given: Any) -> Any:
    """One of many, which clients may put into an envelope of its own."""
    return given[noun] if isinstance(given, dict) and set(given) == {noun} else given


def _tags(given: Any) -> tuple[str, ...]:
    try:
        found: tuple[str, ...] = checks.tags(given)
    except ValueError as err:
        raise bad(f"Invalid input for tags. Reason: {err}.") from err
    return found


def _no_tag(request: Request) -> Error:
    return refusal("TagNotFound", f"Tag {checks.short(request.path['tag'])} could not be found.")


def _links(request: Request, page: listing.Page, shown: Sequence[Any], rows: Sequence[Any]) -> list[dict[str, str]]:
    """Links to the pages before and behind this one (Networking API reference, "Pagination")."""
    count, asked = len(shown), page.asked_limit
    if asked is None and len(rows) <= page.most:
        return []
    full = asked is None or count >= min(asked, page.most)
    links = []
    if full or page.search.reverse:
        links.append({"rel": "next", "href": _link(request, rows[count - 1].id if rows else None, reverse=False)})
    if full or not page.search.reverse:
        links.append({"rel": "previous", "href": _link(request, rows[0].id if rows else None, reverse=True)})
    return links


def _link(request: Request, marker: str | None, *, reverse: bool) -> str:
    """The list behind, or before, the row `marker`; from its end where there is none."""
    kept = [(name, value) for name, value in request.query() if name not in ("marker", "page_reverse")]
    if marker is not None:
        kept.append(("marker", marker))
    if reverse:
        kept.append(("page_reverse", "True"))
    return f"{request.base_url}{request.http.path}?{urlencode(kept)}"
