"""A server's network interfaces on the wire: listed, shown, attached and detached.

{"interfaceAttachment": {"net_id": "…", "fixed_ips": [{"ip_address": "10.0.0.9"}], "tag": "…"}}, or "port_id" alone.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from micronova.compute import states
from micronova.compute.api.create import check_ip, check_uuid, refuse_unknown
from micronova.compute.db import Server
from micronova.compute.inputs import Tag
from micronova.compute.manager import ComputeManager
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.network.contract import NicInfo, NicRequest

ACCEPTED = Answer(status=202)


class _FixedIp(msgspec.Struct, forbid_unknown_fields=True):
    ip_address: str


class _Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    net_id: str | UnsetType = UNSET
    port_id: str | UnsetType = UNSET
    fixed_ips: Annotated[list[_FixedIp], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET


class _Attach(msgspec.Struct, forbid_unknown_fields=True):
    interfaceAttachment: _Attachment = _Attachment()


class InterfacesApi:
    """The handlers."""

    def __init__(self, compute: ComputeManager) -> None:
        self._compute = compute

    async def index(self, request: Request) -> Any:
        server, nics = await self._compute.nics(request.ctx, request.path["id"], rule="os-attach-interfaces:list")
        return {"interfaceAttachments": [show_interface(request, server, nic) for nic in nics]}

    async def show(self, request: Request) -> Any:
        server, nics = await self._compute.nics(request.ctx, request.path["id"], rule="os-attach-interfaces:show")
        for nic in nics:
            if nic.port_id == request.path["port"]:
                return {"interfaceAttachment": show_interface(request, server, nic)}
        raise NotFound(f"Instance {server.id} does not have fixed IP or port with id {request.path['port']}")

    async def attach(self, request: Request) -> Any:
        """Answered when the guest has the interface, or when that takes long."""
        said = (await request.body(_Attach)).interfaceAttachment
        refuse_unknown(said, request.version, {"tag": (2, 49)}, "interfaceAttachment")
        server, nic = await self._compute.attach_interface(request.ctx, request.path["id"], read_attachment(said))
        return {"interfaceAttachment": show_interface(request, server, nic)}

    async def detach(self, request: Request) -> Any:
        await self._compute.detach_interface(request.ctx, request.path["id"], request.path["port"])
        return ACCEPTED


def read_attachment(said: _Attachment) -> NicRequest:
    """What a body asks for. Raises BadRequest for what does not go together."""
    net_id = check_uuid(said.net_id, "net_id") if said.net_id is not UNSET else None
    port_id = check_uuid(said.port_id, "port_id") if said.port_id is not UNSET else None
    ip = check_ip(said.fixed_ips[0].ip_address, 0, "ip_address") if said.fixed_ips is not UNSET else None
    if net_id and port_id:
        raise BadRequest("Must not input both network_id and port_id")
    if ip and not net_id:
        raise BadRequest("Must input network_id when request IP address")
    return NicRequest(network_id=net_id, port_id=port_id, fixed_ip=ip, tag=said.tag if said.tag is not UNSET else None)


def show_interface(request: Request, server: Server, nic: NicInfo) -> dict[str, Any]:
    """One interface of a server."""
    shown: dict[str, Any] = {
        "net_id": nic.network_id,
        "port_id": nic.port_id,
        "mac_addr": nic.mac,
        "port_state": "BUILD" if server.vm_state == states.BUILDING else nic.status,
        "fixed_ips": [{"subnet_id": subnet, "ip_address": ip} for subnet, ip, _ in nic.fixed_ips],
    }
    if request.version >= (2, 70):
        shown["tag"] = nic.tag
    return shown


def routes(compute: ComputeManager) -> list[Route]:
    """The routes of interfaces."""
    api = InterfacesApi(compute)
    path = "/v2.1/servers/{id}/os-interface"
    return [
        Route("GET", path, api.index),
        Route("POST", path, api.attach),
        Route("GET", path + "/{port}", api.show),
        Route("DELETE", path + "/{port}", api.detach),
    ]
