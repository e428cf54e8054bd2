"""What a guest is told of itself: the files of the metadata service's OpenStack form and of the config drive. Pure.

meta_data.json      {"uuid": "…", "name": "web1", "hostname": "web1", "availability_zone": "nova", "launch_index": 0,
                     "project_id": "…", "meta": {"role": "web"}, "public_keys": {"k": "ssh-rsa …"}, "keys": […],
                     "devices": [], "dedicated_cpus": []}
network_data.json   {"links": [{"id": "tap…", "vif_id": "…", "type": "bridge", "mtu": 1500,
                     "ethernet_mac_address": "fa:16:3e:…"}], "networks": [{"id": "network0", "link": "tap…",
                     "type": "ipv4_dhcp", "network_id": "…"}, {"id": "network1", "link": "tap…", "type": "ipv4",
                     "network_id": "…", "ip_address": "10.0.0.5", "netmask": "255.255.255.0", "routes": [{"network":
                     "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}], "services": [{"type": "dns", "address":
                     "192.0.2.53"}]}], "services": [{"type": "dns", "address": "192.0.2.53"}]}
"""

import base64
import binascii
import ipaddress
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from micronova.compute.db import Server, ServerInput
from micronova.compute.disks import bus_of
from micronova.network.contract import NicAddress, NicInfo
from micronova.volume.servers import SeenDisk

LATEST = "latest"
VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    LATEST,
)
"""Versions of the OpenStack form, oldest first (Nova user guide, "Metadata"); as text they sort by age."""
DRIVE_VERSIONS = ("2013-10-17", "2015-10-15", "2018-08-27", "2020-10-14", LATEST)

_NETWORK_DATA, _VENDOR_DATA, _VENDOR_DATA2, _PROJECT = "2015-10-15", "2013-10-17", "2016-10-06", "2015-10-15"
_DEVICES, _CPUS, _PASSWORD, _SEED = "2016-06-30", "2020-10-14", "2013-04-04", "2013-10-17"
SEED_BYTES = 512
STATIC = "static"
"""How guests come by addresses that nobody on the network tells them (network/contract.py)."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The guest that asks, and all it may know."""

    server: Server
    given: ServerInput
    nics: Sequence[NicInfo] = ()
    security_groups: Sequence[str] = ()
    disks: Sequence[SeenDisk] = ()
    seed: bytes = b""
    """Fresh randomness for the guest's own pool."""


def openstack_files(subject: Subject, version: str) -> dict[str, bytes]:
    """The files of one version by name; optional ones only where there is something in them."""
    files = {"meta_data.json": _json(meta_data(subject, version))}
    user_data = user_data_of(subject.given)
    if user_data is not None:
        files["user_data"] = user_data
    if version >= _PASSWORD:
        files["password"] = b""
    if version >= _VENDOR_DATA:
        files["vendor_data.json"] = _json({})
    if version >= _VENDOR_DATA2:
        files["vendor_data2.json"] = _json({})
    if version >= _NETWORK_DATA:
        files["network_data.json"] = _json(network_data(subject.nics))
    return files


def meta_data(subject: Subject, version: str) -> dict[str, Any]:
    """meta_data.json as the version has it."""
    server, given = subject.server, subject.given
    told: dict[str, Any] = {
        "uuid": server.id,
        "name": server.name,
        "hostname": server.hostname,
        "availability_zone": server.zone,
        "launch_index": server.launch_index,
    }
    if server.metadata:
        told["meta"] = server.metadata
    if server.key_name and given.public_key:
        told["public_keys"] = {server.key_name: given.public_key}
        told["keys"] = [{"name": server.key_name, "type": given.key_type, "data": given.public_key}]
    if version >= _SEED and subject.seed:
        told["random_seed"] = base64.b64encode(subject.seed).decode()
    if version >= _PROJECT:
        told["project_id"] = server.project_id
    if version >= _DEVICES:
        told["devices"] = [_device(nic) for nic in subject.nics if nic.tag]
        told["devices"] += [_disk(disk) for disk in subject.disks if disk.tag]
    if version >= _CPUS:
        told["dedicated_cpus"] = []
    return told


def _device(nic: NicInfo) -> dict[str, Any]:
    return {"type": "nic", "bus": "none", "address": "none", "mac": nic.mac, "tags": [nic.tag]}


def _disk(disk: SeenDisk) -> dict[str, Any]:
    told = {"type": "disk", "bus": bus_of(disk.device), "address": "none", "tags": [disk.tag]}
    return {**told, "serial": disk.volume_id, "path": disk.device}


def network_data(nics: Sequence[NicInfo]) -> dict[str, Any]:
    """network_data.json: the interfaces with their addresses, or with who tells them on the network."""
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for nic in nics:
        for told in _addresses(nic):
            networks.append(
                {"id": f"network{len(networks)}", "link": link_name(nic), "network_id": nic.network_id, **told}
            )
            services += [service for service in told.get("services", ()) if service not in services]
    return {"links": [_link(nic) for nic in nics], "networks": networks, "services": services}


def _addresses(nic: NicInfo) -> Iterator[dict[str, Any]]:
    """Each static address, and each other way by which the guest comes to its addresses once."""
    seen = set[str]()
    for address in sorted(nic.addresses, key=lambda one: ":" in one.ip):
        version = "ipv6" if ":" in address.ip else "ipv4"
        if address.mode == STATIC:
            yield _static(version, address)
        elif f"{version}_{address.mode}" not in seen:
            seen.add(f"{version}_{address.mode}")
            yield {"type": f"{version}_{address.mode}"}


def _static(version: str, address: NicAddress) -> dict[str, Any]:
    routes = []
    for destination, gateway in address.routes:
        to = ipaddress.ip_network(destination, strict=False)
        routes.append({"network": str(to.network_address), "netmask": str(to.netmask), "gateway": gateway})
    return {
        "type": version,
        "ip_address": address.ip,
        "netmask": str(ipaddress.ip_network(address.cidr, strict=False).netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": server} for server in address.dns],
    }


def _link(nic: NicInfo) -> dict[str, Any]:
    return {
        "id": link_name(nic),
        "vif_id": nic.port_id,
        "type": "bridge",
        "mtu": nic.mtu,
        "ethernet_mac_address": nic.mac,
    }


def link_name(nic: NicInfo) -> str:
    """The name that stands for an interface in network_data.json."""
    return f"tap{nic.port_id[:11]}"


def user_data_of(given: ServerInput) -> bytes | None:
    """The user data as the owner wrote it, None without any."""
    if not given.user_data:
        return None
    try:
        return base64.b64decode(given.user_data)
    except binascii.Error:
        return given.user_data.encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
