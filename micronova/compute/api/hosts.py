"""Everything of the compute API that is not a server: one list of routes, and what stands behind them.

Flavors, key pairs, hosts, services, zones, aggregates, quotas, usage, server groups, versions.
"""

from collections.abc import Awaitable, Callable

from micronova.compute.api import aggregates as api_aggregates
from micronova.compute.api import flavor_extras as api_flavor_extras
from micronova.compute.api import flavors as api_flavors
from micronova.compute.api import hypervisors as api_hypervisors
from micronova.compute.api import keypairs as api_keypairs
from micronova.compute.api import quotas as api_quotas
from micronova.compute.api import server_groups as api_server_groups
from micronova.compute.api import services as api_services
from micronova.compute.api import usage as api_usage
from micronova.compute.api import versions as api_versions
from micronova.compute.flavors import Flavors
from micronova.compute.hosts import Hosts
from micronova.compute.keypairs import KeyPairs
from micronova.compute.quota_sets import QuotaSets
from micronova.compute.server_groups import ServerGroups
from micronova.context import Context
from micronova.http import Route
from micronova.scheduler.aggregates import Aggregates
from micronova.scheduler.manager import SchedulerManager

ProjectExists = Callable[[Context, str], Awaitable[bool]]


def routes(scheduler: SchedulerManager, project_exists: ProjectExists | None = None) -> list[Route]:
    """The routes, on the scheduler's database and clock. Without `project_exists` any project's name is taken."""
    db, clock, options = scheduler.db, scheduler.clock, scheduler.config.options
    most = options.api.max_page
    flavors = Flavors(db, clock, project_exists)
    hosts = Hosts(db, scheduler, options.service.down_seconds)
    return [
        *api_versions.routes(),
        *api_flavors.routes(flavors, most),
        *api_flavor_extras.routes(flavors),
        *api_keypairs.routes(KeyPairs(db, clock, options.quota.key_pairs), most),
        *api_hypervisors.routes(hosts, most),
        *api_services.routes(hosts),
        *api_aggregates.routes(Aggregates(db, clock)),
        *api_quotas.routes(QuotaSets(db, clock, options.quota, project_exists)),
        *api_usage.routes(db, clock, most),
        *api_server_groups.routes(ServerGroups(db, clock, options.quota), most),
    ]
