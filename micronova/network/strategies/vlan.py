"""VlanManager: a VLAN of a physical network for each network, on hosts by their driver, between them by switches.

What the ports of switches shall carry follows from where real ports are. Bringing a switch there is a task, one at a
time for each switch; a network that a switch in trouble does not carry to a host is in ERROR until it does.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import ClassVar, Self

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Error, Unavailable
from micronova.manager import Manager, Runtime, periodic, task
from micronova.network import switches
from micronova.network.db import Network, SwitchState
from micronova.network.refusals import invalid, refusal
from micronova.network.segments import pairs_of, vlan_ranges
from micronova.network.strategies.base import SpanningManager
from micronova.network.strategy import Segment
from micronova.network.switches import Switch
from micronova.tasks import Task

LOG = logging.getLogger(__name__)
HIGHEST_VLAN = 4094
"""IEEE 802.1Q, table 9-2: 0 and 4095 name no VLAN."""
SWITCH = "switch"
ASK_AGAIN, RETRY = 300, 60
"""Seconds after which a switch is asked whether it is still as it was made, and after which one in trouble is."""


class VlanManager(SpanningManager):
    """Networks on VLANs of what is between the hosts."""

    topic = "network_vlan"
    network_type: ClassVar[str] = "vlan"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        switches: Mapping[str, Switch] | None = None,
    ) -> None:
        super().__init__(runtime, host, db_driver)
        self.ranges = vlan_ranges("network.vlan_ranges", self.options.vlan_ranges, HIGHEST_VLAN)
        wired = pairs_of("network.interfaces", self.options.interfaces)
        self.physical = frozenset((*wired, *(one.physical_network for one in self.ranges)))
        self.switches: Mapping[str, Switch] = dict(switches or {})

    @classmethod
    def wired(cls, runtime: Runtime, others: Mapping[str, Manager]) -> Self:
        """With the switches of the configured file. Raises ConfigError naming what is wrong there."""
        return cls(runtime, switches=switches.configured(runtime.config, runtime.clock))

    async def close_host(self) -> None:
        """Let go of sessions with switches; what they carry stays."""
        for switch in self.switches.values():
            await switch.driver.close()

    # -- hooks

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """The VLAN asked for, or the next of the ranges. Raises BadRequest, Conflict."""
        physical, vlan = asked.physical_network, asked.segmentation_id
        if physical and physical not in self.physical:
            raise invalid(f"physical_network '{physical}' unknown for VLAN provider network")
        if vlan is None:
            ranges = [one for one in self.ranges if not physical or physical == one.physical_network]
            return self.take_free(tx, network_id, ranges)
        if not physical:
            raise invalid("segmentation_id requires physical_network for VLAN provider network")
        self.check_id(vlan, HIGHEST_VLAN)
        taken = refusal(
            "VlanIdInUse",
            f"Unable to create the network. The VLAN {vlan} on physical network {physical} is in use.",
        )
        return self.take(tx, network_id, Segment(self.network_type, physical, vlan), taken)

    def ports_moved(self, tx: Tx, ctx: Context, network: Network, hosts: Iterable[str]) -> None:
        """Switches on which these hosts hang follow."""
        moved = set(hosts)
        for switch in self.switches.values():
            if switch.serves(network) and switch.reaches(moved):
                self._ask(tx, ctx, switch.name)

    def troubles(self, tx: Tx) -> dict[str, str]:
        """What is wrong with which switch."""
        found = switches.troubles(tx, self.switches)
        return {f"switch {name}": trouble for name, trouble in found.items()}

    # -- switches

    @task(deadline=600, resource=SWITCH, retries=12, failed="tell")
    async def arrange(self, ctx: Context, name: str) -> None:
        """The switch carries to each of its hosts the VLANs of the networks there. What fails is told by networks."""
        switch = self.switches.get(name)
        if switch is None:
            raise Unavailable(f"switch {name} is not in network.switches_file of host {self.host}")
        if await self.db.read(partial(switches.rests, switch=switch)):
            settle = partial(switches.settle_networks, switches=self.switches.values())
            await self.db.write(settle, ctx, why=f"switch {name} is left alone for now")
            return
        begin = partial(switches.begin, switch=switch, own=partial(self._is_own, switch))
        plan = await self.db.write(begin, ctx, why=f"switch {name} is to carry what its hosts need")
        made = await switches.make(switch, plan)

        def record(tx: Tx) -> None:
            switches.done(tx, switch, made)
            switches.settle_networks(tx, self.switches.values())

        await self.db.write(record, ctx, why=f"switch {name}: {made.trouble or 'it carries what its hosts need'}")
        if made.trouble is not None:
            LOG.warning("switch %s: %s", name, made.trouble)
            raise made.trouble

    async def tell(self, ctx: Context, name: str, error: Error) -> None:
        """Networks say that the switch is not as they need it; a later look begins anew."""
        switch = self.switches.get(name)
        if switch is None:
            return

        def record(tx: Tx) -> None:
            if not switches.rests(tx, switch):
                switches.note(tx, switch, str(error))
            switches.settle_networks(tx, self.switches.values())

        await self.db.write(record, ctx, why=f"switch {name}: {error}")

    @periodic(every=30)
    async def look(self, ctx: Context) -> None:
        """Switches that are not as the rows say, or were not asked for long, are brought in order by some host."""

        def ask(tx: Tx) -> None:
            for switch in self.switches.values():
                if self._is_due(tx, switch):
                    self._ask(tx, ctx, switch.name)

        if await self.db.read(self._is_any_due):
            await self.db.write(ask, ctx, why="switches are looked after")

    # -- inside

    def _is_any_due(self, tx: Tx) -> bool:
        return any(self._is_due(tx, switch) for switch in self.switches.values())

    def _is_due(self, tx: Tx, switch: Switch) -> bool:
        if tx.count(Task, resource=f"{SWITCH}:{switch.name}", open=True):
            return False
        state = tx.first(SwitchState, id=switch.name)
        if state is None:
            return True
        if state.again_at is not None:
            return state.again_at <= tx.now
        due = state.asked_at + timedelta(seconds=RETRY if state.trouble else ASK_AGAIN)
        return due < tx.now or not (state.trouble or switches.is_done(tx, switch))

    def _ask(self, tx: Tx, ctx: Context, name: str) -> None:
        """Some host brings the switch in order. One waiting task is enough for any number of changes.

        The waiting task is touched: were it begun meanwhile, one of both transactions would have to start over.
        """
        waiting = tx.first(Task, resource=f"{SWITCH}:{name}", open=True, state="queued", cancelled=False)
        if waiting is None:
            self.on("").arrange.record(tx, ctx, name)
        elif waiting.run_at < tx.now:
            tx.change(waiting, run_at=tx.now)

    def _is_own(self, switch: Switch, vlan: int) -> bool:
        """Whether the VLAN is of a range that this cloud gives, and so nobody else's on the switch."""
        physical = switch.settings.physical_network
        return any(one.first <= vlan <= one.last for one in self.ranges if physical in ("", one.physical_network))
