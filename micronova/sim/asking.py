"""Users of the simulated cloud: who they are, how they pick what is there, and how they ask.

Refusals are answers like any other. What a user picks is drawn from the rows there are, in a fixed order.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from micronova.context import Context
from micronova.image.db import Image
from micronova.network.attributes import for_create, for_update
from micronova.network.db import Standard
from micronova.sim.faults import Dice
from micronova.sim.world import PROJECTS, Process, World

FITTING = 0.8
"""How often users pick what they can use."""
Habit = tuple[int, Callable[[Context], Awaitable[None]]]
"""How often, beside all others, and what."""


def member(project_id: str) -> Context:
    """A plain user of a project."""
    return Context(
        request_id=f"req-{project_id}", user_id=f"user-{project_id}", project_id=project_id, roles=("member", "reader")
    )


ADMIN = Context(
    request_id="req-admin",
    user_id="admin",
    project_id="admin",
    is_admin=True,
    roles=("admin", "manager", "member", "reader"),
)


class Asking:
    """Asks the simulated cloud for things, as one of its users."""

    def __init__(self, world: World, dice: Dice) -> None:
        self._world = world
        self._dice = dice
        self._count = 0

    async def _finish(self, what: str, ask: Callable[[Process], Any]) -> Any:
        task = self._world.request(what, ask)
        assert task is not None, "the API serves"
        return await task

    def _ask(self, ctx: Context, what: str, ask: Callable[[Process], Any]) -> None:
        self._world.request(f"{ctx.project_id} {what}", ask)

    async def _pick(self, ctx: Context, cls: type[Any], **fit: Any) -> Any:
        """One of the rows of a project, mostly one that fits, or None; at times another project's."""
        if self._dice.happens(0.04):
            ctx = member(self._dice.one(PROJECTS))
        where: dict[str, Any] = {"owner" if cls is Image else "project_id": ctx.project_id}
        order = (("created_at", True), ("id", True))
        rows = await self._world.read(lambda tx: tx.find(cls, order=order, **where))
        if fit and self._dice.happens(FITTING):
            rows = [row for row in rows if all(getattr(row, name) == value for name, value in fit.items())] or rows
        return self._dice.one(rows) if rows else None

    def _name(self, noun: str) -> str:
        self._count += 1
        return f"{noun}{self._count}"

    async def _change(
        self, ctx: Context, cls: type[Standard], body: dict[str, Any], where: Callable[[Process], Any]
    ) -> None:
        row = await self._pick(ctx, cls)
        if row is not None:
            what = f"changes {cls.__name__} {row.name or row.id}: {', '.join(body)}"
            self._ask(ctx, what, lambda api: update(where(api), ctx, row.id, body))

    async def _delete(self, ctx: Context, cls: type[Standard], where: Callable[[Process], Any]) -> None:
        row = await self._pick(ctx, cls)
        if row is not None:
            what = f"deletes {cls.__name__} {row.name or row.id}"
            self._ask(ctx, what, lambda api: where(api).delete(ctx, row.id))


async def create(collection: Any, ctx: Context, body: dict[str, Any]) -> Any:
    return (await collection.create(ctx, [for_create(collection.resource, body)])).rows[0]


async def update(collection: Any, ctx: Context, id: str, body: dict[str, Any]) -> None:
    await collection.update(ctx, id, for_update(collection.resource, body))
