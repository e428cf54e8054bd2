"""Which versions of the compute API there are, and its extensions, which old clients still ask for.

GET /compute        {"versions": [{"id": "v2.1", "status": "CURRENT", "min_version": "2.1", "version": "2.96", …}]}
GET /compute/v2.1   {"version": {…, "media-types": […]}}
"""

from typing import Any

from micronova.errors import NotFound
from micronova.http import Request, Route
from micronova.microversion import Microversions, dotted

UPDATED = "2013-07-23T11:33:21Z"
"""When version 2.1 was declared, as Nova tells it (Compute API reference, "API versions")."""
_MEDIA = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
_DESCRIBED = {
    "rel": "describedby",
    "type": "text/html",
    "href": "https://docs.openstack.org/api-ref/compute/",
}

MICROVERSIONS = Microversions(service="compute", minimum=(2, 1), maximum=(2, 96), legacy="X-OpenStack-Nova-API-Version")

EXTENSIONS: tuple[tuple[str, str], ...] = (
    ("os-aggregates", "Aggregates"),
    ("os-attach-interfaces", "AttachInterfaces"),
    ("os-availability-zone", "AvailabilityZone"),
    ("os-config-drive", "ConfigDrive"),
    ("os-console-output", "ConsoleOutput"),
    ("os-consoles", "Consoles"),
    ("os-extended-availability-zone", "ExtendedAvailabilityZone"),
    ("os-extended-server-attributes", "ExtendedServerAttributes"),
    ("os-extended-status", "ExtendedStatus"),
    ("os-flavor-access", "FlavorAccess"),
    ("os-flavor-extra-specs", "FlavorExtraSpecs"),
    ("os-flavor-manage", "FlavorManage"),
    ("flavors", "Flavors"),
    ("os-hosts", "Hosts"),
    ("os-hypervisors", "Hypervisors"),
    ("os-instance-actions", "InstanceActions"),
    ("os-keypairs", "Keypairs"),
    ("limits", "Limits"),
    ("os-lock-server", "LockServer"),
    ("os-multiple-create", "MultipleCreate"),
    ("os-pause-server", "PauseServer"),
    ("os-quota-class-sets", "QuotaClasses"),
    ("os-quota-sets", "Quotas"),
    ("os-scheduler-hints", "SchedulerHints"),
    ("os-security-groups", "SecurityGroups"),
    ("os-server-groups", "ServerGroups"),
    ("server-metadata", "ServerMetadata"),
    ("servers", "Servers"),
    ("os-services", "Services"),
    ("os-simple-tenant-usage", "SimpleTenantUsage"),
    ("os-used-limits", "UsedLimits"),
    ("os-user-data", "UserData"),
    ("versions", "Versions"),
)
"""(alias, name) of the parts that Nova once called extensions and that this cloud has."""


async def list_versions(request: Request) -> Any:
    return {"versions": [show_version(request)]}


async def show_one(request: Request) -> Any:
    version = show_version(request)
    return {"version": {**version, "links": [*version["links"], _DESCRIBED], "media-types": [_MEDIA]}}


async def list_extensions(request: Request) -> Any:
    return {"extensions": [show_extension(alias, name) for alias, name in EXTENSIONS]}


async def one_extension(request: Request) -> Any:
    asked = request.path["alias"]
    for alias, name in EXTENSIONS:
        if alias == asked:
            return {"extension": show_extension(alias, name)}
    raise NotFound(f"Extension {asked} could not be found.")


def routes() -> list[Route]:
    """The routes of versions, open to everybody, and extensions."""
    rule = "os_compute_api:extensions"
    return [
        Route("GET", "", list_versions, public=True),
        Route("GET", "/v2.1", show_one, public=True),
        Route("GET", "/v2.1/extensions", list_extensions, rule),
        Route("GET", "/v2.1/extensions/{alias}", one_extension, rule),
    ]


def show_version(request: Request) -> dict[str, Any]:
    """The only version, with its range of microversions."""
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": dotted(MICROVERSIONS.maximum),
        "min_version": dotted(MICROVERSIONS.minimum),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{request.root}/v2.1/"}],
    }


def show_extension(alias: str, name: str) -> dict[str, Any]:
    """A part of the API in the old clothes of an extension."""
    return {
        "alias": alias,
        "name": name,
        "description": f"{name} support.",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }
