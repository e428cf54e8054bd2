"""Roles, and which of them imply others."""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Forbidden, NotFound
from micronova.identity import db
from micronova.identity.base import IdentityBase, free, merged, mutable, same_domain
from micronova.identity.db import Implied, Role
from micronova.identity.projects import remove_role
from micronova.identity.requests import RoleBody, given, need

NEVER_IMPLIED = "admin"


class Roles(IdentityBase):
    """Roles and inference rules."""

    async def create_role(self, ctx: Context, body: RoleBody, extra: dict[str, Any]) -> Role:
        """A new role. Raises Conflict when the name is taken."""
        need(body.name, "name", "role")

        def record(tx: Tx) -> Role:
            if body.domain_id:
                db.get_domain(tx, body.domain_id)
            row = Role(
                id=self.new_id(),
                domain_id=body.domain_id or "",
                options=merged({}, body.options or {}),
                extra=extra,
                **given(body, "name", "description"),
            )
            free(tx, Role, row.name, row.domain_id)
            return tx.insert(row)

        return await self.db.write(record, ctx, why="created by request")

    async def update_role(self, ctx: Context, id: str, body: RoleBody, extra: dict[str, Any]) -> Role:
        """Change what the request carries."""

        def record(tx: Tx) -> Role:
            row = db.get(tx, Role, id)
            same_domain(body.domain_id, row.domain_id)
            changes = given(body, "name", "description", "options")
            if "options" in changes:
                changes["options"] = merged(row.options, changes["options"])
            mutable(row.options, "update", id, changes)
            if "name" in changes:
                free(tx, Role, changes["name"], row.domain_id, id)
                db.advance(tx)
            return tx.change(row, extra={**row.extra, **extra}, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_role(self, ctx: Context, id: str) -> None:
        """Remove a role; whoever had it lost it at once."""

        def record(tx: Tx) -> None:
            row = db.get(tx, Role, id)
            mutable(row.options, "delete", id)
            remove_role(tx, row)
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- inference rules

    async def imply(self, ctx: Context, prior_id: str, implied_id: str) -> tuple[Role, Role]:
        """Whoever has the prior role has the implied one too. Repeating changes nothing.

        Raises Forbidden for the role admin, and for a role of a domain implied by one of all domains.
        """

        def record(tx: Tx) -> tuple[Role, Role]:
            prior, implied = db.get(tx, Role, prior_id), db.get(tx, Role, implied_id)
            narrower = bool(implied.domain_id) and not prior.domain_id
            if implied.name == NEVER_IMPLIED or narrower or prior_id == implied_id:
                raise Forbidden(f"{implied_id} cannot be an implied roles.")
            if tx.first(Implied, prior_id=prior_id, implied_id=implied_id) is None:
                tx.insert(Implied(id=self.new_id(), prior_id=prior_id, implied_id=implied_id))
                db.advance(tx)
            return prior, implied

        return await self.db.write(record, ctx, why="inference rule by request")

    async def unimply(self, ctx: Context, prior_id: str, implied_id: str) -> None:
        """End an inference rule. Raises NotFound when there is none."""

        def record(tx: Tx) -> None:
            tx.delete(_rule(tx, prior_id, implied_id)[2])
            db.advance(tx)

        await self.db.write(record, ctx, why="inference rule by request")

    async def inference(self, prior_id: str, implied_id: str) -> tuple[Role, Role]:
        """Both roles of a rule. Raises NotFound when there is none."""
        prior, implied, _ = await self.db.read(lambda tx: _rule(tx, prior_id, implied_id))
        return prior, implied

    async def inferences(self, prior_id: str | None = None) -> list[tuple[Role, list[Role]]]:
        """Each prior role with what it implies directly, by name; of one role when `prior_id` is given."""

        def look(tx: Tx) -> list[tuple[Role, list[Role]]]:
            roles = {role.id: role for role in tx.find(Role, order=(("name", True),))}
            if prior_id is not None and prior_id not in roles:
                raise db.missing("role", prior_id)
            rules = db.implications(tx)
            wanted = [id for id in roles if id in rules] if prior_id is None else [prior_id]
            return [(roles[id], [roles[implied] for implied in rules.get(id, ())]) for id in wanted]

        return await self.db.read(look)


def _rule(tx: Tx, prior_id: str, implied_id: str) -> tuple[Role, Role, Implied]:
    prior, implied = db.get(tx, Role, prior_id), db.get(tx, Role, implied_id)
    rule = tx.first(Implied, prior_id=prior_id, implied_id=implied_id)
    if rule is None:
        raise NotFound(f"{prior_id} does not imply {implied_id}.")
    return prior, implied, rule
