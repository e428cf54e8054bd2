"""A server on the wire, exactly as each microversion has it (Compute API reference, "Show Server Details").

{"server": {"id": "…", "name": "web1", "status": "ACTIVE", "addresses": {"private": [{"version": 4, "addr": "…"}]},
            "flavor": {…}, "image": {…}, "metadata": {}, "links": […], "OS-EXT-STS:vm_state": "active", …}}

Lists of a thousand servers are rendered here: each server is one dictionary, built once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from micronova.compute import states
from micronova.compute.db import Server, ServerLine
from micronova.http import Request, encode
from micronova.microversion import Version
from micronova.network.contract import NicInfo
from micronova.network.summary import SeenNic
from micronova.volume.servers import SeenDisk


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown with servers but is not in their rows, by server (`hosts`: by host)."""

    nics: Mapping[str, Sequence[SeenNic]] = {}
    security_groups: Mapping[str, Sequence[str]] = {}
    user_data: Mapping[str, str] = {}
    groups: Mapping[str, Sequence[str]] = {}
    hosts: Mapping[str, str] = {}
    disks: Mapping[str, Sequence[SeenDisk]] = {}


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller may see besides what everybody sees."""

    extended: bool = False
    host_status: bool = False
    extra_specs: bool = False
    details: bool = False


Shape = tuple[Version, str, Sight]


class Show:
    """Renders servers for one request."""

    def __init__(self, request: Request, sight: Sight) -> None:
        self._version = request.version
        root = request.root
        self._self = root + "/v2.1/servers/"
        self._bookmark = root + "/servers/"
        self._images = root + "/images/"
        self._flavors = root + "/flavors/"
        self._sight = sight
        self._host_ids: dict[tuple[str, str], str] = {}
        self.shape: Shape = (request.version, root, sight)
        """All that decides how a row is shown, besides the row."""

    def links(self, id: str) -> list[dict[str, str]]:
        return [{"rel": "self", "href": self._self + id}, {"rel": "bookmark", "href": self._bookmark + id}]

    def short(self, server: Server | ServerLine) -> dict[str, Any]:
        """A server in a short list."""
        return {"id": server.id, "name": server.name, "links": self.links(server.id)}

    def full(self, server: Server, beside: Beside, *, groups: bool = False) -> dict[str, Any]:
        """A server with all its facts; `groups`: its server groups too, which lists don't have."""
        return self.fixed(server) | self.moving(server, beside, groups=groups)

    def fixed(self, server: Server) -> dict[str, Any]:
        """What follows from the server's row alone."""
        shown = self._core(server)
        shown |= {
            "OS-EXT-AZ:availability_zone": server.zone,
            "config_drive": "True" if server.config_drive else "",
            "key_name": server.key_name,
            "OS-SRV-USG:launched_at": _naive(server.launched_at),
            "OS-SRV-USG:terminated_at": _naive(server.terminated_at),
            "OS-EXT-STS:task_state": server.task_state,
            "OS-EXT-STS:vm_state": server.vm_state,
            "OS-EXT-STS:power_state": server.power_state,
        }
        self._extended(shown, server)
        return shown

    def moving(self, server: Server | ServerLine, beside: Beside, *, groups: bool = False) -> dict[str, Any]:
        """What other rows say of the server."""
        id = server.id
        shown: dict[str, Any] = {"addresses": self._addresses(server, beside, extended=True)}
        shown["os-extended-volumes:volumes_attached"] = self._volumes(beside.disks.get(id, ()))
        names = beside.security_groups.get(id)
        if names:
            shown["security_groups"] = [{"name": name} for name in names]
        if self._sight.extended and self._version >= (2, 3):
            shown["OS-EXT-SRV-ATTR:user_data"] = beside.user_data.get(id)
        if self._sight.host_status and self._version >= (2, 16):
            shown["host_status"] = beside.hosts.get(server.host, "UNKNOWN") if server.host else ""
        if groups and self._version >= (2, 71):
            shown["server_groups"] = list(beside.groups.get(id, ()))
        return shown

    def plain(self, server: Server, beside: Beside) -> dict[str, Any]:
        """A server without what extensions added: how updates and rebuilds answer before 2.75."""
        shown = self._core(server)
        shown["addresses"] = self._addresses(server, beside, extended=False)
        return shown

    # -- parts

    def _volumes(self, disks: Sequence[SeenDisk]) -> list[dict[str, Any]]:
        if self._version < (2, 3):
            return [{"id": disk.volume_id} for disk in disks]
        return [{"id": disk.volume_id, "delete_on_termination": disk.delete_on_termination} for disk in disks]

    def _addresses(self, server: Server | ServerLine, beside: Beside, *, extended: bool) -> dict[str, Any]:
        if server.vm_state == states.BUILDING:
            return {}
        return addresses(beside.nics.get(server.id, ()), extended=extended)

    def _core(self, server: Server) -> dict[str, Any]:
        status = states.status(server.vm_state, server.task_state)
        id = server.id
        shown: dict[str, Any] = {
            "id": id,
            "name": server.name,
            "status": status,
            "tenant_id": server.project_id,
            "user_id": server.user_id,
            "metadata": server.metadata,
            "hostId": self._host_id(server.project_id, server.host),
            "image": self._image(server.image_id),
            "flavor": self._flavor(server),
            "created": server.created_at.isoformat()[:19] + "Z",
            "updated": server.updated_at.isoformat()[:19] + "Z",
            "accessIPv4": server.access_ip_v4,
            "accessIPv6": server.access_ip_v6,
            "links": [{"rel": "self", "href": self._self + id}, {"rel": "bookmark", "href": self._bookmark + id}],
            "OS-DCF:diskConfig": server.disk_config,
        }
        if status in states.IN_PROGRESS:
            shown["progress"] = server.progress
        elif status == "ERROR" and server.fault is not None:
            shown["fault"] = self._fault(server)
        self._newer(shown, server)
        return shown

    def _newer(self, shown: dict[str, Any], server: Server) -> None:
        """What every answer has since a microversion."""
        version = self._version
        if version < (2, 9):
            return
        shown["locked"] = server.locked_by != ""
        if version >= (2, 19):
            shown["description"] = server.description
        if version >= (2, 26):
            shown["tags"] = server.tags
        if version >= (2, 63):
            shown["trusted_image_certificates"] = None
        if version >= (2, 73):
            shown["locked_reason"] = server.locked_reason

    def _extended(self, shown: dict[str, Any], server: Server) -> None:
        version = self._version
        if self._sight.extended:
            shown["OS-EXT-SRV-ATTR:host"] = server.host or None
            shown["OS-EXT-SRV-ATTR:instance_name"] = instance_name(server)
            shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] = server.host or None
            if version >= (2, 3):
                shown["OS-EXT-SRV-ATTR:hostname"] = server.hostname
                shown["OS-EXT-SRV-ATTR:kernel_id"] = server.kernel_id
                shown["OS-EXT-SRV-ATTR:ramdisk_id"] = server.ramdisk_id
                shown["OS-EXT-SRV-ATTR:launch_index"] = server.launch_index
                shown["OS-EXT-SRV-ATTR:reservation_id"] = server.reservation_id
                shown["OS-EXT-SRV-ATTR:root_device_name"] = server.root_device
        elif version >= (2, 90):
            shown["OS-EXT-SRV-ATTR:hostname"] = server.hostname
        if version >= (2, 96):
            shown["pinned_availability_zone"] = server.pinned_zone

    def _image(self, id: str) -> Any:
        if not id:
            return ""
        return {"id": id, "links": [{"rel": "bookmark", "href": self._images + id}]}

    def _flavor(self, server: Server) -> dict[str, Any]:
        flavor = server.flavor
        if self._version < (2, 47):
            return {"id": flavor.id, "links": [{"rel": "bookmark", "href": self._flavors + flavor.id}]}
        shown: dict[str, Any] = {
            "vcpus": flavor.vcpus,
            "ram": flavor.ram_mib,
            "disk": flavor.disk_gib,
            "ephemeral": flavor.ephemeral_gib,
            "swap": flavor.swap_mib,
            "original_name": flavor.name,
        }
        if self._sight.extra_specs:
            shown["extra_specs"] = flavor.extra_specs
        return shown

    def _fault(self, server: Server) -> dict[str, Any]:
        fault = server.fault
        assert fault is not None
        shown: dict[str, Any] = {"code": fault.code, "message": fault.message, "created": _zulu(fault.created_at)}
        if fault.details and (self._sight.details or fault.code != 500):
            shown["details"] = fault.details
        return shown

    def _host_id(self, project_id: str, host: str) -> str:
        if not host:
            return ""
        known = self._host_ids.get((project_id, host))
        if known is None:
            known = host_id(project_id, host)
            self._host_ids[project_id, host] = known
        return known


