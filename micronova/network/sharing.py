"""What an object says of itself, `shared` and `router:external`, and its policies: each as the other says; who uses it.

`RbacPolicy` rows name everybody by "*". `follow` keeps them as the object says, `obey` the object as they say.
"""

from collections.abc import Mapping
from typing import Any

from micronova.clock import Clock
from micronova.db import Tx
from micronova.network.db import (
    AddressGroup,
    AddressScope,
    FloatingIp,
    Membership,
    Network,
    Port,
    QosPolicy,
    RbacPolicy,
    Router,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
    find_all,
)

EVERYBODY = "*"
SHARED, EXTERNAL = "access_as_shared", "access_as_external"
OBJECTS: Mapping[str, type[Any]] = {
    "network": Network,
    "qos_policy": QosPolicy,
    "security_group": SecurityGroup,
    "subnetpool": SubnetPool,
    "address_scope": AddressScope,
    "address_group": AddressGroup,
}
"""What may be shared, by the name that policies call it."""
TYPES = {row: name for name, row in OBJECTS.items()}


def follow(tx: Tx, clock: Clock, row: Any) -> None:
    """There is a policy for everybody if the object is shared, and none if it isn't.

    A network leads out by one policy at least, for everybody if there was none before; by none if it doesn't lead out.
    """
    there = tx.find(RbacPolicy, object_id=row.id)
    shared = [one for one in there if one.action == SHARED and one.target_tenant == EVERYBODY]
    _settle(tx, clock, row, SHARED, there=shared, wanted=row.shared)
    if isinstance(row, Network):
        external = [one for one in there if one.action == EXTERNAL]
        _settle(tx, clock, row, EXTERNAL, there=external, wanted=row.external)


def _settle(tx: Tx, clock: Clock, row: Any, action: str, *, there: list[RbacPolicy], wanted: bool) -> None:
    if wanted and not there:
        tx.insert(
            RbacPolicy(
                id=clock.new_id(),
                project_id=row.project_id,
                object_type=TYPES[type(row)],
                object_id=row.id,
                action=action,
                target_tenant=EVERYBODY,
                created_at=tx.now,
                updated_at=tx.now,
            )
        )
    for policy in () if wanted else there:
        tx.delete(policy)


def obey(tx: Tx, row: Any) -> Any:
    """The object says what its policies say. It is touched in any case: two who change them can't both be right."""
    there = tx.find(RbacPolicy, object_id=row.id, order=(("created_at", True), ("id", True)))
    shared_with = [policy.target_tenant for policy in there if policy.action == SHARED]
    shared = EVERYBODY in shared_with
    if not isinstance(row, Network):
        return tx.change(row, shared=shared, updated_at=tx.now)
    leads_out = [policy.target_tenant for policy in there if policy.action == EXTERNAL]
    return tx.change(
        row,
        shared=shared,
        shared_with=tuple(id for id in shared_with if id != EVERYBODY),
        external=bool(leads_out),
        public=shared or EVERYBODY in leads_out,
        updated_at=tx.now,
    )


def leads_all_out(tx: Tx, network_id: str) -> bool:
    """Whether the network is an external one to everybody."""
    return bool(tx.count(RbacPolicy, object_id=network_id, action=EXTERNAL, target_tenant=EVERYBODY))


def forget(tx: Tx, row: Any) -> None:
    """No policy of the object is left."""
    for policy in tx.find(RbacPolicy, object_id=row.id):
        tx.delete(policy)


def given_to(tx: Tx, project_id: str, object_type: str) -> list[str]:
    """Ids of objects of a type that policies of their own let the project use."""
    rows = tx.find(RbacPolicy, target_tenant=project_id, object_type=object_type, order=(("object_id", True),))
    return [row.object_id for row in rows]


def is_given(tx: Tx, project_id: str, id: str) -> bool:
    """Whether a policy of its own lets the project use the object."""
    return bool(tx.count(RbacPolicy, target_tenant=project_id, object_id=id))


def users(tx: Tx, object_type: str, id: str) -> set[str]:
    """Projects that have something which depends on the object."""
    return {project_id for project_id in _projects(tx, object_type, id) if project_id}


def users_outwards(tx: Tx, network_id: str) -> set[str]:
    """Projects whose routers or floating IPs lead out by the network."""
    routers = tx.find(Router, external_network_id=network_id)
    floating = tx.find(FloatingIp, floating_network_id=network_id)
    return {row.project_id for row in (*routers, *floating) if row.project_id}


def _projects(tx: Tx, object_type: str, id: str) -> list[str]:
    match object_type:
        case "network":
            rows: list[Any] = [*tx.find(Port, network_id=id)]
        case "qos_policy":
            rows = [row for cls in (Network, Port, FloatingIp) for row in tx.find(cls, qos_policy_id=id)]
        case "security_group":
            members = find_all(tx, Port, (row.port_id for row in tx.find(Membership, group_id=id)))
            rows = [*members.values(), *tx.find(Rule, remote_group_id=id)]
        case "subnetpool":
            rows = [*tx.find(Subnet, subnetpool_id=id)]
        case "address_group":
            rows = [*tx.find(Rule, remote_address_group_id=id)]
        case _:
            rows = [*tx.find(SubnetPool, address_scope_id=id)]
    return [row.project_id for row in rows]
