"""The manager: one aspect of the system, its decisions and its rows. Local is a plain call, remote goes by RPC.

class VolumeManager(Manager):
    topic = "volume"

    @remote(wait=10)
    async def usage(self, ctx: Context) -> Usage: ...          # await self.on(host).usage(ctx)

    @task(deadline=600, resource="volume", failed="settle_build")
    async def build(self, ctx: Context, id: str) -> None: ...  # self.on(host).build.record(tx, ctx, id)

    @periodic(every=60)
    async def reconcile(self, ctx: Context) -> None: ...
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

import msgspec

from micronova import rpc, tasks
from micronova.bus import Bus
from micronova.clock import Clock
from micronova.config import Config
from micronova.context import Context
from micronova.db import Database, Row, Tx
from micronova.rpc import Signature

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="Manager")


class Runtime:
    """What every manager stands on. One per cloud and process; many may live in one process."""

    def __init__(self, config: Config, clock: Clock, bus: Bus, db: Database) -> None:
        self.config = config
        self.clock = clock
        self.bus = bus
        self.db = db
        self.rpc = rpc.Client(bus, clock)


class Manager:
    """Responsible for one aspect. Takes a host and a database, by default the configured ones."""

    topic: ClassVar[str]
    version: ClassVar[str] = "1.0"
    ROWS: ClassVar[tuple[type[Row], ...]] = ()
    """Tables of a plug-in's manager: made when they are missing."""

    def __init__(self, runtime: Runtime, host: str | None = None, db_driver: Database | None = None) -> None:
        self.runtime = runtime
        self.config = runtime.config
        self.clock = runtime.clock
        self.host = host or runtime.config.host
        self.db = db_driver or runtime.db
        self.serving = False
        """Whether a service in this process wraps this manager, so that its host is here."""

    @classmethod
    def wired(cls, runtime: Runtime, others: "Mapping[str, Manager]") -> Self:
        """Made by the wiring for a plug-in's manager; `others` are the managers made before it, by topic."""
        return cls(runtime)

    async def init_host(self, ctx: Context) -> None:
        """Make this host match the database. Safe to repeat after any crash; runs once before the service serves."""

    async def close_host(self) -> None:
        """Let go of what `init_host` took hold of; what serves users stays."""

    def on(self, host: str) -> Self:
        """This manager on `host`: itself when that is here, else a proxy that goes by RPC. "" means any host."""
        if self.serving and host in (self.host, ""):
            return self
        return cast(Self, Proxy(type(self), self.runtime, host))

    @classmethod
    def offers(cls) -> "Offers":
        """What this class offers to its service."""
        found = Offers()
        for name in dir(cls):
            attribute = inspect_static(cls, name)
            if isinstance(attribute, RemoteMethod):
                found.remote[name] = attribute
            elif isinstance(attribute, TaskMethod):
                found.tasks[name] = attribute
            elif isinstance(attribute, Periodic):
                found.periodic[name] = attribute
        return found


