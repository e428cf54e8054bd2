"""Users, their passwords, and groups of them."""

from typing import Any

from msgspec import UNSET

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, Unauthorized
from micronova.identity import db
from micronova.identity.base import IdentityBase, free, home, merged, same_domain
from micronova.identity.db import Group, Membership, Project, User
from micronova.identity.projects import remove_group, remove_user
from micronova.identity.requests import GroupBody, PasswordChange, UserBody, given, need
from micronova.identity.sessions import refuse


class Users(IdentityBase):
    """Users and groups."""

    # -- users

    async def create_user(self, ctx: Context, body: UserBody, extra: dict[str, Any]) -> User:
        """A new user. Raises Conflict when the name is taken in the domain."""
        need(body.name, "name", "user")
        hashed = await self.passwords.hash(body.password) if body.password else ""

        def record(tx: Tx) -> User:
            domain = db.get_domain(tx, body.domain_id or home(ctx))
            _check_default_project(tx, body)
            row = User(
                id=self.new_id(),
                domain_id=domain.id,
                password_hash=hashed,
                extra=extra,
                **given(body, "name", "enabled", "default_project_id", "options"),
            )
            free(tx, User, row.name, row.domain_id)
            return tx.insert(row)

        return await self.db.write(record, ctx, why="created by request")

    async def update_user(self, ctx: Context, id: str, body: UserBody, extra: dict[str, Any]) -> User:
        """Change what the request carries. A new password, or disabling, ends all tokens of the user at once."""
        hashed = await self.passwords.hash(body.password) if body.password else ""

        def record(tx: Tx) -> User:
            row = db.get(tx, User, id)
            same_domain(body.domain_id, row.domain_id)
            changes = given(body, "name", "enabled", "default_project_id")
            if "name" in changes:
                free(tx, User, changes["name"], row.domain_id, id)
            if changes.get("default_project_id") != row.default_project_id:
                _check_default_project(tx, body)
            if body.options is not UNSET:
                changes["options"] = merged(row.options, body.options)
            if body.password is not UNSET:
                changes["password_hash"] = hashed
            if extra:
                kept = {**row.extra, **extra}
                changes["extra"] = {name: value for name, value in kept.items() if value is not None}
            if "password_hash" in changes or changes.get("enabled", row.enabled) != row.enabled:
                changes["token_epoch"] = row.token_epoch + 1
            db.advance(tx)
            return tx.change(row, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def change_password(self, ctx: Context, id: str, change: PasswordChange) -> None:
        """Replace the password by one who knows it. Raises Unauthorized when the original is wrong."""
        user = await self.db.read(lambda tx: tx.first(User, id=id))
        if not await self.passwords.verify(user.password_hash if user else "", change.original_password):
            raise Unauthorized("The request you have made requires authentication.")
        hashed = await self.passwords.hash(change.password)

        def record(tx: Tx) -> None:
            row = db.get(tx, User, id)
            if user is None or not row.enabled or row.password_hash != user.password_hash:
                refuse()
            tx.change(row, password_hash=hashed, token_epoch=row.token_epoch + 1)
            db.advance(tx)

        await self.db.write(record, ctx, why="password changed by its owner")

    async def delete_user(self, ctx: Context, id: str) -> None:
        """Remove a user with all it was given; its tokens end at once."""

        def record(tx: Tx) -> None:
            remove_user(tx, db.get(tx, User, id))
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- groups

    async def create_group(self, ctx: Context, body: GroupBody, extra: dict[str, Any]) -> Group:
        """A new group. Raises Conflict when the name is taken in the domain."""
        need(body.name, "name", "group")

        def record(tx: Tx) -> Group:
            domain = db.get_domain(tx, body.domain_id or home(ctx))
            fields = given(body, "name")
            description = body.description or ""
            row = Group(id=self.new_id(), domain_id=domain.id, description=description, extra=extra, **fields)
            free(tx, Group, row.name, row.domain_id)
            return tx.insert(row)

        return await self.db.write(record, ctx, why="created by request")

    async def update_group(self, ctx: Context, id: str, body: GroupBody, extra: dict[str, Any]) -> Group:
        """Change what the request carries."""

        def record(tx: Tx) -> Group:
            row = db.get(tx, Group, id)
            same_domain(body.domain_id, row.domain_id)
            changes = given(body, "name", "description")
            if "name" in changes:
                free(tx, Group, changes["name"], row.domain_id, id)
            if "description" in changes:
                changes["description"] = changes["description"] or ""
            return tx.change(row, extra={**row.extra, **extra}, **changes)

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_group(self, ctx: Context, id: str) -> None:
        """Remove a group; what its members had by it ends at once."""

        def record(tx: Tx) -> None:
            remove_group(tx, db.get(tx, Group, id))
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- membership

    async def add_member(self, ctx: Context, group_id: str, user_id: str) -> None:
        """Put a user into a group. Repeating changes nothing."""

        def record(tx: Tx) -> None:
            db.get(tx, Group, group_id)
            db.get(tx, User, user_id)
            if tx.first(Membership, user_id=user_id, group_id=group_id) is None:
                tx.insert(Membership(id=self.new_id(), user_id=user_id, group_id=group_id))
                db.advance(tx)

        await self.db.write(record, ctx, why="added by request")

    async def remove_member(self, ctx: Context, group_id: str, user_id: str) -> None:
        """Take a user out of a group. Raises NotFound when it was not in it."""

        def record(tx: Tx) -> None:
            tx.delete(_membership(tx, group_id, user_id))
            db.advance(tx)

        await self.db.write(record, ctx, why="removed by request")

    async def check_member(self, group_id: str, user_id: str) -> None:
        """Raises NotFound when the user is not in the group."""
        await self.db.read(lambda tx: _membership(tx, group_id, user_id))

    async def members(self, group_id: str) -> list[User]:
        """The users of a group by name."""

        def look(tx: Tx) -> list[User]:
            db.get(tx, Group, group_id)
            ids = [row.user_id for row in tx.find(Membership, group_id=group_id)]
            return tx.find(User, id=ids, order=(("name", True),))

        return await self.db.read(look)

    async def groups_of_user(self, user_id: str) -> list[Group]:
        """The groups of a user by name."""

        def look(tx: Tx) -> list[Group]:
            db.get(tx, User, user_id)
            return tx.find(Group, id=db.groups_of(tx, user_id), order=(("name", True),))

        return await self.db.read(look)


def _membership(tx: Tx, group_id: str, user_id: str) -> Membership:
    db.get(tx, Group, group_id)
    db.get(tx, User, user_id)
    row = tx.first(Membership, user_id=user_id, group_id=group_id)
    if row is None:
        raise NotFound(f"User '{user_id}' not found in group '{group_id}'.")
    return row


def _check_default_project(tx: Tx, body: UserBody) -> None:
    if body.default_project_id:
        project = tx.first(Project, id=body.default_project_id)
        if project is not None and project.is_domain:
            raise BadRequest("User's default project ID cannot be a domain ID: " + project.id)
