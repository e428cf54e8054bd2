"""What operators see of the cloud and count in it, as data: agents, metering (Networking API v2.0 reference)."""

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, description, name, one_of, or_none, string
from micronova.network.resources.standard import NOT_GIVEN

LONG_DESCRIPTION_MOST = 1024
_PREFIX = or_none(checks.cidr)

AGENT = Resource(
    "agent",
    "agents",
    (
        A("id"),
        A("agent_type"),
        A("binary"),
        A("topic"),
        A("host"),
        A("availability_zone"),
        A("admin_state_up", boolean, put=True),
        A("alive", stored=False),
        A("created_at", stored=False),
        A("started_at", stored=False),
        A("heartbeat_timestamp", stored=False),
        A("description", or_none(description), put=True),
        A("resources_synced", stored=False),
        A("configurations", stored=False),
    ),
    verbs=("GET", "PUT", "DELETE"),
)

METERING_LABEL = Resource(
    "metering_label",
    "metering_labels",
    (
        A("id"),
        A("name", name, post=True, default=""),
        A("description", string(LONG_DESCRIPTION_MOST), post=True, default=""),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("shared", boolean, post=True, default=False),
    ),
    folder="metering/",
    verbs=("GET", "POST", "DELETE"),
)

METERING_LABEL_RULE = Resource(
    "metering_label_rule",
    "metering_label_rules",
    (
        A("id"),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("metering_label_id", checks.uuid, post=True, required=True, column="label_id"),
        A("direction", one_of("ingress", "egress"), post=True, required=True),
        A("excluded", boolean, post=True, default=False),
        A("remote_ip_prefix", _PREFIX, post=True, column="remote_prefix"),
        A("source_ip_prefix", _PREFIX, post=True, column="source_prefix"),
        A("destination_ip_prefix", _PREFIX, post=True, column="destination_prefix"),
    ),
    folder="metering/",
    verbs=("GET", "POST", "DELETE"),
)