def inspect_static(cls: type, name: str) -> Any:
    """The attribute as it was defined, without binding it."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


class Offers:
    """The methods of a manager class by what the service does with them."""

    def __init__(self) -> None:
        self.remote: dict[str, RemoteMethod[Any, ..., Any]] = {}
        self.tasks: dict[str, TaskMethod[Any, ...]] = {}
        self.periodic: dict[str, Periodic[Any]] = {}


# -- @remote


class RemoteMethod(Generic[M, P, T]):
    """A coroutine method that other hosts may call, with the time it may take."""

    def __init__(self, fn: Callable[Concatenate[M, P], Awaitable[T]], wait: float) -> None:
        self.fn = fn
        self.wait = wait
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.fn, self.wait)

    @overload
    def __get__(self, manager: None, owner: type) -> Self: ...
    @overload
    def __get__(self, manager: M, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, manager: M | None, owner: type) -> Self | Callable[P, Awaitable[T]]:
        if manager is None:
            return self
        return cast(Callable[P, Awaitable[T]], partial(self.fn, manager))


def remote(*, wait: float = 5) -> Callable[[Callable[Concatenate[M, P], Awaitable[T]]], RemoteMethod[M, P, T]]:
    """Offer a method to other hosts; a call that is not answered after `wait` seconds fails."""

    def mark(fn: Callable[Concatenate[M, P], Awaitable[T]]) -> RemoteMethod[M, P, T]:
        return RemoteMethod(fn, wait)

    return mark


# -- @task


class Step(msgspec.Struct, frozen=True):
    """One step of a task: names of methods (ctx, id), the second of which takes back what the first did."""

    name: str
    do: str
    undo: str = ""


class TaskMethod(Generic[M, P]):
    """Work that must happen: recorded with the state change, run at least once, one at a time per resource."""

    def __init__(self, fn: Callable[Concatenate[M, Context, P], Awaitable[None]], options: "TaskOptions") -> None:
        self.fn = fn
        self.options = options
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.fn)

    @overload
    def __get__(self, manager: None, owner: type) -> Self: ...
    @overload
    def __get__(self, manager: M, owner: type) -> "BoundTask[P]": ...
    def __get__(self, manager: M | None, owner: type) -> "Self | BoundTask[P]":
        if manager is None:
            return self
        run = cast(Callable[Concatenate[Context, P], Awaitable[None]], partial(self.fn, manager))
        return BoundTask(self, type(manager), manager.runtime, manager.host, run)


class TaskOptions(msgspec.Struct, frozen=True):
    """What @task was told. `deadline` in seconds, or the name of a configuration-aware property of the manager."""

    deadline: float
    resource: str
    retries: int
    failed: str
    steps: tuple[Step, ...]
    supersedes: bool
    repeat: bool


class BoundTask(Generic[P]):
    """A task of the manager on one host: recorded to be run there; called, it runs here and now."""

    def __init__(
        self,
        method: TaskMethod[Any, P],
        manager: type[Manager],
        runtime: Runtime,
        host: str,
        run: Callable[Concatenate[Context, P], Awaitable[None]] | None,
    ) -> None:
        self._method = method
        self._manager = manager
        self._runtime = runtime
        self._host = host
        self._run = run

    def record(self, tx: Tx, ctx: Context, *args: P.args, **named: P.kwargs) -> tasks.Task:
        """Record the task in this transaction; after the commit its host is nudged. Returns the task's row."""
        values = self._method.signature.bind(args, named)
        options = self._method.options
        order = tasks.Order(
            topic=self._manager.topic,
            host=self._host,
            method=self._method.name,
            version=self._manager.version,
            resource=f"{options.resource}:{values[0]}" if options.resource and values else "",
            arguments=values,
            deadline=options.deadline,
            supersedes=options.supersedes,
        )
        task = tasks.record(tx, ctx, self._runtime.clock, order)
        tx.after_commit(partial(self._runtime.rpc.nudge, self._manager.topic, self._host))
        return task

    def __call__(self, ctx: Context, *args: P.args, **named: P.kwargs) -> Awaitable[None]:
        """Run the task's body here and now, without a record."""
        if self._run is None:
            raise TypeError(f"{self._method.name} is a task of another host: record it")
        return self._run(ctx, *args, **named)


def task(
    *,
    deadline: float,
    resource: str = "",
    retries: int = 3,
    failed: str = "",
    steps: tuple[Step, ...] = (),
    supersedes: bool = False,
    repeat: bool = True,
) -> Callable[[Callable[Concatenate[M, Context, P], Awaitable[None]]], TaskMethod[M, P]]:
    """Mark work that must happen.

    `resource` names what the first argument is the id of: tasks of one resource run one at a time in the order they
    were recorded. `deadline` is in seconds from recording; then, or when `retries` repetitions failed, the steps done
    are undone and method `failed` (ctx, *args, error) settles the row. `steps` run before the body, each resumed where
    a crash left it. `supersedes` ends earlier tasks of the resource. `repeat` False gives up at the first failure.
    """
    options = TaskOptions(deadline, resource, retries, failed, steps, supersedes, repeat)

    def mark(fn: Callable[Concatenate[M, Context, P], Awaitable[None]]) -> TaskMethod[M, P]:
        return TaskMethod(fn, options)

    return mark


# -- @periodic


class Periodic(Generic[M]):
    """A method the service calls on a timer; it never overlaps itself."""

    def __init__(self, fn: Callable[[M, Context], Awaitable[None]], every: float) -> None:
        self.fn = fn
        self.every = every
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, manager: None, owner: type) -> Self: ...
    @overload
    def __get__(self, manager: M, owner: type) -> Callable[[Context], Awaitable[None]]: ...
    def __get__(self, manager: M | None, owner: type) -> Self | Callable[[Context], Awaitable[None]]:
        return self if manager is None else partial(self.fn, manager)


def periodic(*, every: float) -> Callable[[Callable[[M, Context], Awaitable[None]]], Periodic[M]]:
    """Have the service call this method every `every` seconds."""

    def mark(fn: Callable[[M, Context], Awaitable[None]]) -> Periodic[M]:
        return Periodic(fn, every)

    return mark


# -- the far side


class Proxy:
    """A manager on another host. Its @remote methods go by RPC; its @task methods can be recorded."""

    def __init__(self, manager: type[Manager], runtime: Runtime, host: str) -> None:
        self._manager = manager
        self._runtime = runtime
        self._host = host

    def __getattr__(self, name: str) -> Any:
        found = inspect_static(self._manager, name)
        if isinstance(found, TaskMethod):
            return BoundTask(found, self._manager, self._runtime, self._host, None)
        if isinstance(found, RemoteMethod):
            return partial(self._call, found)
        raise AttributeError(f"{self._manager.__name__}.{name} is not offered to other hosts: mark it @remote or @task")

    async def _call(self, method: RemoteMethod[Any, ..., Any], ctx: Context, *args: Any, **named: Any) -> Any:
        signature = method.signature
        manager = self._manager
        return await self._runtime.rpc.call(
            manager.topic, self._host, method.name, manager.version, signature, ctx, signature.bind(args, named)
        )
