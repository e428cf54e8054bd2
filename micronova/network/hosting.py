"""Which agents serve a network or router, and what an operator takes from one or gives back.

Every host serves what it has ports of, so that every DHCP agent has each network on which there is DHCP, and every L3
agent each router, but for what was taken from it. What is taken is not served on that host; nobody else does it for
its ports.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db
from micronova.network.agents import Agents
from micronova.network.collection import Collection, Found
from micronova.network.db import Agent, Hosting, Network, Router, Subnet
from micronova.network.duties import DHCP_AGENT, L3_AGENT
from micronova.network.refusals import refusal


class Duty(msgspec.Struct, frozen=True):
    """What one type of agent serves: networks or routers. The last three are names of refusals."""

    agent_type: str
    row: type[Any]
    rule: str
    invalid: str
    hosted: str
    not_hosted: str

    @property
    def noun(self) -> str:
        return self.row.__name__.lower()


DHCP = Duty(
    DHCP_AGENT, Network, "dhcp-network", "InvalidDHCPAgent", "NetworkHostedByDHCPAgent", "NetworkNotHostedByDhcpAgent"
)
L3 = Duty(L3_AGENT, Router, "l3-router", "InvalidL3Agent", "RouterHostedByL3Agent", "RouterNotHostedByL3Agent")


class AgentHosting:
    """Networks or routers on agents. `subjects` is the collection of them."""

    def __init__(self, duty: Duty, agents: Agents, subjects: Collection[Any]) -> None:
        self.duty = duty
        self._agents = agents
        self._subjects = subjects
        self.room = agents.room

    async def subjects_of(self, ctx: Context, agent_id: str) -> Found[Any]:
        """What the agent serves. Raises NotFound, Forbidden; an agent of another type serves nothing."""

        def read(tx: Tx) -> Found[Any]:
            self._check(ctx, f"get_{self.duty.rule}s")
            agent = self._agents.visible(tx, ctx, agent_id)
            found = self._served_by(tx, agent) if agent.agent_type == self.duty.agent_type else []
            return self._subjects.found_by(tx, ctx, found)

        return await self.room.db.read(read)

    async def agents_of(self, ctx: Context, subject_id: str) -> Found[Agent]:
        """The agents that serve it. Raises NotFound, Forbidden."""

        def read(tx: Tx) -> Found[Agent]:
            self._check(ctx, f"get_{self.duty.rule.partition('-')[0]}-agents")
            subject = self._subjects.visible(tx, ctx, subject_id)
            order = (("host", True), ("id", True))
            agents: list[Agent] = tx.find(Agent, agent_type=self.duty.agent_type, order=order)
            said = {row.host: row.served for row in self._said(tx, subject_id=subject.id)}
            usual = self._is_usual(tx, subject)
            return self._agents.found(tx, [agent for agent in agents if said.get(agent.host, usual)])

        return await self.room.db.read(read)

    async def give(self, ctx: Context, agent_id: str, subject_id: str) -> None:
        """The agent serves it again. Raises NotFound, Forbidden, Conflict when it does."""
        await self._say(ctx, agent_id, subject_id, served=True)

    async def take(self, ctx: Context, agent_id: str, subject_id: str) -> None:
        """The agent doesn't serve it any more. Raises NotFound, Forbidden, Conflict when it doesn't."""
        await self._say(ctx, agent_id, subject_id, served=False)

    # -- inside

    async def _say(self, ctx: Context, agent_id: str, subject_id: str, *, served: bool) -> None:
        def record(tx: Tx) -> None:
            self._check(ctx, f"{'create' if served else 'delete'}_{self.duty.rule}")
            agent = self._able(tx, ctx, agent_id, switched_on=served)
            subject = self._subjects.visible(tx, ctx, subject_id)
            key = f"{agent.agent_type}/{agent.host}/{subject.id}"
            row = tx.first(Hosting, id=key)
            now = row.served if row is not None else self._is_usual(tx, subject)
            if now == served:
                raise self._same(agent, subject.id, served)
            if row is not None:
                tx.change(row, served=served)
            else:
                kind, host = agent.agent_type, agent.host
                tx.insert(Hosting(id=key, agent_type=kind, host=host, subject_id=subject.id, served=served))
            self.room.tell(tx, ctx, [agent.host])

        await self.room.db.write(
            record, ctx, why=f"a {self.duty.noun} is {'given to' if served else 'taken from'} a host"
        )

    def _check(self, ctx: Context, rule: str) -> None:
        if not self.room.policy.allows(ctx, rule):
            raise refusal("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy", rule=rule)

    def _able(self, tx: Tx, ctx: Context, agent_id: str, *, switched_on: bool) -> Agent:
        agent = self._agents.visible(tx, ctx, agent_id)
        if agent.agent_type != self.duty.agent_type or (switched_on and not agent.admin_state_up):
            short = self.duty.agent_type.removesuffix(" agent")
            raise refusal(self.duty.invalid, f"Agent {agent.id} is not a valid {short} Agent or has been disabled.")
        return agent

    def _same(self, agent: Agent, subject_id: str, served: bool) -> Exception:
        by = f"by the {self.duty.agent_type.removesuffix(' agent')} Agent {agent.id}."
        if served:
            return refusal(self.duty.hosted, f"The {self.duty.noun} {subject_id} has been already hosted {by}")
        return refusal(self.duty.not_hosted, f"The {self.duty.noun} {subject_id} is not hosted {by}")

    def _said(self, tx: Tx, **where: str) -> list[Hosting]:
        return tx.find(Hosting, agent_type=self.duty.agent_type, **where)  # type: ignore[arg-type]

    def _is_usual(self, tx: Tx, subject: Any) -> bool:
        """Whether agents of which nothing was said serve it."""
        return self.duty.row is Router or bool(tx.count(Subnet, network_id=subject.id, enable_dhcp=True))

    def _served_by(self, tx: Tx, agent: Agent) -> Sequence[Any]:
        said = {row.subject_id: row.served for row in self._said(tx, host=agent.host)}
        if self.duty.row is Router:
            usual = {row.id for row in tx.find(Router)}
        else:
            usual = {row.network_id for row in tx.find(Subnet, enable_dhcp=True)}
        ids = {id for id in usual if said.get(id, True)} | {id for id, served in said.items() if served}
        found = db.find_all(tx, self.duty.row, ids)
        return [found[id] for id in sorted(found)]
