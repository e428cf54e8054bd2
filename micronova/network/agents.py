"""Agents: each host's network service as clients know it, by its parts; who lives, and what an operator says of them.

There is one service a host, which does all of it. Clients look for a part by the name that it has in Neutron.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from micronova import heartbeat
from micronova.context import Context
from micronova.db import Tx
from micronova.network import checks, resources
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found, Where
from micronova.network.db import Agent, Hosting, Load, loads
from micronova.network.duties import DHCP_AGENT, L3_AGENT
from micronova.network.refusals import bad
from micronova.network.room import Room

TOPIC = "network"


class Part(msgspec.Struct, frozen=True):
    """A part of a host's service; `topic` is what clients are told, not ours."""

    agent_type: str
    binary: str
    topic: str


BRIDGE = Part("Linux bridge agent", "neutron-linuxbridge-agent", "N/A")
OPEN_VSWITCH = Part("Open vSwitch agent", "neutron-openvswitch-agent", "N/A")
PARTS = (
    Part(DHCP_AGENT, "neutron-dhcp-agent", "dhcp_agent"),
    Part(L3_AGENT, "neutron-l3-agent", "l3_agent"),
    Part("Metadata agent", "neutron-metadata-agent", "N/A"),
)


class Life(msgspec.Struct, frozen=True):
    """What is known of an agent's host now. Without a report it never lived."""

    alive: bool = False
    seen_at: datetime | None = None
    load: Load = Load()


class Agents(Collection[Agent]):
    """All agents. `down_seconds` is the age of the last report after which a host counts as dead."""

    resource = resources.AGENT
    row = Agent

    def __init__(self, room: Room, down_seconds: float) -> None:
        super().__init__(room)
        self._down_seconds = down_seconds

    async def announce(self, ctx: Context, host: str) -> None:
        """The host's agents are there, as this process has them. Repeating costs one look."""
        if await self.room.db.read(lambda tx: self._is_known(tx, host)):
            return

        def record(tx: Tx) -> None:
            parts = self._parts()
            for row in tx.find(Agent, host=host):
                if row.agent_type not in [part.agent_type for part in parts]:
                    self.erase(tx, ctx, row)
            for part in parts:
                self._record(tx, ctx, host, part)

        await self.room.db.write(record, ctx, why="the host says what it serves")

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        return [{}] if self.room.policy.allows(ctx, "get_agent") else []

    def sees(self, tx: Tx, ctx: Context, row: Agent) -> bool:
        return self.room.policy.allows(ctx, "get_agent")

    def related(self, tx: Tx, name: str, values: Sequence[str]) -> set[str]:
        """Agents by type, whatever the case, or by whether they live."""
        rows = tx.find(Agent)
        if name == "agent_type":
            wanted = {value.lower() for value in values}
            return {row.id for row in rows if row.agent_type.lower() in wanted}
        living, lives = {_alive(value) for value in values}, self._lives(tx)
        return {row.id for row in rows if lives.get(row.host, Life()).alive in living}

    def found(self, tx: Tx, rows: Sequence[Agent]) -> Found[Agent]:
        """The agents with what is known of their hosts now."""
        lives = self._lives(tx) if rows else {}
        return Found(list(rows), {row.id: [lives.get(row.host, Life())] for row in rows})

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Agent:
        """Store one of a host that says so; nobody asks for one."""
        return tx.insert(Agent(**self.standard(tx, values)))

    def alter(self, tx: Tx, ctx: Context, row: Agent, values: Values) -> Agent:
        """Store the new values; its host follows when it is switched on or off."""
        if "description" in values:
            values = {**values, "description": values["description"] or ""}
        changed = self.touch(tx, row, values)
        if changed.admin_state_up != row.admin_state_up:
            self.room.tell(tx, ctx, [row.host])
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Agent) -> None:
        """The agent and what was said of it are gone; while its host lives, it comes back as new."""
        for said in tx.find(Hosting, host=row.host, agent_type=row.agent_type):
            tx.delete(said)
        tx.delete(row)
        self.room.tell(tx, ctx, [row.host])

    # -- inside

    def _parts(self) -> tuple[Part, ...]:
        return (OPEN_VSWITCH if self.room.options.driver == "ovs" else BRIDGE, *PARTS)

    def _is_known(self, tx: Tx, host: str) -> bool:
        there = {row.agent_type: row for row in tx.find(Agent, host=host)}
        parts = self._parts()
        return set(there) == {part.agent_type for part in parts} and all(
            there[part.agent_type].availability_zone == self.room.zone for part in parts
        )

    def _record(self, tx: Tx, ctx: Context, host: str, part: Part) -> None:
        row = tx.first(Agent, host=host, agent_type=part.agent_type)
        if row is not None:
            self.touch(tx, row, {"availability_zone": self.room.zone})
            return
        values = {**msgspec.structs.asdict(part), "host": host, "availability_zone": self.room.zone, "project_id": ""}
        self.insert(tx, ctx, values)

    def _lives(self, tx: Tx) -> dict[str, Life]:
        """What is known of each host that ever reported."""
        now, carried = self.room.clock.now(), loads(tx)
        return {
            row.host: Life(heartbeat.is_up(row, now, self._down_seconds), row.seen_at, carried.get(row.host, Load()))
            for row in heartbeat.services(tx, topic=TOPIC)
        }


def _alive(value: str) -> bool:
    try:
        return checks.boolean(value)
    except ValueError as err:
        raise bad(f"Invalid input for alive. Reason: {err}.") from err
