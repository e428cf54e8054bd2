"""Which chains of rules this host's ports use, and which groups these name: what nobody uses any more may go.

Ports with the same rules share one chain a direction, called by its content: a rule that a thousand ports have is
there once, and changing it is one small change.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from micronova.network.driver import PortSpec, RuleSpec
from micronova.network.drivers.served.filters import security_group

REMEMBERED = 1000


class Chain(msgspec.Struct, frozen=True):
    """Rules of one direction under a name that follows from them. `groups` are the ids that they name."""

    name: str
    lines: tuple[str, ...]
    groups: frozenset[str]


class Usage:
    """Chains and groups in use, counted."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}
        self._ports: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._known: dict[tuple[RuleSpec, ...] | None, tuple[Chain, Chain]] = {}

    def chains_of(self, spec: PortSpec) -> tuple[Chain, Chain]:
        """The chains for what a port sends and for what it gets. Raises Rejected for rules that can't be."""
        rules = spec.rules if spec.secured else None
        found = self._known.get(rules)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = (_chain(rules, "egress"), _chain(rules, "ingress"))
            self._known[rules] = found
        return found

    def add(self, spec: PortSpec) -> None:
        """One port more uses its chains."""
        for chain in self.chains_of(spec):
            self._ports[chain.name] += 1
            if chain.name not in self._chains:
                self._chains[chain.name] = chain
                self._groups.update(chain.groups)

    def drop(self, spec: PortSpec) -> None:
        """One port less uses its chains."""
        for chain in self.chains_of(spec):
            self._ports[chain.name] -= 1
            if self._ports[chain.name] <= 0 and self._chains.pop(chain.name, None) is not None:
                del self._ports[chain.name]
                self._groups.subtract(chain.groups)

    def chains(self) -> list[Chain]:
        """Every chain in use, in order of name."""
        return [chain for _, chain in sorted(self._chains.items())]

    def unused(self, chains: Iterable[Chain]) -> list[Chain]:
        """Those of `chains` that no port uses, each once."""
        return list({chain.name: chain for chain in chains if chain.name not in self._chains}.values())

    def is_named(self, group_id: str) -> bool:
        """Whether a chain in use names the group."""
        return self._groups[group_id] > 0


def _chain(rules: tuple[RuleSpec, ...] | None, direction: str) -> Chain:
    """None lets everything pass."""
    lines = ("accept",) if rules is None else tuple(security_group(rules, direction))
    digest = hashlib.blake2s("\n".join(lines).encode(), digest_size=10).hexdigest()
    named = (rule.remote_group for rule in rules or () if rule.direction == direction)
    return Chain(f"{direction}-{digest}", lines, frozenset(id for id in named if id is not None))
