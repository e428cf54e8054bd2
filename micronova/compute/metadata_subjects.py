"""Which guest asks for metadata: by network and address, and all that it may be told."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from micronova.clock import Clock
from micronova.compute import db
from micronova.compute.db import Server, ServerInput
from micronova.compute.metadata import SEED_BYTES, Subject
from micronova.context import Context, admin_context
from micronova.db import Database, Tx
from micronova.network.contract import NicInfo


class Addresses(Protocol):
    """What is asked of the network room."""

    async def server_at(self, ctx: Context, network_id: str, ip: str) -> str | None:
        """The server with this address on this network, or None."""

    async def nics_of(self, ctx: Context, server_ids: Sequence[str]) -> Mapping[str, Sequence[NicInfo]]:
        """The interfaces of servers."""

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


class Subjects:
    """Finds guests for the metadata service."""

    def __init__(self, database: Database, clock: Clock, network: Addresses) -> None:
        self._db = database
        self._clock = clock
        self._network = network

    async def find(self, network_id: str, ip: str) -> Subject | None:
        """The guest with this address on this network, None when there is none."""
        ctx = admin_context(self._clock)
        id = await self._network.server_at(ctx, network_id, ip)
        if id is None:
            return None

        def read(tx: Tx) -> tuple[Server | None, ServerInput]:
            return tx.first(Server, id=id), db.get_input(tx, id)

        server, given = await self._db.read(read)
        if server is None:
            return None
        nics = (await self._network.nics_of(ctx, (id,))).get(id, ())
        groups = (await self._network.security_groups_of(ctx, (id,))).get(id, ())
        return Subject(
            server=server, given=given, nics=nics, security_groups=groups, seed=self._clock.secret(SEED_BYTES)
        )
