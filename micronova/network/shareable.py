"""Resources that policies open to other projects, all or some of them: who sees them, and when they are shared."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import sharing
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found, Where
from micronova.network.db import Standard
from micronova.network.refusals import refusal

R = TypeVar("R", bound=Standard)


class Shareable(Collection[R]):
    """One kind of resource with a column `shared`, which says whether everybody may use it."""

    @property
    def object_type(self) -> str:
        """What policies call it."""
        return sharing.TYPES[self.row]

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        given = sharing.given_to(tx, ctx.project_id, self.object_type)
        others = Not(ctx.project_id)
        scopes: list[Where] = [{"project_id": ctx.project_id}, {"shared": True, "project_id": others}]
        return [*scopes, {"id": given, "shared": False, "project_id": others}] if given else scopes

    def sees(self, tx: Tx, ctx: Context, row: Any) -> bool:
        return ctx.project_id == row.project_id or row.shared or sharing.is_given(tx, ctx.project_id, row.id)

    def found_by(self, tx: Tx, ctx: Context, rows: Sequence[R]) -> Found[R]:
        """The rows; one that is shared with the caller's project alone is shown to it as shared."""
        given = set(sharing.given_to(tx, ctx.project_id, self.object_type)) if ctx.project_id and rows else set()
        return self.found(tx, [msgspec.structs.replace(row, shared=True) if row.id in given else row for row in rows])

    def store(self, tx: Tx, row: R) -> R:
        """The new row is there, and open to everybody if it says so."""
        stored = tx.insert(row)
        sharing.follow(tx, self.room.clock, stored)
        return stored

    def restore(self, tx: Tx, row: Any, values: Values) -> R:
        """The row has these values, and is as open as it says. Raises InUse when others need it shared."""
        if row.shared and not values.get("shared", True):
            check_unneeded(tx, self.object_type, row, sharing.users(tx, self.object_type, row.id))
        changed = self.touch(tx, row, values)
        sharing.follow(tx, self.room.clock, changed)
        return changed

    def drop(self, tx: Tx, row: R) -> None:
        """The row is gone, with all policies about it."""
        sharing.forget(tx, row)
        tx.delete(row)


def check_unneeded(tx: Tx, object_type: str, row: Any, lost: set[str]) -> None:
    """Raises InUse when projects that may use the object by other policies are not all that would lose it."""
    left = [project_id for project_id in sorted(lost) if not sharing.is_given(tx, project_id, row.id)]
    if left:
        raise refusal(
            "RbacPolicyInUse",
            f"RBAC policy on object {row.id} cannot be removed because other objects depend on it.\n"
            f"Details: {len(left)} other projects use {object_type} {row.id}",
        )
