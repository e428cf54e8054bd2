"""What belongs to a server, on the wire: metadata, tags, addresses, security groups, diagnostics."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from micronova.compute import inputs, states
from micronova.compute.api.create import MAX_TAGS, Metadata
from micronova.compute.db import Server
from micronova.compute.inputs import Tag
from micronova.compute.manager import ComputeManager
from micronova.compute.show import addresses
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.network.contract import NicInfo

NOTHING = Answer(status=204)


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    metadata: Metadata


class _Meta(msgspec.Struct, forbid_unknown_fields=True):
    meta: Metadata


class _Tags(msgspec.Struct, forbid_unknown_fields=True):
    tags: list[Tag]


class PartsApi:
    """The handlers."""

    def __init__(self, compute: ComputeManager) -> None:
        self._compute = compute

    # -- metadata

    async def list_metadata(self, request: Request) -> Any:
        server = await self._server(request, "server-metadata:index")
        return {"metadata": server.metadata}

    async def show_metadata(self, request: Request) -> Any:
        server = await self._server(request, "server-metadata:show")
        key = request.path["key"]
        if key not in server.metadata:
            raise NotFound("Metadata item was not found")
        return {"meta": {key: server.metadata[key]}}

    async def add_metadata(self, request: Request) -> Any:
        return {"metadata": await self._set_metadata(request, replace=False, rule="create")}

    async def replace_metadata(self, request: Request) -> Any:
        return {"metadata": await self._set_metadata(request, replace=True, rule="update_all")}

    async def _set_metadata(self, request: Request, *, replace: bool, rule: str) -> dict[str, str]:
        said = (await request.body(_Metadata)).metadata
        return await self._compute.set_metadata(request.ctx, request.path["id"], said, replace=replace, rule=rule)

    async def put_metadata(self, request: Request) -> Any:
        said = (await request.body(_Meta)).meta
        if len(said) != 1:
            raise BadRequest("Invalid input for field/attribute meta. It must have exactly one item")
        if request.path["key"] not in said:
            raise BadRequest("Request body and URI mismatch")
        await self._compute.set_metadata(request.ctx, request.path["id"], said, replace=False, rule="update")
        return {"meta": said}

    async def delete_metadata(self, request: Request) -> Any:
        await self._compute.delete_metadata(request.ctx, request.path["id"], request.path["key"])
        return NOTHING

    # -- tags

    async def list_tags(self, request: Request) -> Any:
        return {"tags": (await self._server(request, "os-server-tags:index")).tags}

    async def show_tag(self, request: Request) -> Any:
        server = await self._server(request, "os-server-tags:show")
        if request.path["tag"] not in server.tags:
            raise NotFound(f"Server {server.id} has no tag '{request.path['tag']}'")
        return NOTHING

    async def replace_tags(self, request: Request) -> Any:
        said = (await request.body(_Tags)).tags
        if len(said) > MAX_TAGS:
            raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
        return {"tags": await self._compute.set_tags(request.ctx, request.path["id"], tuple(said))}

    async def add_tag(self, request: Request) -> Any:
        id, tag = request.path["id"], request.path["tag"]
        if not 1 <= len(tag) <= 60 or "," in tag or "/" in tag:
            raise BadRequest(f"Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ','.")
        if not await self._compute.add_tag(request.ctx, id, tag):
            return NOTHING
        return Answer(status=201, headers={"Location": f"{request.root}/v2.1/servers/{id}/tags/{quote(tag)}"})

    async def delete_tag(self, request: Request) -> Any:
        await self._compute.delete_tag(request.ctx, request.path["id"], request.path["tag"])
        return NOTHING

    async def delete_tags(self, request: Request) -> Any:
        await self._compute.set_tags(request.ctx, request.path["id"], ())
        return NOTHING

    # -- network

    async def list_ips(self, request: Request) -> Any:
        _, nics = await self._compute.nics(request.ctx, request.path["id"], rule="ips:index")
        return {"addresses": addresses(nics, extended=False)}

    async def show_ips(self, request: Request) -> Any:
        _, nics = await self._compute.nics(request.ctx, request.path["id"], rule="ips:show")
        shown = addresses(nics, extended=False)
        if request.path["label"] not in shown:
            raise NotFound("Instance is not a member of specified network")
        return {request.path["label"]: shown[request.path["label"]]}

    async def security_groups(self, request: Request) -> Any:
        return {"security_groups": await self._compute.security_groups(request.ctx, request.path["id"])}

    # -- what is not there, or not much of it

    async def volumes(self, request: Request) -> Any:
        inputs.known_query(request, "limit", "offset")
        await self._server(request, "os-volumes-attachments:index")
        return {"volumeAttachments": []}

    async def volume(self, request: Request) -> Any:
        server = await self._server(request, "os-volumes-attachments:show")
        raise NotFound(f"Instance {server.id} is not attached to volume {request.path['volume']}")

    async def password(self, request: Request) -> Any:
        await self._server(request, "os-server-password:show")
        return {"password": ""}

    async def clear_password(self, request: Request) -> Any:
        await self._server(request, "os-server-password:clear")
        return NOTHING

    async def diagnostics(self, request: Request) -> Any:
        server = await self._compute.may(request.ctx, request.path["id"], "os-server-diagnostics", "get_diagnostics")
        _, nics = await self._compute.nics(request.ctx, server.id, rule="os-server-diagnostics")
        return show_diagnostics(request, server, nics)

    async def _server(self, request: Request, rule: str) -> Server:
        return await self._compute.get(request.ctx, request.path["id"], rule=rule)


def show_diagnostics(request: Request, server: Server, nics: Sequence[NicInfo]) -> dict[str, Any]:
    """What is known of a guest from outside; what its driver can't measure is null or left out."""
    if request.version < (2, 48):
        return {"cpu0_time": 0, "memory": server.ram_mib * 1024}
    return {
        "state": states.POWER_NAMES.get(server.power_state, "pending"),
        # clients check this against Nova's drivers; ours speaks to QEMU as libvirt's does
        "driver": "libvirt",
        "hypervisor": None,
        "hypervisor_os": None,
        "uptime": None,
        "config_drive": server.config_drive,
        "num_cpus": server.vcpus,
        "num_nics": len(nics),
        "num_disks": 1,
        "cpu_details": [{"id": index, "time": None, "utilisation": None} for index in range(server.vcpus)],
        "disk_details": [],
        "nic_details": [{"mac_address": nic.mac, **dict.fromkeys(_COUNTERS)} for nic in nics],
        "memory_details": {"maximum": server.ram_mib, "used": None},
    }


