"""Address scopes: ranges known to each other. Their pools don't overlap, and between them nothing is translated."""

from collections.abc import Iterable

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, ipam, reach, resources
from micronova.network.attributes import Values
from micronova.network.db import AddressScope, Subnet, SubnetPool
from micronova.network.refusals import missing, refusal
from micronova.network.shareable import Shareable
from micronova.network.sharing import is_given


class AddressScopes(Shareable[AddressScope]):
    """All address scopes."""

    resource = resources.ADDRESS_SCOPE
    row = AddressScope

    def insert(self, tx: Tx, ctx: Context, values: Values) -> AddressScope:
        """Store a scope without pools."""
        return self.store(tx, AddressScope(**self.standard(tx, values)))

    def alter(self, tx: Tx, ctx: Context, row: AddressScope, values: Values) -> AddressScope:
        """Store the new values; what is shared stays so. Raises BadRequest."""
        if row.shared and values.get("shared") is False:
            raise refusal(
                "AddressScopeUpdateError",
                f"Unable to update address scope {row.id} : Shared address scope can't be unshared.",
            )
        return self.restore(tx, row, values)

    def erase(self, tx: Tx, ctx: Context, row: AddressScope) -> None:
        """The scope is gone. Raises InUse while it has pools."""
        if tx.count(SubnetPool, address_scope_id=row.id):
            raise refusal(
                "AddressScopeInUse",
                f"Unable to complete operation on address scope {row.id}. There are one or more subnet pools in use "
                "on the address scope.",
            )
        self.drop(tx, row)


def check_affinity(tx: Tx, subnets: Iterable[Subnet], scope_id: str | None) -> None:
    """Return when all these subnets of a network may be beside others from this scope. Raises BadRequest."""
    pool_ids = {subnet.subnetpool_id for subnet in subnets}
    pools: dict[str, SubnetPool] = db.find_all(tx, SubnetPool, (id for id in pool_ids if id is not None))
    if any((pools[id].address_scope_id if id is not None else None) != scope_id for id in pool_ids):
        raise refusal(
            "NetworkAddressScopeAffinityError",
            "Subnets of the same address family hosted on the same network must all participate in the same address "
            "scope.",
        )


def check_pool(tx: Tx, ctx: Context, pool: Values, pool_id: str | None) -> None:
    """Return when the pool (`address_scope_id`, `prefixes`, `ip_version`) fits into its scope.

    Raises NotFound for a scope that the caller doesn't see, BadRequest for one of another IP version, Conflict when a
    pool of the scope overlaps.
    """
    scope_id = pool["address_scope_id"]
    scope = tx.first(AddressScope, id=scope_id)
    usable = scope is not None and (
        ctx.is_admin or scope.shared or ctx.project_id == scope.project_id or is_given(tx, ctx.project_id, scope.id)
    )
    if scope is None or not usable:
        raise missing("address_scope", scope_id)
    if scope.ip_version != pool["ip_version"]:
        raise refusal(
            "IllegalSubnetPoolIpVersionAssociationToAddressScope",
            f"Illegal subnetpool association: subnetpool {pool_id} cannot associate with address scope {scope.id} "
            "because subnetpool ip_version is not matching with the address scope.",
        )
    for other in tx.find(SubnetPool, address_scope_id=scope.id):
        for prefix in pool["prefixes"] if other.id != pool_id else ():
            if ipam.overlapping(ipam.network_of(prefix), other.prefixes):
                raise refusal(
                    "AddressScopePrefixConflict",
                    "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
                )
    tx.change(scope, updated_at=tx.now)  # two pools that overlap can't both win


def move_pool(tx: Tx, row: SubnetPool, scope_id: str | None) -> set[str]:
    """The hosts that have to follow when the pool's subnets come into another scope.

    Raises BadRequest when one of their networks has subnets from elsewhere, which don't come along.
    """
    network_ids = {subnet.network_id for subnet in tx.find(Subnet, subnetpool_id=row.id)}
    for network_id in sorted(network_ids):
        others = tx.find(Subnet, network_id=network_id, ip_version=row.ip_version)
        check_affinity(tx, [subnet for subnet in others if subnet.subnetpool_id != row.id], scope_id)
    return reach.hosts(tx, network_ids)
