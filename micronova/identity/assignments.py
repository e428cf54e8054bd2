"""Who has which role where: grants as they were given, and what they come to.

Effective means: a group's grant stands for one of each member, an inherited one for one on each project below, and a
role for itself and all it implies; roles of a domain only stand for what they imply.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from micronova.context import Context
from micronova.db import Row, Tx
from micronova.errors import Forbidden, NotFound
from micronova.identity import db
from micronova.identity.base import IdentityBase
from micronova.identity.db import SYSTEM, AppCredential, Assignment, Group, Membership, Project, Role, User

Actor = Literal["user", "group"]
Place = Literal["project", "domain", "system"]


class Grant(msgspec.Struct, frozen=True):
    """Whom and where, without the role."""

    actor: Actor
    actor_id: str
    target: Place
    target_id: str = SYSTEM
    inherited: bool = False

    def where(self) -> dict[str, Any]:
        return {"actor_id": self.actor_id, "target_id": self.target_id, "inherited": self.inherited}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which assignments are asked for; None means any. `below` takes the projects under `project_id` in."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    below: bool = False


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment to be shown. `group_id` and `from_id` say by which group and from which target it came."""

    role_id: str
    actor: str
    actor_id: str
    target: str
    target_id: str
    inherited: bool = False
    group_id: str = ""
    origin: str = ""
    from_id: str = ""


class Names(msgspec.Struct, frozen=True):
    """Rows by id, for showing assignments with names."""

    users: dict[str, User]
    groups: dict[str, Group]
    projects: dict[str, Project]
    roles: dict[str, Role]


class Assignments(IdentityBase):
    """Grants on projects, domains and the system."""

    async def grant(self, ctx: Context, grant: Grant, role_id: str) -> None:
        """Give a role. Repeating changes nothing. Raises Forbidden for a role of another domain."""

        def record(tx: Tx) -> None:
            role = _check(tx, grant, role_id)
            if role.domain_id:
                _check_domain(tx, grant, role)
            if tx.first(Assignment, role_id=role_id, **grant.where()) is not None:
                return
            tx.insert(
                Assignment(
                    id=self.new_id(),
                    actor=grant.actor,
                    actor_id=grant.actor_id,
                    target=grant.target,
                    target_id=grant.target_id,
                    role_id=role_id,
                    inherited=grant.inherited,
                )
            )
            db.advance(tx)

        await self.db.write(record, ctx, why="role given by request")

    async def revoke_grant(self, ctx: Context, grant: Grant, role_id: str) -> None:
        """Take a role back; it ends at once. Raises NotFound when it was not given."""

        def record(tx: Tx) -> None:
            tx.delete(_given(tx, grant, role_id))
            if grant.actor == "user" and grant.target == "project":
                for credential in tx.find(AppCredential, user_id=grant.actor_id, project_id=grant.target_id):
                    if role_id in credential.role_ids:
                        tx.delete(credential)
            db.advance(tx)

        await self.db.write(record, ctx, why="role taken back by request")

    async def check_grant(self, grant: Grant, role_id: str) -> None:
        """Raises NotFound when the role was not given."""
        await self.db.read(lambda tx: _given(tx, grant, role_id))

    async def granted(self, grant: Grant) -> list[Role]:
        """The roles that were given to somebody on something, by name."""

        def look(tx: Tx) -> list[Role]:
            _check_ends(tx, grant)
            ids = [row.role_id for row in tx.find(Assignment, **grant.where())]
            return tx.find(Role, id=ids, order=(("name", True),))

        return await self.db.read(look)

    async def assignments(self, asked: Filter) -> list[Entry]:
        """All assignments that match, as given or in effect."""
        return await self.db.read(lambda tx: _effective(tx, asked) if asked.effective else _plain(tx, asked))

    async def names(self, entries: list[Entry]) -> Names:
        """The rows that assignments speak of, and the domains of those."""

        def look(tx: Tx) -> Names:
            users = by_id(tx.find(User, id=list({e.actor_id for e in entries if e.actor == "user"})))
            groups = by_id(tx.find(Group, id=list({e.actor_id for e in entries if e.actor == "group"})))
            roles = by_id(tx.find(Role, id=list({e.role_id for e in entries})))
            projects = by_id(tx.find(Project, id=list({e.target_id for e in entries if e.target != SYSTEM})))
            homes = {row.domain_id for rows in (users, groups, projects, roles) for row in rows.values()}
            domains = by_id(tx.find(Project, id=list(homes - set(projects))))
            return Names(users, groups, {**projects, **domains}, roles)

        return await self.db.read(look)

    # -- what a user can enter

    async def projects_of(self, user_id: str, *, usable: bool) -> list[Project]:
        """Projects where a user has a role, by name; only those it can get a token for when `usable`."""

        def look(tx: Tx) -> list[Project]:
            db.get(tx, User, user_id)
            ids = {
                e.target_id for e in _effective(tx, Filter(user_id=user_id, effective=True)) if e.target == "project"
            }
            found = tx.find(Project, id=list(ids), is_domain=False, order=(("name", True),))
            if not usable:
                return found
            domains = by_id(tx.find(Project, id=list({row.domain_id for row in found}), enabled=True))
            return [row for row in found if row.enabled and row.domain_id in domains]

        return await self.db.read(look)

    async def domains_of(self, user_id: str) -> list[Project]:
        """Enabled domains on which a user has a role, by name."""

        def look(tx: Tx) -> list[Project]:
            actors = [user_id, *db.groups_of(tx, user_id)]
            ids = [row.target_id for row in tx.find(Assignment, actor_id=actors, target="domain", inherited=False)]
            return tx.find(Project, id=ids, is_domain=True, enabled=True, order=(("name", True),))

        return await self.db.read(look)

    async def enters_system(self, user_id: str) -> bool:
        """Whether a user has a role on the system."""

        def look(tx: Tx) -> bool:
            return bool(tx.count(Assignment, actor_id=[user_id, *db.groups_of(tx, user_id)], target_id=SYSTEM))

        return await self.db.read(look)


