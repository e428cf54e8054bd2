"""Address groups: ranges under a name that rules of security groups let pass, all at once. Hosts follow a change."""

from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, resources, sharing
from micronova.network.attributes import Values
from micronova.network.collection import Found
from micronova.network.db import AddressGroup, Rule
from micronova.network.refusals import missing, refusal
from micronova.network.shareable import Shareable


class AddressGroups(Shareable[AddressGroup]):
    """All address groups."""

    resource = resources.ADDRESS_GROUP
    row = AddressGroup

    def insert(self, tx: Tx, ctx: Context, values: Values) -> AddressGroup:
        """Store a group with these addresses."""
        return self.store(tx, AddressGroup(**self.standard(tx, values)))

    def owned(self, tx: Tx, ctx: Context, id: str, verb: str, revision: int | None) -> AddressGroup:
        """As of all resources; one that is only shared with the caller is not there to be changed."""
        row = self.visible(tx, ctx, id)
        if not ctx.is_admin and row.project_id != ctx.project_id:
            raise missing(self.noun, id)
        return super().owned(tx, ctx, id, verb, revision)

    def erase(self, tx: Tx, ctx: Context, row: AddressGroup) -> None:
        """The group is gone. Raises InUse while rules name it."""
        if tx.count(Rule, remote_address_group_id=row.id):
            raise refusal("AddressGroupInUse", f"Address group {row.id} is in use on one or more security group rules.")
        self.drop(tx, row)

    async def change(self, ctx: Context, id: str, addresses: Sequence[str], *, add: bool) -> Found[AddressGroup]:
        """The group has these addresses too, or no longer. Raises NotFound, BadRequest for those it has already."""
        wanted = tuple(dict.fromkeys(addresses))

        def record(tx: Tx) -> Found[AddressGroup]:
            row = self.visible(tx, ctx, id)
            self._pass(ctx, ("add_addresses" if add else "remove_addresses",), self.target(tx, row))
            there = [address for address in wanted if address in row.addresses]
            if add and there:
                said = f"Addresses {there[:5]} already exist in the address group {row.id}."
                raise refusal("AddressesAlreadyExist", said)
            if not add and len(there) < len(wanted):
                gone = [address for address in wanted if address not in there]
                raise refusal("AddressesNotFound", f"Addresses {gone[:5]} not found in the address group {row.id}.")
            left = tuple(address for address in row.addresses if address not in wanted)
            changed = self.touch(tx, row, {"addresses": (*row.addresses, *wanted) if add else left})
            self.room.tell(tx, ctx, hosts_of(tx, row.id))
            return self.found_by(tx, ctx, [changed])

        return await self._write(record, ctx, "addresses of an address group")


def hosts_of(tx: Tx, id: str) -> set[str]:
    """Hosts with ports whose rules name the group."""
    return db.hosts_of_groups(tx, sorted({rule.group_id for rule in tx.find(Rule, remote_address_group_id=id)}))


def check_usable(tx: Tx, ctx: Context, id: str) -> None:
    """Return when the caller's rules may name the group. Raises NotFound."""
    row = tx.first(AddressGroup, id=id)
    if row is None or not (
        ctx.is_admin or row.shared or row.project_id == ctx.project_id or sharing.is_given(tx, ctx.project_id, id)
    ):
        raise missing("address_group", id)
