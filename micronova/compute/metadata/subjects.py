"""Which guest asks for metadata: by network and address, and all that it may be told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from micronova.clock import Clock
from micronova.compute import db
from micronova.compute.db import Server, ServerInput
from micronova.compute.metadata import SEED_BYTES, Subject
from micronova.context import Context, admin_context
from micronova.db import Database, Tx
from micronova.network.contract import NicInfo
from micronova.volume.servers import SeenDisk

DisksOf = Callable[[Tx, str], Sequence[SeenDisk]]
"""A server's volumes."""


class Addresses(Protocol):
    """What is asked of the network room."""

    async def server_at(self, ctx: Context, network_id: str, ip: str) -> str | None:
        """The server with this address on this network, or None."""

    async def guest_nics(self, ctx: Context, server_id: str) -> Sequence[NicInfo]:
        """The interfaces of a server, as its guest may know them."""

    async def security_groups_of(self, ctx: Context, server_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The names of servers' security groups."""


class Room(Protocol):
    """What stands behind the service: the compute manager."""

    @property
    def db(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def network(self) -> Addresses: ...
    def disks_of(self, tx: Tx, server_id: str) -> Sequence[SeenDisk]: ...


class Subjects:
    """Finds guests for the metadata service."""

    def __init__(self, database: Database, clock: Clock, network: Addresses, disks_of: DisksOf) -> None:
        self._db = database
        self._disks_of = disks_of
        self._clock = clock
        self._network = network

    async def find(self, network_id: str, ip: str) -> Subject | None:
        """The guest with this address on this network, None when there is none."""
        ctx = admin_context(self._clock)
        id = await self._network.server_at(ctx, network_id, ip)
        if id is None:
            return None

        def read(tx: Tx) -> tuple[Server | None, ServerInput, Sequence[SeenDisk]]:
            return tx.first(Server, id=id), db.get_input(tx, id), self._disks_of(tx, id)

        server, given, disks = await self._db.read(read)
        if server is None:
            return None
        nics = await self._network.guest_nics(ctx, id)
        groups = (await self._network.security_groups_of(ctx, (id,))).get(id, ())
        return Subject(
            server=server,
            given=given,
            nics=nics,
            security_groups=groups,
            disks=disks,
            seed=self._clock.secret(SEED_BYTES),
        )
