"""Which back end a new volume goes to, and why. Pure: a request and the pools as they are, in; a choice, out.

Extra specs of the volume's type are compared with what a pool tells of itself: `volume_backend_name=ssd`,
`multiattach=<is> True`, `capabilities:total_capacity_gb=>= 100`. Those of another scope (`quality:x`) mean somebody
else (Cinder administrator guide, "Configure multiple-storage back ends").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

SCOPES = ("capabilities",)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and what counts for the choice. `facts` are what extra specs may ask for."""

    id: str
    host: str
    backend: str
    zone: str
    alive: bool = True
    enabled: bool = True
    thin: bool = False
    total_gib: float = 0
    free_gib: float = 0
    promised_gib: int = 0
    over_commit: float = 1.0
    reserved_percent: int = 0
    facts: Mapping[str, Any] = {}

    @property
    def room_gib(self) -> float:
        """What may still be promised."""
        reserved = self.total_gib * self.reserved_percent / 100
        if not self.thin:
            return self.free_gib - reserved
        return (self.total_gib - reserved) * self.over_commit - self.promised_gib


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A place for a volume. `only` names pools it must be one of; () means any. `never` is the opposite."""

    size_gib: int
    zone: str | None = None
    specs: Mapping[str, str] = {}
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    near_host: str = ""
    """Pools of this host come before all others."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`pool` "" means: nowhere. `message` says why, with numbers; `facts` has the whole reckoning."""

    pool: str = ""
    host: str = ""
    backend: str = ""
    message: str
    facts: dict[str, Any] = {}


def choose(wanted: Wanted, pools: Sequence[Candidate]) -> Choice:
    """The pool with the most room of those that pass every filter; of equal ones the first by name."""
    left = sorted(pools, key=lambda pool: pool.id)
    removed: dict[str, list[str]] = {}
    for name, passes in _filters(wanted):
        out = [pool for pool in left if not passes(pool)]
        left = [pool for pool in left if passes(pool)]
        if out:
            removed[name] = [_missed(name, wanted, pool) for pool in out]
    facts: dict[str, Any] = {"pools": len(pools), "removed": removed}
    if not left:
        said = "; ".join(f"{name}: {', '.join(missed)}" for name, missed in removed.items()) or "there are none"
        return Choice(message=f"No back end can take {wanted.size_gib} GiB. {said}", facts=facts)
    weights = {pool.id: round(pool.room_gib, 1) for pool in left}
    near = [pool for pool in left if pool.host == wanted.near_host] or left
    best = max(near, key=lambda pool: weights[pool.id])
    message = f"{best.id} has the most room of {len(near)}: {weights[best.id]:g} GiB"
    return Choice(
        pool=best.id, host=best.host, backend=best.backend, message=message, facts={**facts, "weights": weights}
    )


def _filters(wanted: Wanted) -> list[tuple[str, Callable[[Candidate], bool]]]:
    return [
        ("alive", lambda pool: pool.alive),
        ("enabled", lambda pool: pool.enabled),
        ("asked for", lambda pool: (not wanted.only or pool.id in wanted.only) and pool.id not in wanted.never),
        ("zone", lambda pool: wanted.zone is None or pool.zone == wanted.zone),
        ("extra specs", lambda pool: not lacking(wanted.specs, pool.facts)),
        ("room", lambda pool: pool.room_gib >= wanted.size_gib),
    ]


def _missed(name: str, wanted: Wanted, pool: Candidate) -> str:
    """The pool, and by how much it failed a filter."""
    match name:
        case "room":
            return f"{pool.id} lacks {wanted.size_gib - pool.room_gib:.1f} GiB"
        case "extra specs":
            key = lacking(wanted.specs, pool.facts)[0]
            return f"{pool.id} has {key} {fact(pool.facts, key)}, not {wanted.specs[key]}"
        case "zone":
            return f"{pool.id} is in {pool.zone}, not {wanted.zone}"
        case "alive":
            return f"{pool.id} does not answer"
        case "enabled":
            return f"{pool.id} is disabled"
    return pool.id


def lacking(specs: Mapping[str, str], facts: Mapping[str, Any]) -> list[str]:
    """The extra specs, by key, that a pool with these facts does not meet."""
    wrong = []
    for key, asked in sorted(specs.items()):
        scope, colon, _ = key.partition(":")
        if colon and scope not in SCOPES:
            continue
        if not meets(fact(facts, key), asked):
            wrong.append(key)
    return wrong


def fact(facts: Mapping[str, Any], key: str) -> Any:
    """What a pool says of an extra spec's key; None when nothing."""
    return facts.get(key.rpartition(":")[2])


def meets(value: Any, asked: str) -> bool:
    """Whether a fact is as asked: a plain text, or an operator and its operands."""
    operator, _, rest = asked.strip().partition(" ")
    rest = rest.strip()
    if value is None:
        return False
    match operator:
        case "<is>":
            return str(value).lower() == rest.lower()
        case "<in>":
            return rest in str(value)
        case "<or>":
            return str(value) in [word.strip() for word in asked.split("<or>")[1:]]
        case "s==":
            return str(value) == rest
        case "s!=":
            return str(value) != rest
        case "=" | "==" | ">=" | "<=" | "!=":
            return _compares(operator, value, rest)
    return str(value) == asked.strip()


def _compares(operator: str, value: Any, rest: str) -> bool:
    try:
        have, want = float(value), float(rest)
    except (TypeError, ValueError):
        return False
    return {
        "=": have >= want,
        ">=": have >= want,
        "==": have == want,
        "<=": have <= want,
        "!=": have != want,
    }[operator]