class Fragments:
    """Rows already rendered, by revision: lists that are asked for again and again cost what changed.

    A row's revision changes with the row, so nothing here is ever out of date. The oldest go first.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._kept: dict[tuple[Shape, str, int], bytes] = {}

    def get(self, shape: Shape, id: str, revision: int) -> bytes | None:
        return self._kept.get((shape, id, revision))

    def put(self, show: Show, server: Server) -> bytes:
        """The row rendered, without the brace at its end."""
        made = encode(show.fixed(server))[:-1]
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[show.shape, server.id, server.revision] = made
        return made


def addresses(nics: Sequence[SeenNic] | Sequence[NicInfo], *, extended: bool) -> dict[str, list[dict[str, Any]]]:
    """A server's addresses by network."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for nic in nics:
        place = shown.setdefault(nic.network_label, [])
        for _, ip, version in nic.fixed_ips:
            place.append(_address(ip, version, "fixed", nic.mac) if extended else {"version": version, "addr": ip})
        for ip in nic.floating_ips:
            place.append(_address(ip, 4, "floating", nic.mac) if extended else {"version": 4, "addr": ip})
    return shown


def _address(ip: str, version: int, kind: str, mac: str) -> dict[str, Any]:
    return {"version": version, "addr": ip, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}


def host_id(project_id: str, host: str) -> str:
    """A host's name for those who may not know it: the same for all servers of a project there."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def instance_name(server: Server) -> str:
    """The name Nova gives a guest on its hypervisor."""
    return f"instance-{server.seq:08x}"


def _zulu(moment: datetime) -> str:
    """Like clock.iso; a list of a thousand servers needs two thousand of these."""
    return moment.isoformat()[:19] + "Z"


def _naive(moment: datetime | None) -> str | None:
    """How Nova writes `launched_at`: without a zone."""
    return None if moment is None else moment.isoformat(timespec="microseconds")[:26]
