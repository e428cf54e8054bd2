"""Every option of the configuration, once: its type, default, unit in its name, and one sentence."""

from typing import Annotated

import msgspec
from msgspec import Meta


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class ApiOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP front."""

    listen: Annotated[str, _says("Address and port of the API; port 0 picks a free one.")] = "127.0.0.1:8774"
    public_url: Annotated[str, _says("How clients reach the API, e.g. behind a proxy; empty means as they asked.")] = ""
    region: Annotated[str, _says("Name of this cloud's only region.")] = "RegionOne"
    max_body_bytes: Annotated[int, _says("Largest request body, uploads excepted."), Meta(ge=1024)] = 1_048_576
    max_page: Annotated[int, _says("Most entries in one answer to a list request."), Meta(ge=1)] = 1000


class DatabaseOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rows are kept."""

    url: Annotated[str, _says("sqlite:///PATH or postgresql://…; empty means a file in the state folder.")] = ""
    durable: Annotated[
        bool, _says("Make every commit survive a power cut (SQLite synchronous=FULL), at the price of speed.")
    ] = False
    journal_days: Annotated[int, _says("Days to keep entries of the journal."), Meta(ge=1)] = 30


class BusOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How services reach each other."""

    url: Annotated[str, _says("memory: within one process, or nats://HOST:PORT for many hosts.")] = "memory:"
    prefix: Annotated[str, _says("First word of every subject, so that clouds can share a broker.")] = "micronova"
    user: Annotated[str, _says("User name at the broker.")] = ""
    password: Annotated[str, _says("Password at the broker.")] = ""
    credentials: Annotated[str, _says("File with NATS credentials (JWT and key).")] = ""
    tls_ca: Annotated[str, _says("File with the certificate authority of the broker; turns TLS on.")] = ""
    tls_cert: Annotated[str, _says("File with our certificate for the broker.")] = ""
    tls_key: Annotated[str, _says("File with the key of our certificate.")] = ""


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Durable tasks."""

    sweep_seconds: Annotated[float, _says("How often to look for tasks whose nudge was lost."), Meta(gt=0)] = 5.0
    lease_seconds: Annotated[float, _says("How long a task stays with a host that no longer renews it.")] = 30.0
    retry_seconds: Annotated[float, _says("Pause before a failed task is repeated; it doubles up to 30 s.")] = 1.0
    concurrency: Annotated[int, _says("Most tasks that one service runs at once."), Meta(ge=1)] = 32
    keep_days: Annotated[int, _says("Days to keep finished tasks (they answer instance actions)."), Meta(ge=1)] = 30


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Services and their signs of life."""

    zone: Annotated[str, _says("Availability zone of this host.")] = "nova"
    report_seconds: Annotated[float, _says("How often a service reports that it is alive."), Meta(gt=0)] = 10.0
    down_seconds: Annotated[float, _says("Age of the last report after which a service counts as down.")] = 60.0


class IdentityOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Users, projects, tokens."""

    manager: Annotated[str, _says("Entry point of the identity manager.")] = "identity"
    token_seconds: Annotated[int, _says("Lifetime of a token."), Meta(ge=60)] = 3600 * 12
    policy_file: Annotated[str, _says("YAML file with rules that override the built-in policy.")] = ""


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images and their bytes."""

    manager: Annotated[str, _says("Entry point of the image manager.")] = "image"
    driver: Annotated[str, _says("Entry point of the image store.")] = "file"
    max_gib: Annotated[int, _says("Largest image that may be uploaded."), Meta(ge=1)] = 100


class NetworkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Networks, addresses, ports."""

    manager: Annotated[str, _says("Entry point of the network manager, which picks a strategy for each network.")] = (
        "network"
    )
    strategies: Annotated[
        tuple[str, ...],
        _says("Entry points of the strategies, one a network type; a network that asks for no type gets the first."),
        Meta(min_length=1),
    ] = ("flat_dhcp", "vxlan")
    driver: Annotated[str, _says("Entry point of the network driver (the implementation).")] = "linux"
    bridges: Annotated[
        tuple[str, ...], _says("Host bridges that flat networks attach to, each as PHYSICAL_NETWORK:BRIDGE.")
    ] = ()
    interfaces: Annotated[
        tuple[str, ...],
        _says("Host interfaces (OVS: bridges) that carry VLANs, each as PHYSICAL_NETWORK:INTERFACE."),
    ] = ()
    vlan_ranges: Annotated[
        tuple[str, ...], _says("VLAN ids to give to networks, each as PHYSICAL_NETWORK:FIRST:LAST.")
    ] = ()
    vni_ranges: Annotated[tuple[str, ...], _says("VXLAN network ids to give to networks, each as FIRST:LAST.")] = (
        "1:9999",
    )
    tunnel_address: Annotated[
        str, _says("This host's end of tunnels; empty means the address by which it reaches the world.")
    ] = ""
    switches_file: Annotated[
        str, _says("TOML file with the switches between hosts that VLANs are set up on, and which port is whose.")
    ] = ""
    link_range: Annotated[
        str, _says("Addresses for the links between network namespaces and this host; no network may use them.")
    ] = "100.64.0.0/16"
    mtu: Annotated[int, _says("Largest packet of a network that does not say otherwise."), Meta(ge=576)] = 1500
    dns: Annotated[tuple[str, ...], _says("Name servers for subnets that name none; empty means the host's.")] = ()
    domain: Annotated[str, _says("Domain of the guests' names.")] = "micronova.internal"


class BackendOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One back end of volumes on this host."""

    driver: Annotated[str, _says("Entry point of the volume driver.")] = "file"
    folder: Annotated[str, _says("Where the driver keeps its volumes; empty means a folder of the state folder.")] = ""
    backend_name: Annotated[
        str, _says("What volume types call it (volume_backend_name); empty means the section's own name.")
    ] = ""
    over_commit: Annotated[
        float, _says("GiB that may be promised per real one, where volumes are thin."), Meta(gt=0)
    ] = 20.0
    reserved_percent: Annotated[int, _says("Share of the space that no volume gets."), Meta(ge=0, le=99)] = 0


class VolumeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Volumes and their back ends."""

    manager: Annotated[str, _says("Entry point of the volume manager.")] = "volume"
    backends: Annotated[dict[str, BackendOptions], _says("Back ends of this host, one a section.")] = msgspec.field(
        default_factory=lambda: {"file": BackendOptions()}
    )
    default_type: Annotated[str, _says("Volume type of a volume that names none; made when it is missing.")] = (
        "__DEFAULT__"
    )
    attach_seconds: Annotated[
        float, _says("How long a volume stays reserved or attaching for somebody who does not go on."), Meta(gt=0)
    ] = 3600.0
    key_driver: Annotated[str, _says("Entry point of what keeps keys of encrypted volumes: local, vault.")] = "local"
    backup_driver: Annotated[str, _says("Entry point of the store that keeps backups: file, s3.")] = "file"
    backup_folder: Annotated[str, _says("Where file keeps backups; empty means a folder of the state folder.")] = ""


class ComputeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Servers."""

    manager: Annotated[str, _says("Entry point of the compute manager.")] = "compute"
    driver: Annotated[str, _says("Entry point of the hypervisor driver.")] = "qemu"
    accel: Annotated[str, _says("auto, kvm or tcg: auto takes KVM only where a probe shows a guest running.")] = "auto"
    build_seconds: Annotated[int, _says("Time limit of a build."), Meta(ge=10)] = 600
    resume_guests: Annotated[bool, _says("Start guests that should run when their host starts again.")] = True
    shutdown_seconds: Annotated[int, _says("Time a guest gets to shut down before it is switched off.")] = 60
    reserved_ram_mib: Annotated[int, _says("Memory of a host that guests don't get.")] = 512


class SchedulerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which host takes what."""

    manager: Annotated[str, _says("Entry point of the scheduler manager.")] = "scheduler"
    driver: Annotated[str, _says("Entry point of the scheduler driver: filter or chance.")] = "filter"
    cpu_ratio: Annotated[float, _says("Virtual CPUs per real one."), Meta(gt=0)] = 16.0
    ram_ratio: Annotated[float, _says("Guest memory per real memory."), Meta(gt=0)] = 1.0
    disk_ratio: Annotated[float, _says("Guest disk per real disk."), Meta(gt=0)] = 4.0


class QuotaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a project may have unless told otherwise; -1 means no limit."""

    instances: Annotated[int, _says("Servers.")] = 1000
    cores: Annotated[int, _says("Virtual CPUs of all servers.")] = 4000
    ram: Annotated[int, _says("Memory of all servers in MiB.")] = 4_096_000
    key_pairs: Annotated[int, _says("Key pairs of a user.")] = 100
    metadata_items: Annotated[int, _says("Metadata of one server.")] = 128
    server_groups: Annotated[int, _says("Server groups.")] = 50
    networks: Annotated[int, _says("Networks.")] = 500
    subnets: Annotated[int, _says("Subnets.")] = 500
    ports: Annotated[int, _says("Ports.")] = 5000
    security_groups: Annotated[int, _says("Security groups.")] = 100
    security_group_rules: Annotated[int, _says("Rules of all security groups.")] = 1000
    routers: Annotated[int, _says("Routers.")] = 500
    floating_ips: Annotated[int, _says("Floating IPs.")] = 500
    subnet_pools: Annotated[int, _says("Subnet pools.")] = -1
    rbac_policies: Annotated[int, _says("RBAC policies of networks.")] = 500
    volumes: Annotated[int, _says("Volumes.")] = 1000
    snapshots: Annotated[int, _says("Snapshots of volumes.")] = 1000
    gigabytes: Annotated[int, _says("GiB of all volumes and snapshots.")] = 100_000
    per_volume_gigabytes: Annotated[int, _says("GiB of one volume.")] = -1
    backups: Annotated[int, _says("Backups of volumes.")] = 1000
    backup_gigabytes: Annotated[int, _says("GiB of all backups.")] = 100_000
    volume_groups: Annotated[int, _says("Groups of volumes.")] = 100


class LogOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged where."""

    level: Annotated[str, _says("debug, info, warning or error.")] = "info"
    json: Annotated[bool, _says("One JSON object a line instead of text.")] = False


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration; each field is a section of the TOML file."""

    host: Annotated[str, _says("Name of this host; empty means the machine's own.")] = ""
    state: Annotated[str, _says("Folder of everything this cloud keeps on this host.")] = "state"
    simulate: Annotated[bool, _says("Fake drivers everywhere: no root, no guests, the whole API.")] = False
    managers: Annotated[tuple[str, ...], _says("Entry points of further managers to run, of plug-ins.")] = ()
    api: ApiOptions = ApiOptions()
    database: DatabaseOptions = DatabaseOptions()
    bus: BusOptions = BusOptions()
    tasks: TaskOptions = TaskOptions()
    service: ServiceOptions = ServiceOptions()
    identity: IdentityOptions = IdentityOptions()
    image: ImageOptions = ImageOptions()
    network: NetworkOptions = NetworkOptions()
    volume: VolumeOptions = VolumeOptions()
    compute: ComputeOptions = ComputeOptions()
    scheduler: SchedulerOptions = SchedulerOptions()
    quota: QuotaOptions = QuotaOptions()
    log: LogOptions = LogOptions()
