"""HTTP: one application for all APIs. Token -> Context, body -> struct, answer -> JSON, error -> each API's own shape.

A room offers an `Api`: its prefix, its routes and how its errors look. A handler takes a Request and returns a value
that is JSON-encoded with status 200, or an Answer. What it raises is rendered here, once.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

import falcon
import falcon.asgi
import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.errors import BadRequest, Error, NotFound, TooLarge, Unauthorized
from micronova.microversion import Microversions, Version
from micronova.routing import Router, Tables

LOG = logging.getLogger(__name__)
T = TypeVar("T")

JSON = "application/json"
NOBODY = Context(request_id="")
encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, kw_only=True):
    """An answer that is more than a body with status 200. `body` bytes go out as they are, all else as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    content_type: str = JSON
    stream: Any = None
    """An async iterator of bytes, sent instead of `body`; `length` is its size in bytes where known."""
    length: int | None = None


class Request:
    """One request as a handler sees it."""

    __slots__ = ("_front", "_query", "api", "base_url", "ctx", "http", "path", "version")

    def __init__(self, front: "Front", api: "Api", http: falcon.asgi.Request, path: Mapping[str, str]) -> None:
        self._front = front
        self._query: list[tuple[str, str]] | None = None
        self.api = api
        self.http = http
        self.path = path
        """Values of the {names} in the route's path."""
        self.ctx = NOBODY
        self.version: Version = (0, 0)
        """The microversion asked for."""
        self.base_url = front.public_url or f"{http.scheme}://{http.netloc}"
        """Scheme, host and port as the client sees us; links start with it."""

    @property
    def root(self) -> str:
        """Where this API begins: base URL and prefix."""
        return self.base_url + self.api.prefix

    @property
    def policy(self) -> "PolicyCheck":
        return self._front.policy

    def header(self, name: str) -> str | None:
        return self.http.get_header(name)

    def query(self) -> list[tuple[str, str]]:
        """All query parameters in order, repeated ones repeated. Raises BadRequest for one that isn't UTF-8."""
        if self._query is None:
            text = self.http.query_string
            try:
                self._query = (
                    parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000) if text else []
                )
            except ValueError as err:
                raise BadRequest("The query string is not valid.") from err
        return self._query

    def get(self, name: str) -> str | None:
        """The last value of a query parameter, None when it is absent."""
        return next((value for key, value in reversed(self.query()) if key == name), None)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.query() if key == name]

    def limit(self, most: int) -> int:
        """Query parameter `limit`, at most `most`. Raises BadRequest when it is no number from 0 up."""
        text = self.get("limit")
        if text is None:
            return most
        if not text.isascii() or not text.isdigit():
            raise BadRequest(f"Invalid input for query parameter limit: {text!r} is not a non-negative integer.")
        return min(int(text), most)

    async def raw(self) -> bytes:
        """The whole body. Raises TooLarge beyond the configured size."""
        most = self._front.max_body_bytes
        if (self.http.content_length or 0) > most:
            raise TooLarge(f"Request is too large: the limit is {most} bytes.")
        parts, size = [], 0
        async for chunk in self.http.stream:
            size += len(chunk)
            if size > most:
                raise TooLarge(f"Request is too large: the limit is {most} bytes.")
            parts.append(chunk)
        return b"".join(parts)

    async def body(self, kind: type[T]) -> T:
        """The body, decoded and checked against `kind`. Raises BadRequest with the path of what is wrong."""
        return decode(await self.raw(), kind)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, for uploads; not limited here."""
        return self.http.stream.__aiter__()


def decode(raw: bytes, kind: type[T]) -> T:
    """JSON to a struct. Raises BadRequest with the reason and the path of the field."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as err:
        raise BadRequest(f"Invalid input: {explain(err)}") from err
    except RecursionError as err:
        raise BadRequest("The request body is nested too deeply.") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise BadRequest(f"The request body is not valid JSON: {err}") from err


def explain(err: msgspec.ValidationError) -> str:
    """msgspec's sentence with the path of the field in front: `server.name: Expected str, got int`."""
    sentence, _, path = str(err).partition(" - at `$")
    if "matching regex" in sentence and "(?!\\\\s)" in sentence:
        # The pattern of names: it says nothing to who typed a blank.
        sentence = "It must be printable characters, and can not start or end with whitespace."
    path = path.rstrip("`").removeprefix(".")
    return f"{path}: {sentence}" if path else sentence


Handler = Callable[[Request], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True):
    """One method of one path. `policy` names the rule that the caller must pass; `public` needs no token.

    `since` and `until` are the microversions (inclusive) that have it.
    """

    method: str
    path: str
    handler: Handler
    policy: str = ""
    public: bool = False
    since: Version = (0, 0)
    until: Version = (999, 999)


class Shape(Protocol):
    """How an API's errors look."""

    def __call__(self, status: int, error: Error) -> tuple[str, bytes]:
        """Content type and body of an error answer."""


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """One OpenStack service: everything below `prefix` ("/compute"). `statuses` overrules an error class's status."""

    name: str
    prefix: str
    routes: Sequence[Route]
    render: Shape
    statuses: dict[type[Error], int] = {}
    microversions: Microversions | None = None
    request_id_headers: tuple[str, ...] = ("x-openstack-request-id",)


