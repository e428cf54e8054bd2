"""Projects and domains: a tree with a domain at its root."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from micronova.context import Context
from micronova.db import Row, Tx
from micronova.errors import BadRequest, Forbidden
from micronova.identity import db
from micronova.identity.base import IdentityBase, free, home, merged, mutable, same_domain
from micronova.identity.db import (
    AppCredential,
    Assignment,
    Credential,
    Group,
    Implied,
    Membership,
    Project,
    Role,
    User,
)
from micronova.identity.requests import DomainBody, ProjectBody, given, need

DEEPEST = 5
"""Levels of projects below a domain (Keystone's max_project_tree_depth)."""


class Projects(IdentityBase):
    """Projects and domains."""

    # -- projects

    async def create_project(self, ctx: Context, body: ProjectBody, extra: dict[str, Any]) -> Project:
        """A new project, or a domain when `is_domain`. Raises Conflict when the name is taken in its domain."""
        need(body.name, "name", "project")
        if body.is_domain is True:
            return await self._create_project_domain(ctx, body, extra)

        def record(tx: Tx) -> Project:
            parent = _parent(tx, body, home(ctx))
            domain_id = parent.id if parent.is_domain else parent.domain_id
            asked = body.domain_id or ctx.domain_id
            if asked and asked != domain_id:
                raise BadRequest(
                    f"Cannot create project, since it specifies its domain_id {asked}, but specifies a parent in a "
                    f"different domain ({domain_id})."
                )
            if not parent.enabled:
                raise Forbidden(f"Cannot create project in a branch containing a disabled project: {parent.id}.")
            if len(db.ancestors(tx, parent)) >= DEEPEST:
                raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch.")
            return self._insert(tx, body, extra, domain_id=domain_id, parent_id=parent.id)

        return await self.db.write(record, ctx, why="created by request")

    def _insert(self, tx: Tx, body: DomainBody | ProjectBody, extra: dict[str, Any], **place: Any) -> Project:
        """A row from what project and domain bodies have in common; `place` is where it stands."""
        fields = given(body, "name", "enabled", "tags")
        row = Project(
            id=place.pop("id", None) or self.new_id(),
            description=body.description or "",
            options=merged({}, body.options or {}),
            extra=extra,
            **fields,
            **place,
        )
        free(tx, Project, row.name, row.domain_id)
        return tx.insert(row)

    async def _create_project_domain(self, ctx: Context, body: ProjectBody, extra: dict[str, Any]) -> Project:
        if body.parent_id or body.domain_id:
            raise BadRequest("only root projects are allowed to act as domains.")
        domain = DomainBody(**given(body, *_SHARED))
        return await self.create_domain(ctx, domain, extra)

    async def update_project(self, ctx: Context, id: str, body: ProjectBody, extra: dict[str, Any]) -> Project:
        """Change what the request carries. Disabling ends all tokens of the project at once."""

        def record(tx: Tx) -> Project:
            row = db.get(tx, Project, id)
            same_domain(body.domain_id, row.domain_id)
            if body.parent_id is not UNSET and body.parent_id != row.parent_id:
                raise Forbidden("Update of `parent_id` is not allowed.")
            if body.is_domain is not UNSET and body.is_domain != row.is_domain:
                raise BadRequest("Update of `is_domain` is not allowed.")
            return _change(tx, row, body, extra)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_project(self, ctx: Context, id: str) -> None:
        """Remove a project and what is given in it. Raises Forbidden when others are below it."""

        def record(tx: Tx) -> None:
            row = db.get(tx, Project, id)
            if row.is_domain:
                _refuse_enabled(row)
            mutable(row.options, "delete", id)
            if tx.count(Project, parent_id=id, is_domain=False):
                raise Forbidden(
                    f"Cannot delete the project {id} since it is not a leaf in the hierarchy. "
                    "Use the cascade option if you want to delete a whole subtree."
                )
            _remove_project(tx, row)
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    async def set_tags(self, ctx: Context, id: str, add: tuple[str, ...], remove: tuple[str, ...] | None) -> Project:
        """Add tags to a project after removing some (None means all). Raises BadRequest beyond 80."""

        def record(tx: Tx) -> Project:
            row = db.get(tx, Project, id)
            kept = () if remove is None else tuple(tag for tag in row.tags if tag not in remove)
            tags = tuple(dict.fromkeys((*kept, *add)))
            if len(tags) > 80:
                raise BadRequest("Invalid input for field 'tags': a project has at most 80.")
            return tx.change(row, tags=tags)

        return await self.db.write(record, ctx, why="tagged by request")

    async def project_exists(self, ctx: Context, id: str) -> bool:
        """Whether there is such a project (that is not only a domain)."""
        row = await self.db.read(lambda tx: tx.first(Project, id=id))
        return row is not None

    async def family(self, id: str) -> tuple[list[Project], list[Project]]:
        """The projects above, nearest first and without the domain, and those below."""

        def look(tx: Tx) -> tuple[list[Project], list[Project]]:
            row = db.get(tx, Project, id)
            return [p for p in db.ancestors(tx, row) if not p.is_domain], db.descendants(tx, id)

        return await self.db.read(look)

    # -- domains

    async def domain(self, id: str) -> Project:
        """Raises NotFound when there is no such domain."""
        return await self.db.read(lambda tx: db.get_domain(tx, id))

    async def create_domain(self, ctx: Context, body: DomainBody, extra: dict[str, Any], id: str = "") -> Project:
        """A new domain. Raises Conflict when the name is taken."""
        need(body.name, "name", "domain")

        def record(tx: Tx) -> Project:
            return self._insert(tx, body, extra, id=id, domain_id="", parent_id=None, is_domain=True)

        return await self.db.write(record, ctx, why="created by request")

    async def update_domain(self, ctx: Context, id: str, body: DomainBody, extra: dict[str, Any]) -> Project:
        """Change what the request carries. Disabling ends all tokens of its users and projects at once."""

        def record(tx: Tx) -> Project:
            return _change(tx, db.get_domain(tx, id), body, extra)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_domain(self, ctx: Context, id: str) -> None:
        """Remove a domain and all that is in it. Raises Forbidden while it is enabled."""

        def record(tx: Tx) -> None:
            row = db.get_domain(tx, id)
            _refuse_enabled(row)
            mutable(row.options, "delete", id)
            for project in reversed(db.descendants(tx, id)):
                _remove_project(tx, project)
            for user in tx.find(User, domain_id=id):
                remove_user(tx, user)
            for group in tx.find(Group, domain_id=id):
                remove_group(tx, group)
            for role in tx.find(Role, domain_id=id):
                remove_role(tx, role)
            _remove_project(tx, row)
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")


_SHARED = ("name", "description", "enabled", "tags", "options")


def _parent(tx: Tx, body: ProjectBody, domain_id: str) -> Project:
    """Where a new project hangs: below its parent, else below its domain."""
    if body.parent_id:
        parent = tx.first(Project, id=body.parent_id)
        if parent is None:
            raise db.missing("project", body.parent_id)
        return parent
    return db.get_domain(tx, body.domain_id or domain_id)


def _change(tx: Tx, row: Project, body: DomainBody | ProjectBody, extra: dict[str, Any]) -> Project:
    changes = given(body, *_SHARED)
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    if "options" in changes:
        changes["options"] = merged(row.options, changes["options"])
    mutable(row.options, "update", row.id, changes)
    if "name" in changes:
        free(tx, Project, changes["name"], row.domain_id, row.id)
    if extra:
        changes["extra"] = {**row.extra, **extra}
    if changes.get("enabled", row.enabled) != row.enabled:
        changes["token_epoch"] = row.token_epoch + 1
    db.advance(tx)
    return tx.change(row, **changes)


def _refuse_enabled(domain: Project) -> None:
    if domain.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")


# -- removing rows with what hangs on them; the caller advances the epoch


def _remove(tx: Tx, row: Row, *hanging: Sequence[Row]) -> None:
    for rows in (*hanging, (row,)):
        for one in rows:
            tx.delete(one)


def _remove_project(tx: Tx, row: Project) -> None:
    _remove(
        tx,
        row,
        tx.find(Assignment, target_id=row.id),
        tx.find(AppCredential, project_id=row.id),
        tx.find(Credential, project_id=row.id),
    )


def remove_user(tx: Tx, row: User) -> None:
    """Remove a user, its memberships, roles and credentials."""
    _remove(
        tx,
        row,
        tx.find(Membership, user_id=row.id),
        tx.find(Assignment, actor_id=row.id),
        tx.find(AppCredential, user_id=row.id),
        tx.find(Credential, user_id=row.id),
    )


def remove_group(tx: Tx, row: Group) -> None:
    """Remove a group, its memberships and roles."""
    _remove(tx, row, tx.find(Membership, group_id=row.id), tx.find(Assignment, actor_id=row.id))


def remove_role(tx: Tx, row: Role) -> None:
    """Remove a role, and it from everybody who has it."""
    _remove(
        tx,
        row,
        tx.find(Assignment, role_id=row.id),
        tx.find(Implied, prior_id=row.id),
        tx.find(Implied, implied_id=row.id),
    )