def by_id(rows: list[Any]) -> dict[str, Any]:
    return {row.id: row for row in rows}


def _check_ends(tx: Tx, grant: Grant) -> None:
    """Raises NotFound when actor or target do not exist."""
    kind: type[Row] = User if grant.actor == "user" else Group
    db.get(tx, kind, grant.actor_id)
    if grant.target == "project":
        db.get(tx, Project, grant.target_id)
    elif grant.target == "domain":
        db.get_domain(tx, grant.target_id)


def _check(tx: Tx, grant: Grant, role_id: str) -> Role:
    role = db.get(tx, Role, role_id)
    _check_ends(tx, grant)
    return role


def _check_domain(tx: Tx, grant: Grant, role: Role) -> None:
    """A role of a domain can be given on its projects only."""
    if grant.target == "project":
        project = db.get(tx, Project, grant.target_id)
        if role.domain_id in (project.domain_id, project.id):
            return
    elif grant.target_id == role.domain_id:
        return
    raise Forbidden(f"Project {grant.target_id} must be in the same domain as the role {role.id} being assigned.")


def _given(tx: Tx, grant: Grant, role_id: str) -> Assignment:
    _check(tx, grant, role_id)
    row = tx.first(Assignment, role_id=role_id, **grant.where())
    if row is None:
        raise NotFound(
            f"Could not find role assignment with role: {role_id}, user or group: {grant.actor_id}, "
            f"project, domain, or system: {grant.target_id}."
        )
    return row


# -- lists


def _plain(tx: Tx, asked: Filter) -> list[Entry]:
    where: dict[str, Any] = {}
    actor = asked.user_id or asked.group_id
    if actor is not None:
        where["actor_id"] = actor
    if asked.role_id is not None:
        where["role_id"] = asked.role_id
    if asked.inherited is not None:
        where["inherited"] = asked.inherited
    targets = _targets(tx, asked)
    if targets is not None:
        where["target_id"] = targets
    rows = tx.find(Assignment, order=(("id", True),), **where)
    return [
        Entry(
            role_id=row.role_id,
            actor=row.actor,
            actor_id=row.actor_id,
            target=row.target,
            target_id=row.target_id,
            inherited=row.inherited,
        )
        for row in rows
    ]


def _targets(tx: Tx, asked: Filter) -> list[str] | None:
    """Ids of the targets that are asked for, None for all."""
    if asked.system:
        return [SYSTEM]
    if asked.project_id is not None:
        below = db.descendants(tx, asked.project_id) if asked.below else []
        return [asked.project_id, *(row.id for row in below)]
    return None if asked.domain_id is None else [asked.domain_id]


def _effective(tx: Tx, asked: Filter) -> list[Entry]:
    where: dict[str, Any] = {}
    if asked.user_id is not None:
        where["actor_id"] = [asked.user_id, *db.groups_of(tx, asked.user_id)]
    wanted = _targets(tx, asked)
    implied = db.implications(tx)
    everywhere = {role.id for role in tx.find(Role, domain_id="")}
    found: dict[tuple[str, ...], Entry] = {}
    for row in tx.find(Assignment, order=(("id", True),), **where):
        roles = db.expand({row.role_id}, implied) & everywhere
        for entry in _spread(tx, row, asked.user_id):
            if wanted is not None and entry.target_id not in wanted:
                continue
            if asked.inherited is not None and entry.inherited != asked.inherited:
                continue
            for role_id in sorted(roles):
                if asked.role_id in (None, role_id):
                    key = (role_id, entry.actor_id, entry.target_id, entry.group_id, entry.from_id)
                    found.setdefault(key, msgspec.structs.replace(entry, role_id=role_id))
    return list(found.values())


def _spread(tx: Tx, row: Assignment, user_id: str | None) -> Iterator[Entry]:
    """One assignment as what it comes to, by member and by project below."""
    members: list[tuple[str, str]] = [(row.actor_id, "")]
    if row.actor == "group":
        users = [user_id] if user_id else [m.user_id for m in tx.find(Membership, group_id=row.actor_id)]
        members = [(id, row.actor_id) for id in users]
    targets: list[tuple[str, str]] = [(row.target, row.target_id)]
    if row.inherited:
        if row.target == "domain":
            below = tx.find(Project, domain_id=row.target_id, is_domain=False)
        else:
            below = db.descendants(tx, row.target_id)
        targets = [("project", project.id) for project in below]
    for actor_id, group_id in members:
        for target, target_id in targets:
            yield Entry(
                role_id=row.role_id,
                actor="user",
                actor_id=actor_id,
                target=target,
                target_id=target_id,
                inherited=row.inherited,
                group_id=group_id,
                origin=row.target if row.inherited else "",
                from_id=row.target_id if row.inherited else "",
            )
