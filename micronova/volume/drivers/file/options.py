"""What an operator can choose about one file back end, and what it can do then."""

from typing import Annotated

import msgspec
from msgspec import Meta

from micronova.volume.driver import Capabilities


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.NAME]` for the file back end NAME."""

    shared: Annotated[
        bool, _says("Every host has this folder at the same path (NFS or alike) and uses the files in it directly.")
    ] = False
    mounted: Annotated[
        bool, _says("Work only while the folder is on another file system than the root: its disk may be missing.")
    ] = False
    format: Annotated[
        str, _says("raw or qcow2: what a new volume is made of; snapshots and copies stand on it either way.")
    ] = "raw"
    reserve_mib: Annotated[
        int, _says("Free space below which nothing new is made, kept for data of volumes that exist."), Meta(ge=0)
    ] = 64
    user: Annotated[str, _says("Who owns the data and serves them; empty means the first known one.")] = ""
    guest_user: Annotated[str, _says("Who runs guests and reaches volumes; empty means the first known one.")] = ""
    sockets: Annotated[str, _says("Folder of the unix sockets; empty means one in /run, or in the user's.")] = ""
    tls: Annotated[
        str, _says("psk or x509: how other hosts reach volumes of this one; empty means that they don't.")
    ] = ""
    tls_folder: Annotated[
        str, _says("Folder with keys.psk or ca-cert.pem, server-cert.pem and so on, at the same path on every host.")
    ] = "/etc/micronova/volume-tls"
    address: Annotated[
        str, _says("This host's address for other hosts' storage traffic; empty means the one they are reached from.")
    ] = ""
    first_port: Annotated[int, _says("First port for other hosts' storage traffic."), Meta(ge=1024, le=65000)] = 10900
    ports: Annotated[int, _says("How many ports from there may be used."), Meta(ge=1, le=10000)] = 1000


def capabilities(options: FileOptions) -> Capabilities:
    """What such a back end can do."""
    here = not options.shared
    return Capabilities(
        protocol="nbd" if here else "file",
        thin=True,
        fast_clone=True,
        snapshot_in_use=here,
        clone_in_use=here,
        extend_in_use=here,
        revert=True,
        multiattach=here,
        encryption=True,
        remote=options.shared or bool(options.tls),
        shared=options.shared,
        adopt=True,
        group_snapshot=here,
    )