_COUNTERS = (
    "rx_octets",
    "rx_errors",
    "rx_drop",
    "rx_packets",
    "rx_rate",
    "tx_octets",
    "tx_errors",
    "tx_drop",
    "tx_packets",
    "tx_rate",
)


def routes(compute: ComputeManager) -> list[Route]:
    """The routes of what belongs to a server."""
    api = PartsApi(compute)
    server = "/v2.1/servers/{id}"
    return [
        Route("GET", f"{server}/metadata", api.list_metadata),
        Route("POST", f"{server}/metadata", api.add_metadata),
        Route("PUT", f"{server}/metadata", api.replace_metadata),
        Route("GET", f"{server}/metadata/{{key}}", api.show_metadata),
        Route("PUT", f"{server}/metadata/{{key}}", api.put_metadata),
        Route("DELETE", f"{server}/metadata/{{key}}", api.delete_metadata),
        Route("GET", f"{server}/tags", api.list_tags, since=(2, 26)),
        Route("PUT", f"{server}/tags", api.replace_tags, since=(2, 26)),
        Route("DELETE", f"{server}/tags", api.delete_tags, since=(2, 26)),
        Route("GET", f"{server}/tags/{{tag}}", api.show_tag, since=(2, 26)),
        Route("PUT", f"{server}/tags/{{tag}}", api.add_tag, since=(2, 26)),
        Route("DELETE", f"{server}/tags/{{tag}}", api.delete_tag, since=(2, 26)),
        Route("GET", f"{server}/ips", api.list_ips),
        Route("GET", f"{server}/ips/{{label}}", api.show_ips),
        Route("GET", f"{server}/os-security-groups", api.security_groups),
        Route("GET", f"{server}/os-volume_attachments", api.volumes),
        Route("GET", f"{server}/os-volume_attachments/{{volume}}", api.volume),
        Route("DELETE", f"{server}/os-volume_attachments/{{volume}}", api.volume),
        Route("GET", f"{server}/os-server-password", api.password),
        Route("DELETE", f"{server}/os-server-password", api.clear_password),
        Route("GET", f"{server}/diagnostics", api.diagnostics),
    ]
