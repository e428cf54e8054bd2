"""Security groups: each project's default one made on first use, who may use which, when one may go."""

from collections.abc import Sequence

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import db, resources
from micronova.network.attributes import Values
from micronova.network.collection import Found, Search
from micronova.network.db import Membership, Rule, SecurityGroup
from micronova.network.refusals import missing, refusal
from micronova.network.security_rules import default_rules, insert_rules
from micronova.network.shareable import Shareable
from micronova.network.sharing import is_given

DEFAULT = "default"
DEFAULT_DESCRIPTION = "Default security group"


class SecurityGroups(Shareable[SecurityGroup]):
    """All security groups."""

    resource = resources.SECURITY_GROUP
    row = SecurityGroup

    async def find(self, ctx: Context, search: Search) -> Found[SecurityGroup]:
        """What the caller sees; his project's default group is among it, made when it wasn't there."""
        project_id = ctx.project_id
        if project_id and not await self.room.db.read(lambda tx: tx.count(SecurityGroup, default_of=project_id)):
            await self._write(
                lambda tx: ensure_default(tx, self.room.clock, project_id), ctx, "default group on first use"
            )
        return await super().find(ctx, search)

    def found(self, tx: Tx, rows: Sequence[SecurityGroup]) -> Found[SecurityGroup]:
        """The groups with their rules."""
        parts: dict[str, list[Rule]] = {row.id: [] for row in rows}
        order = (("created_at", True), ("id", True))
        for rule in tx.find(Rule, group_id=list(parts), order=order) if parts else ():
            parts[rule.group_id].append(rule)
        return Found(list(rows), parts)

    def insert(self, tx: Tx, ctx: Context, values: Values) -> SecurityGroup:
        """Store a group that lets everything out and nothing in."""
        if values["name"] == DEFAULT:
            raise refusal("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
        ensure_default(tx, self.room.clock, values["project_id"])
        group = tx.insert(SecurityGroup(**self.standard(tx, values)))
        insert_rules(tx, self.room.clock, group, default_rules(None))
        return group

    def alter(self, tx: Tx, ctx: Context, row: SecurityGroup, values: Values) -> SecurityGroup:
        """Store the new values. The name `default` is neither given nor taken."""
        renamed = values.get("name", row.name) != row.name
        if renamed and (row.default_of or values["name"] == DEFAULT):
            raise refusal("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
        return self.touch(tx, row, values)

    def erase(self, tx: Tx, ctx: Context, row: SecurityGroup) -> None:
        """The group, its rules and the rules of others that name it are gone. Raises InUse, and Conflict for the
        default group unless an administrator clears up after a project."""
        if row.default_of and not ctx.is_admin:
            raise refusal(
                "SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group."
            )
        if tx.count(Membership, group_id=row.id):
            raise refusal("SecurityGroupInUse", f"Security Group {row.id} in use.")
        trusting = tx.find(Rule, remote_group_id=row.id, group_id=Not(row.id))
        self.room.tell(tx, ctx, db.hosts_of_groups(tx, {rule.group_id for rule in trusting}))
        for rule in (*trusting, *tx.find(Rule, group_id=row.id)):
            tx.delete(rule)
        self.drop(tx, row)


def ensure_default(tx: Tx, clock: Clock, project_id: str) -> SecurityGroup:
    """The project's default group, made when it is not there: all out, and in from members."""
    group = tx.first(SecurityGroup, default_of=project_id)
    if group is not None:
        return group
    group = tx.insert(
        SecurityGroup(
            id=clock.new_id(),
            project_id=project_id,
            name=DEFAULT,
            description=DEFAULT_DESCRIPTION,
            default_of=project_id,
            created_at=tx.now,
            updated_at=tx.now,
        )
    )
    insert_rules(tx, clock, group, default_rules(group.id))
    return group


def check_usable(tx: Tx, ctx: Context, ids: Sequence[str], project_id: str) -> None:
    """Return when a port of the project may be in all these groups. Raises NotFound."""
    found = db.find_all(tx, SecurityGroup, ids)
    for id in ids:
        group = found.get(id)
        if group is None or not (
            ctx.is_admin
            or group.shared
            or group.project_id in (ctx.project_id, project_id)
            or is_given(tx, ctx.project_id, id)
        ):
            raise missing("security_group", id)
