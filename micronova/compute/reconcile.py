"""Rows and guests of one host brought back to agreement. What a guest does is the driver's word; what exists is ours.

A guest found off is told in its row, one found running too; one that no row wants is removed. A host that starts
again switches on what should run, if it is configured to.
"""

import logging
from collections.abc import Sequence

from micronova.compute import db, states
from micronova.compute.db import Fault, HostedServer, Server
from micronova.compute.driver import GuestFacts, HostFacts
from micronova.compute.insight import Insights
from micronova.compute.power import found_power
from micronova.compute.volumes import Attaches
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error
from micronova.manager import periodic
from micronova.scheduler.manager import HostReport

LOG = logging.getLogger(__name__)

WATCHED = (states.ACTIVE, states.STOPPED, states.PAUSED)


class Reconciles(Attaches, Insights):
    """The part of the compute manager that keeps this host and the database in agreement."""

    guests_in_memory = False
    """Whether guests of this host's driver end with its process, so that missing ones are merely off."""

    async def init_host(self, ctx: Context) -> None:
        """This host is in the scheduler's table, its guests have ports, those that should run will."""
        self.facts = facts = await self.driver.init_host()
        await self.scheduler.report(ctx, self._report(facts))
        guests = {guest.id: guest for guest in await self.driver.list()}
        servers = await self.db.read(lambda tx: db.servers_of_host(tx, self.host))
        await self._remove_strangers(guests, servers)
        for server in servers:
            guest = guests.get(server.id)
            if guest is not None and guest.power in ("running", "paused"):
                await self._plug(ctx, server)
        self.guests_in_memory = facts.accel == "fake"
        if self.options.resume_guests:
            await self._resume(ctx, servers, guests)
        await self.reconcile_power(ctx, servers, guests)

    async def close_host(self) -> None:
        await self.driver.close()

    @periodic(every=10)
    async def reconcile(self, ctx: Context) -> None:
        """Rows say what guests do; guests nobody wants are gone."""
        servers = await self.db.read(lambda tx: db.hosted_servers(tx, self.host))
        guests = {guest.id: guest for guest in await self.driver.list()}
        await self.reconcile_power(ctx, servers, guests)
        if not guests.keys() <= {server.id for server in servers}:
            # read again: a server may have come since
            servers = await self.db.read(lambda tx: db.hosted_servers(tx, self.host))
            await self._remove_strangers(guests, servers)
        await self.shed_volumes(ctx, guests)

    @periodic(every=600)
    async def forget_image_copies(self, ctx: Context) -> None:
        """A host that only runs guests keeps no copy of an image that is gone."""
        await self.image.forget_copies()

    async def reconcile_power(
        self, ctx: Context, servers: Sequence[Server | HostedServer], guests: dict[str, GuestFacts]
    ) -> None:
        """Store what was found of each guest, unless its row was changed since it was read."""
        for server in servers:
            facts = guests.get(server.id)
            if facts is None and self.guests_in_memory and server.vm_state == states.STOPPED:
                continue
            facts = facts or GuestFacts(id=server.id, power="absent")
            found = differs(server, facts)
            if found:
                why = f"its guest was found {facts.power}" + (f": {facts.reason}" if facts.reason else "")
                LOG.warning("server %s: %s", server.id, why)
                await self._store_found(ctx, server, found, why)

    async def _store_found(
        self, ctx: Context, server: Server | HostedServer, found: dict[str, object], why: str
    ) -> None:
        def store(tx: Tx) -> None:
            now = tx.first(Server, id=server.id)
            if now is None or now.revision != server.revision:
                return
            fields = dict(found)
            if fields.get("vm_state") == states.ERROR:
                fields["fault"] = Fault(code=500, message="The guest is no longer on its host.", created_at=tx.now)
            self.touch(tx, now, **fields)

        await self.db.write(store, ctx, why=why)

    async def _remove_strangers(self, guests: dict[str, GuestFacts], servers: Sequence[Server | HostedServer]) -> None:
        known = {server.id for server in servers}
        for id in guests:
            if id not in known:
                LOG.warning("guest %s belongs to no server here: it is removed", id)
                await self.driver.remove(id)

    async def _plug(self, ctx: Context, server: Server) -> None:
        try:
            await self.network.plug_server(ctx, server.id)
        except Error as err:
            LOG.error("server %s: its ports can't be plugged: %s", server.id, err)

    async def _resume(self, ctx: Context, servers: list[Server], guests: dict[str, GuestFacts]) -> None:
        for server in servers:
            guest = guests.get(server.id)
            off = self.guests_in_memory if guest is None else guest.power in ("shutdown", "crashed")
            if off and server.vm_state == states.ACTIVE and server.task_state is None and server.power_wanted:
                await self._record_resume(ctx, server)

    async def _record_resume(self, ctx: Context, server: Server) -> None:
        def order(tx: Tx) -> None:
            now = db.get_server(tx, server.id)
            if now.revision == server.revision:
                self.touch(tx, now, task_state=states.POWERING_ON)
                self.on(self.host).power_on.record(tx, ctx, server.id)

        await self.db.write(order, ctx, why="its host started again")

    def _report(self, facts: HostFacts) -> HostReport:
        return HostReport(
            host=self.host,
            hypervisor_type=facts.hypervisor_type,
            hypervisor_version=facts.hypervisor_version,
            vcpus=facts.vcpus,
            ram_mib=facts.ram_mib,
            disk_gib=facts.disk_gib,
            reserved_ram_mib=min(self.options.reserved_ram_mib, facts.ram_mib // 2),
            cpu_model=facts.cpu_model,
            accel=facts.accel,
            zone=self.config.options.service.zone,
        )


def differs(server: Server | HostedServer, facts: GuestFacts) -> dict[str, object]:
    """What the row must be told, given what its guest does; nothing while something is being done to the server."""
    if server.task_state is not None or server.vm_state not in WATCHED:
        return {}
    if facts.power == "absent":
        return {"vm_state": states.ERROR, "power_state": states.NO_STATE} if server.launched_at else {}
    found = found_power(facts)
    return {name: value for name, value in found.items() if getattr(server, name) != value}