class PolicyCheck(Protocol):
    """What http needs of policy.py."""

    def require(self, ctx: Context, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Return when the caller may. Raises Forbidden naming the rule."""


Authenticate = Callable[[str], Awaitable[Context]]


class Front:
    """The application: all APIs on one port."""

    def __init__(
        self,
        apis: Sequence[Api],
        authenticate: Authenticate,
        policy: PolicyCheck,
        clock: Clock,
        *,
        public_url: str = "",
        max_body_bytes: int = 1_048_576,
        tables: Tables | None = None,
    ) -> None:
        """`tables` are routing tables to share with other applications of this process."""
        self.policy = policy
        self.public_url = public_url.rstrip("/")
        self.max_body_bytes = max_body_bytes
        self._authenticate = authenticate
        self._clock = clock
        self._apis = sorted(apis, key=lambda api: len(api.prefix), reverse=True)
        self._router = Router(tables)
        self.app = falcon.asgi.App(router=self._router)
        self.app.req_options.strip_url_path_trailing_slash = True
        self.app.add_error_handler(falcon.HTTPError, self._unrouted)
        self.app.add_error_handler(Exception, self._broken)
        for api in apis:
            self._mount(api)

    def _mount(self, api: Api) -> None:
        paths: dict[str, Resource] = {}
        for route in api.routes:
            paths.setdefault(route.path, Resource()).add(route, self._responder(api, route))
        self._router.mount(api.prefix, paths)

    def _responder(self, api: Api, route: Route) -> Callable[..., Awaitable[None]]:
        async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **path: str) -> None:
            await self._respond(api, route, req, resp, path)

        return respond

    async def _respond(
        self, api: Api, route: Route, req: falcon.asgi.Request, resp: falcon.asgi.Response, path: dict[str, str]
    ) -> None:
        request_id = f"req-{self._clock.new_id()}"
        request = Request(self, api, req, path)
        for name in api.request_id_headers:
            resp.set_header(name, request_id)
        try:
            if api.microversions is not None:
                request.version = api.microversions.negotiate(req.get_header)
                resp.set_headers(api.microversions.headers(request.version))
                if not route.since <= request.version <= route.until:
                    raise NotFound("The resource could not be found.")
            request.ctx = await self._who(route, req, request_id)
            if route.policy:
                self.policy.require(request.ctx, route.policy, None)
            self._fill(resp, await route.handler(request), head=req.method == "HEAD")
        except Error as err:
            self._refuse(api, resp, err)
        except Exception:
            LOG.exception("%s: %s %s failed", request_id, req.method, req.path)
            self._refuse(
                api, resp, Error("An unexpected error happened; the cloud's log has it as " + request_id + ".")
            )

    async def _who(self, route: Route, req: falcon.asgi.Request, request_id: str) -> Context:
        token = req.get_header("X-Auth-Token")
        if route.public and not token:
            return Context(request_id=request_id)
        if not token:
            raise Unauthorized("The request you have made requires authentication.")
        try:
            known = await self._authenticate(token)
        except Unauthorized:
            if route.public:
                return Context(request_id=request_id)
            raise
        return msgspec.structs.replace(known, request_id=request_id)

    def _fill(self, resp: falcon.asgi.Response, answer: Any, *, head: bool) -> None:
        if not isinstance(answer, Answer):
            resp.data = encode(answer)
            resp.content_type = JSON
        else:
            resp.status = answer.status
            for name, value in answer.headers.items():
                resp.set_header(name, value)
            resp.content_type = answer.content_type
            if answer.stream is not None:
                resp.stream = answer.stream
                if answer.length is not None:
                    resp.content_length = answer.length
            elif answer.body is not None:
                resp.data = answer.body if isinstance(answer.body, bytes) else encode(answer.body)
            elif answer.status in (204, 304):
                resp.content_type = None
        if head and resp.data is not None:
            resp.content_length = len(resp.data)
            resp.data = None

    def _refuse(self, api: Api, resp: falcon.asgi.Response, err: Error) -> None:
        status = _status(api, err)
        if status == 401:
            resp.set_header("WWW-Authenticate", f'Keystone uri="{self.public_url}/identity"')
        if status in (413, 503):
            resp.set_header("Retry-After", str(err.facts.get("retry_after", 1)))
        resp.status = status
        resp.content_type, resp.data = api.render(status, err)

    async def _unrouted(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, err: falcon.HTTPError, params: dict[str, Any]
    ) -> None:
        """No such path, or not with this method."""
        api = self._api_of(req.path)
        code = int(str(err.status)[:3])
        message = "The resource could not be found." if code == 404 else (err.description or err.title or "")
        if code == 405:
            message = "The method is not allowed for this resource."
        for name, value in dict(err.headers or {}).items():
            resp.set_header(name, value)
        resp.status = code
        resp.content_type, resp.data = api.render(code, Error(message, type=_type_of(code)))

    async def _broken(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, err: Exception, params: dict[str, Any]
    ) -> None:
        LOG.error("%s %s failed outside a handler", req.method, req.path, exc_info=err)
        resp.status = 500
        resp.content_type, resp.data = self._api_of(req.path).render(500, Error("An unexpected error happened."))

    def _api_of(self, path: str) -> Api:
        for api in self._apis:
            if path == api.prefix or path.startswith(api.prefix + "/"):
                return api
        return self._apis[-1]


class Resource:
    """The methods of one path, as Falcon wants them: attributes named on_get, on_post …"""

    def add(self, route: Route, respond: Callable[..., Awaitable[None]]) -> None:
        """Answer the route's method; GET answers HEAD too."""
        setattr(self, f"on_{route.method.lower()}", respond)
        if route.method == "GET" and not hasattr(self, "on_head"):
            self.on_head = respond


def _status(api: Api, err: Error) -> int:
    for cls in type(err).__mro__:
        if cls in api.statuses:
            return api.statuses[cls]
    return int(err.facts.get("status", err.status))


def _type_of(code: int) -> str:
    return {404: "HTTPNotFound", 405: "HTTPMethodNotAllowed", 400: "HTTPBadRequest"}.get(code, "HTTPError")
