"""Reading what a request to the network API brings: its body and the id in its path."""

from typing import Any

from micronova import http
from micronova.http import Request
from micronova.network import checks
from micronova.network.checks import Check
from micronova.network.refusals import bad, missing, wrong

ROOT = "/v2.0"


async def object_of(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object. Raises BadRequest."""
    try:
        body = http.decode(await request.raw(), object)
    except RecursionError as err:
        raise bad("The request body is nested too deeply.") from err
    if not isinstance(body, dict):
        raise bad("The request body is not a JSON object.")
    return body


async def alone(request: Request, name: str, check: Check) -> Any:
    """What the body, in which nothing else stands, says under this name, checked. Raises BadRequest."""
    body = await object_of(request)
    if set(body) != {name}:
        raise bad(f"Unable to find '{name}' in request body")
    try:
        return check(body[name])
    except ValueError as err:
        raise wrong(name, str(err)) from err


def id_of(request: Request, noun: str, part: str = "id") -> str:
    """The id in this part of the path. Raises NotFound for what can't be one: clients look names up that way."""
    id = request.path[part]
    if not checks.UUID.fullmatch(id):
        raise missing(noun, checks.short(id))
    return id
