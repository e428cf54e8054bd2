"""Networks and routers on agents (Networking API reference, "DHCP agent scheduler", "L3 agent scheduler").

POST   /v2.0/agents/ID/dhcp-networks {"network_id": ID}   -> 201 null
GET    /v2.0/agents/ID/dhcp-networks                      -> 200 {"networks": […]}
DELETE /v2.0/agents/ID/dhcp-networks/ID                   -> 204
GET    /v2.0/networks/ID/dhcp-agents                      -> 200 {"agents": […]}
"""

from typing import Any

from micronova.http import Answer, Request, Route
from micronova.network import checks, listing, reading, wire
from micronova.network.hosting import AgentHosting
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad, missing, wrong
from micronova.network.wire.operators import show_agent


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of what agents serve."""
    found: list[Route] = []
    for hosting in (manager.dhcp_hosting, manager.l3_hosting):
        found += Handlers(hosting).routes()
    return found


class Handlers:
    """The handlers for networks on DHCP agents, or routers on L3 agents."""

    def __init__(self, hosting: AgentHosting) -> None:
        self._hosting = hosting
        self._noun = hosting.duty.noun

    def routes(self) -> list[Route]:
        """Routes from both sides."""
        rule = self._hosting.duty.rule
        many = f"{reading.ROOT}/agents/{{id}}/{rule}s"
        agents = f"{reading.ROOT}/{self._noun}s/{{id}}/{rule.partition('-')[0]}-agents"
        return [
            Route("GET", many, self.subjects),
            Route("POST", many, self.give),
            Route("DELETE", f"{many}/{{subject}}", self.take),
            Route("GET", agents, self.agents),
        ]

    async def subjects(self, request: Request) -> Any:
        found = await self._hosting.subjects_of(request.ctx, reading.id_of(request, "agent"))
        return {f"{self._noun}s": self._shown(request, wire.SHOW[self._noun], found)}

    async def agents(self, request: Request) -> Any:
        found = await self._hosting.agents_of(request.ctx, reading.id_of(request, self._noun))
        return {"agents": self._shown(request, show_agent, found)}

    async def give(self, request: Request) -> Answer:
        name = f"{self._noun}_id"
        body = await reading.object_of(request)
        if set(body) != {name}:
            raise bad(f"Invalid input for {self._hosting.duty.rule}. Reason: '{name}' alone is expected.")
        try:
            subject = checks.uuid(body[name])
        except ValueError as err:
            raise wrong(name, str(err)) from err
        await self._hosting.give(request.ctx, reading.id_of(request, "agent"), subject)
        return Answer(status=201, body=b"null")

    async def take(self, request: Request) -> Answer:
        subject = request.path["subject"]
        if not checks.UUID.fullmatch(subject):
            raise missing(self._noun, checks.short(subject))
        await self._hosting.take(request.ctx, reading.id_of(request, "agent"), subject)
        return Answer(status=204)

    def _shown(self, request: Request, show: wire.Show, found: Any) -> list[dict[str, Any]]:
        room, wanted = self._hosting.room, listing.fields(request)
        shown = [show(room, row, found.parts.get(row.id, ())) for row in found.rows]
        return [{name: value for name, value in one.items() if not wanted or name in wanted} for one in shown]
