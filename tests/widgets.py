"""A small room for tests of the core: widgets, made on a host by a task of two steps."""

import asyncio
from typing import Annotated, ClassVar

import msgspec

from micronova.context import Context
from micronova.db import KEY, SECRET, Row, Tx
from micronova.errors import Error, InUse
from micronova.manager import Manager, Step, periodic, remote, task


class Widget(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "widgets"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "name"),)

    id: Annotated[str, KEY]
    owner: str = "o"
    name: str | None = None
    host: str = ""
    status: str = "creating"
    size: int = 1
    big: bool = False
    password: Annotated[str, SECRET] = ""
    labels: dict[str, str] = {}


class Size(msgspec.Struct, frozen=True):
    width: int
    name: str = "x"


class WidgetManager(Manager):
    """Counts what it does, and fails where a test tells it to."""

    topic = "widget"

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.did: list[str] = []
        self.fail: dict[str, list[Exception]] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.ticks = 0

    async def create(self, ctx: Context, host: str, *, widget_id: str = "") -> Widget:
        def record(tx: Tx) -> Widget:
            widget = tx.insert(Widget(id=widget_id or self.clock.new_id(), name=self.clock.new_id(), host=host))
            self.on(host).build.record(tx, ctx, widget.id)
            return widget

        return await self.db.write(record, ctx, why="asked for")

    async def get(self, id: str) -> Widget:
        return await self.db.read(lambda tx: tx.get(Widget, id))

    @remote(wait=1)
    async def measure(self, ctx: Context, size: Size, times: int = 1) -> dict[str, int]:
        if size.width == 0:
            raise InUse("It is flat.", widget="w1")
        if size.width < 0:
            raise ValueError("a bug")
        return {self.host: size.width * times}

    @task(
        deadline=60,
        resource="widget",
        failed="settle",
        steps=(Step("cut", "cut", undo="uncut"), Step("paint", "paint", undo="unpaint")),
    )
    async def build(self, ctx: Context, id: str) -> None:
        await self.touch("build")
        await self._set(ctx, id, "available")

    @task(deadline=60, resource="widget", supersedes=True)
    async def destroy(self, ctx: Context, id: str) -> None:
        await self.touch("destroy")
        await self.db.write(lambda tx: tx.delete(tx.get(Widget, id)), ctx, why="asked for")

    @task(deadline=60, resource="widget")
    async def destroy_later(self, ctx: Context, id: str) -> None:
        await self.destroy(ctx, id)

    async def cut(self, ctx: Context, id: str) -> None:
        await self.touch("cut")

    async def uncut(self, ctx: Context, id: str) -> None:
        await self.touch("uncut")

    async def paint(self, ctx: Context, id: str) -> None:
        await self.touch("paint")

    async def unpaint(self, ctx: Context, id: str) -> None:
        await self.touch("unpaint")

    async def settle(self, ctx: Context, id: str, error: Error) -> None:
        await self.touch("settle")
        await self._set(ctx, id, "error")

    @periodic(every=0.01)
    async def tick(self, ctx: Context) -> None:
        self.ticks += 1
        await self.touch("tick")

    async def touch(self, name: str) -> None:
        if name != "tick":
            self.did.append(name)
        if name in self.hold:
            await self.hold[name].wait()
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    async def _set(self, ctx: Context, id: str, status: str) -> None:
        await self.db.write(lambda tx: tx.change(tx.get(Widget, id), status=status), ctx, why="the task")


async def eventually(check, *, wait: float = 5.0):
    """Wait until the coroutine function `check` returns something true; returns it."""
    async with asyncio.timeout(wait):
        while not (found := await check()):  # noqa: ASYNC110 - any condition can be waited for
            await asyncio.sleep(0.005)
    return found
