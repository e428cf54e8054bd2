"""Reading what a request to the network API brings: its body and the id in its path."""

from typing import Any

from micronova import http
from micronova.http import Request
from micronova.network import checks
from micronova.network.refusals import bad, missing

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


def id_of(request: Request, noun: str, part: str = "id") -> str:
    """The id in this part of the path. Raises NotFound for what can't be one: clients look names up that way."""
    id = request.path[part]
    if not checks.UUID.fullmatch(id):
        raise missing(noun, checks.short(id))
    return id
