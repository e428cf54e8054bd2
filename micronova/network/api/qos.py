"""What the network API has of QoS beyond policies and their rules.

GET /v2.0/qos/rule-types       -> {"rule_types": [{"type": "bandwidth_limit"}, …]}
GET /v2.0/qos/rule-types/TYPE  -> {"rule_type": {"type": …, "drivers": [{"name": …, "supported_parameters": […]}]}}
GET, PUT, DELETE /v2.0/qos/alias_bandwidth_limit_rules/RULE: the rule without its policy in the path
"""

from collections.abc import Callable, Sequence
from typing import Any

from micronova.http import Answer, Request, Route
from micronova.network import checks, listing, reading
from micronova.network.attributes import for_update
from micronova.network.manager import NetworkManager
from micronova.network.qos_rules import SUPPORTED, QosRules
from micronova.network.refusals import bad, missing, refusal
from micronova.network.resources.qos import DIRECTIONS, DSCP_MARKS
from micronova.network.wire import qos as wire_qos

KBPS = {"parameter_type": "range", "parameter_values": {"start": 0, "end": checks.INTEGER_MOST}}
VALUES: dict[str, dict[str, Any]] = {
    "max_kbps": KBPS,
    "max_burst_kbps": KBPS,
    "direction": {"parameter_type": "choices", "parameter_values": DIRECTIONS},
    "dscp_mark": {"parameter_type": "choices", "parameter_values": DSCP_MARKS},
}


def routes(manager: NetworkManager, rules: Sequence[QosRules]) -> list[Route]:
    """The routes of rule types and of rules by their ids alone."""
    types = RuleTypes(manager)
    root = f"{reading.ROOT}/qos"
    found = [Route("GET", f"{root}/rule-types", types.index), Route("GET", f"{root}/rule-types/{{type}}", types.get)]
    for collection in rules:
        alias = Alias(collection)
        for name in (f"alias_{collection.resource.plural}", f"alias-{collection.resource.plural.replace('_', '-')}"):
            one = f"{root}/{name}/{{id}}"
            found += [
                Route("GET", one, alias.get),
                Route("PUT", one, alias.update),
                Route("DELETE", one, alias.delete),
            ]
    return found


class RuleTypes:
    """The handlers of rule types."""

    def __init__(self, manager: NetworkManager) -> None:
        self._room = manager.room
        self._manager = manager

    async def index(self, request: Request) -> Any:
        wanted = listing.fields(request)
        return {"rule_types": [{"type": type} for type in SUPPORTED if not wanted or "type" in wanted]}

    async def get(self, request: Request) -> Any:
        type = request.path["type"]
        if not self._room.policy.allows(request.ctx, "get_rule_type"):
            raise refusal("PolicyNotAuthorized", "rule:get_rule_type is disallowed by policy", rule="get_rule_type")
        if type not in SUPPORTED:
            raise missing("rule_type", checks.short(type))
        parameters = [{"parameter_name": name, **VALUES[name]} for name in SUPPORTED[type]]
        drivers = [{"name": "micronova", "supported_parameters": parameters}]
        return {"rule_type": {"type": type, "drivers": drivers}}


class Alias:
    """The handlers of rules that are named without their policies."""

    def __init__(self, rules: QosRules) -> None:
        self._rules = rules
        self._noun = rules.resource.noun
        self._show: Callable[..., Any] = wire_qos.SHOW[self._noun]

    async def get(self, request: Request) -> Any:
        rules, id = await self._of(request)
        return self._shown((await rules.get(request.ctx, id)).rows[0])

    async def update(self, request: Request) -> Any:
        rules, id = await self._of(request)
        body = await reading.object_of(request)
        given = body.get(f"alias_{self._noun}", body.get(self._noun))
        if given is None:
            raise bad(f"Unable to find '{self._noun}' in request body")
        found = await rules.update(request.ctx, id, for_update(rules.resource, given))
        return self._shown(found.rows[0])

    async def delete(self, request: Request) -> Answer:
        rules, id = await self._of(request)
        await rules.delete(request.ctx, id)
        return Answer(status=204)

    async def _of(self, request: Request) -> tuple[QosRules, str]:
        id = reading.id_of(request, self._noun)
        return self._rules.within(await self._rules.policy_of(id)), id

    def _shown(self, row: Any) -> dict[str, Any]:
        return {f"alias_{self._noun}": self._show(self._rules.room, row, ())}
