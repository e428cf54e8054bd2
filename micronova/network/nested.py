"""Resources that live inside of another one: their paths begin with its id, and they are seen where it is seen."""

import copy
from typing import Any, ClassVar, Self, TypeVar

from micronova.context import Context
from micronova.db import Tx
from micronova.network.attributes import Asked
from micronova.network.collection import Collection, Search
from micronova.network.db import Standard
from micronova.network.refusals import missing, refusal
from micronova.network.room import Room

R = TypeVar("R", bound=Standard)


class Nested(Collection[R]):
    """One kind of resource inside of resources of another kind, its parents.

    A subclass says in which column the parent's id is; `within` makes the collection of one parent.
    """

    parent_column: ClassVar[str]

    def __init__(self, room: Room, parents: Collection[Any]) -> None:
        super().__init__(room)
        self.parents = parents
        self.parent_id = ""

    def within(self, parent_id: str) -> Self:
        """The same, of one parent."""
        inside = copy.copy(self)
        inside.parent_id = parent_id
        return inside

    def parent(self, tx: Tx, ctx: Context) -> Any:
        """The parent if the caller sees it. Raises NotFound."""
        return self.parents.visible(tx, ctx, self.parent_id)

    def visible(self, tx: Tx, ctx: Context, id: str) -> R:
        """The row if it is the parent's and the caller sees that. Raises NotFound for either."""
        parent = self.parent(tx, ctx)
        row: R | None = tx.first(self.row, id=id)
        if row is None or getattr(row, self.parent_column) != parent.id:
            raise self.absent(id)
        return row

    def absent(self, id: str) -> Exception:
        """There is no such one."""
        return missing(self.noun, id)

    def search(self, tx: Tx, ctx: Context, search: Search) -> list[R]:
        """Those of the parent that match. Raises NotFound when the caller doesn't see the parent."""
        return self.matching(tx, ctx, search, [{self.parent_column: self.parent(tx, ctx).id}])

    def _parent_of_new(self, tx: Tx, ctx: Context) -> Any:
        """The parent. Raises NotFound, and Forbidden for one that the caller doesn't see, as Neutron does."""
        parent = tx.first(self.parents.row, id=self.parent_id)
        if parent is None:
            raise missing(self.parents.noun, self.parent_id)
        if not (ctx.is_admin or (ctx.project_id and self.parents.sees(tx, ctx, parent))):
            rule = f"create_{self.resource.ruled}"
            raise refusal("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy", rule=rule)
        return parent

    def _create_one(self, tx: Tx, ctx: Context, asked: Asked) -> R:
        parent = self._parent_of_new(tx, ctx)
        target = {"project_id": parent.project_id, "tenant_id": parent.project_id}
        self._pass(ctx, (f"create_{self.resource.ruled}", *asked.rules), target)
        values = {**asked.values, "project_id": parent.project_id, self.parent_column: parent.id}
        return self.insert(tx, ctx, values)
