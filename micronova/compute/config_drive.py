"""The files of a guest's config drive: what the metadata service would tell it, on a disk."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from micronova.compute.db import Server, ServerInput
from micronova.compute.metadata import DRIVE_VERSIONS, STATIC, Subject, openstack_files, user_data_of
from micronova.compute.metadata import ec2 as metadata_ec2
from micronova.network.contract import NicInfo
from micronova.volume.servers import SeenDisk

ASKED_ONLY = ("password",)
"""Files that only the service has."""


def drive_files(
    server: Server,
    given: ServerInput,
    nics: Sequence[NicInfo],
    security_groups: Sequence[str] = (),
    disks: Sequence[SeenDisk] = (),
    seed: bytes = b"",
) -> dict[str, bytes]:
    """Contents by path (Nova user guide, "Config drives"): the OpenStack form, and the EC2 form in one version."""
    subject = Subject(server=server, given=given, nics=nics, security_groups=security_groups, disks=disks, seed=seed)
    files = {
        f"openstack/{version}/{name}": content
        for version in DRIVE_VERSIONS
        for name, content in openstack_files(subject, version).items()
        if name not in ASKED_ONLY
    }
    files["ec2/latest/meta-data.json"] = json.dumps(_plain(metadata_ec2.meta_data(subject)), sort_keys=True).encode()
    user_data = user_data_of(given)
    if user_data is not None:
        files["ec2/latest/user-data"] = user_data
    return files


def needs_drive(nics: Sequence[NicInfo]) -> bool:
    """Whether the guest has no other way to learn one of its addresses: who has none yet can't ask for metadata."""
    return any(address.mode == STATIC for nic in nics for address in nic.addresses)


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.decode() if isinstance(value, bytes) else _plain(value) for name, value in tree.items()}
