"""Policy: who may do what, as data. oslo.policy's language, compiled once to closures.

    role:admin                          the caller has the role
    project_id:%(project_id)s           a fact of the caller equals a field of the target
    'manager':%(role)s  True:%(shared)s a literal equals a field of the target
    rule:other   @   !                  another rule; always; never
    not A   A and B   A or B   ( )      in this order of strength; no text at all means always

Facts of the caller are the keys of `FACTS`. One thing is stricter than oslo.policy: a fact the caller does not have
(the project of an unscoped token) never equals a field of the target, even when that is empty too. A rule that can't
be understood refuses the start instead of denying silently.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from micronova.context import Context
from micronova.errors import ConfigError, Forbidden

Target = Mapping[str, Any]
Check = Callable[[Context, Target], bool]

BASE: Mapping[str, str] = {
    "admin": "role:admin or is_admin:True",
    "admin_required": "rule:admin",
    "admin_api": "rule:admin",
    "context_is_admin": "rule:admin",
    "owner": "project_id:%(project_id)s",
    "user_owner": "user_id:%(user_id)s",
    "admin_or_owner": "rule:admin or rule:owner",
    "service": "role:service",
    "project_manager": "role:manager and project_id:%(project_id)s",
    "project_member": "role:member and project_id:%(project_id)s",
    "project_reader": "role:reader and project_id:%(project_id)s",
    "project_manager_or_admin": "rule:project_manager or rule:admin",
    "project_member_or_admin": "rule:project_member or rule:admin",
    "project_reader_or_admin": "rule:project_reader or rule:admin",
    "system_reader": "role:reader and system_scope:all",
}
"""Rules that all rooms build on."""

FACTS: Mapping[str, Callable[[Context], str]] = {
    "user_id": attrgetter("user_id"),
    "project_id": attrgetter("project_id"),
    "tenant_id": attrgetter("project_id"),
    "domain_id": attrgetter("domain_id"),
    "user_domain_id": attrgetter("user_domain_id"),
    "project_domain_id": attrgetter("project_domain_id"),
    "system_scope": lambda ctx: "all" if ctx.system_scope else "",
    "is_admin": lambda ctx: str(ctx.is_admin),
}
"""What a rule may ask of the caller; "" where it has none. Its roles (lower case) are asked by `role:`."""

NOWHERE = "None"
"""How oslo.policy writes the absence of a fact."""


class Policy:
    """All rules of the cloud: the built-in ones and an operator's that replace them.

    Raises ConfigError naming file and rule for one that can't be understood, refers to nothing or to itself.
    """

    def __init__(self, defaults: Mapping[str, str], overrides_file: Path | None = None) -> None:
        texts = {**BASE, **defaults}
        origins = dict.fromkeys(texts, "built-in policy")
        if overrides_file is not None:
            for name, text in _read(overrides_file).items():
                texts[name], origins[name] = text, str(overrides_file)
        compiler = _Compiler(texts, origins)
        self._checks: dict[str, Check] = {name: compiler.rule(name) for name in texts}
        strays = set(texts) - set(BASE) - set(defaults) - compiler.referred
        if strays:
            raise ConfigError(f"policy: {overrides_file}: {min(strays)} is no rule of this cloud")

    @property
    def names(self) -> frozenset[str]:
        """Every rule there is."""
        return frozenset(self._checks)

    def allows(self, ctx: Context, rule: str, target: Target | None = None) -> bool:
        """Whether the caller passes the rule. `target` None means the caller's own project and user."""
        if target is None:
            target = {"project_id": ctx.project_id, "user_id": ctx.user_id}
        return self._checks[rule](ctx, target)

    def require(self, ctx: Context, rule: str, target: Target | None = None) -> None:
        """Return when the caller passes the rule. Raises Forbidden naming it when not."""
        if not self.allows(ctx, rule, target):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.", rule=rule)


def _read(file: Path) -> dict[str, str]:
    # imported on use: most clouds have no such file
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(file.read_text())
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"policy: {file} can't be read: {err}") from err
    except YAMLError as err:
        raise ConfigError(f"policy: {file} is not YAML: {err}") from err
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"policy: {file} is not a table of rules")
    for name, text in found.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ConfigError(f"policy: {file}: {name}: a rule is a text")
    return found


class _Compiler:
    """Compiles each rule once, in whatever order they refer to each other."""

    def __init__(self, texts: Mapping[str, str], origins: Mapping[str, str]) -> None:
        self._texts = texts
        self._origins = origins
        self._done: dict[str, Check] = {}
        self._open: list[str] = []
        self.referred: set[str] = set()

    def rule(self, name: str) -> Check:
        """The check of a rule by name."""
        if name in self._done:
            return self._done[name]
        if name in self._open:
            raise self._wrong(name, "it refers to itself")
        self._open.append(name)
        try:
            self._done[name] = _Parser(self._texts[name], self.reference).parse()
        except ValueError as err:
            raise self._wrong(name, str(err)) from err
        self._open.pop()
        return self._done[name]

    def reference(self, name: str) -> Check:
        """The check of a rule that another one refers to."""
        if name not in self._texts:
            raise ValueError(f"there is no rule {name}")
        self.referred.add(name)
        return self.rule(name)

    def _wrong(self, name: str, reason: str) -> ConfigError:
        return ConfigError(f"policy: {self._origins[name]}: {name}: {reason}")


# -- the grammar


class _Parser:
    """One rule's text by recursive descent: or < and < not < check."""

    def __init__(self, text: str, reference: Callable[[str], Check]) -> None:
        self._text = text
        self._reference = reference
        self._tokens = list(_tokens(text))
        self._next = 0

    def parse(self) -> Check:
        """Raises ValueError saying what is wrong."""
        if not self._text:
            return _always
        check = self._either()
        if self._peek():
            raise ValueError(f"{self._peek()!r} is not expected there")
        return check

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _accept(self, word: str) -> bool:
        if self._peek().lower() != word:
            return False
        self._next += 1
        return True

    def _either(self) -> Check:
        parts = [self._both()]
        while self._accept("or"):
            parts.append(self._both())
        return _any(parts)

    def _both(self) -> Check:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return _all(parts)

    def _one(self) -> Check:
        if self._accept("not"):
            inner = self._one()
            return lambda ctx, target: not inner(ctx, target)
        if self._accept("("):
            check = self._either()
            if not self._accept(")"):
                raise ValueError("a parenthesis is not closed")
            return check
        token = self._peek()
        if token in ("", ")") or token.lower() in ("and", "or"):
            raise ValueError(f"a check is missing before {token!r}" if token else "a check is missing at the end")
        self._next += 1
        return self._check(token)

    def _check(self, token: str) -> Check:
        if token == "@":
            return _always
        if token == "!":
            return _never
        kind, colon, match = token.partition(":")
        if not colon or not kind or (token[0] in "'\"" and token[0] == token[-1]):
            raise ValueError(f"{token!r} is no check")
        if kind == "rule":
            return self._reference(match)
        if kind == "role":
            return _role(match)
        if kind in FACTS:
            return _fact(kind, match)
        return _literal(kind, match)


def _tokens(text: str) -> Iterator[str]:
    """Words and parentheses. Parentheses count at the ends of a word only: `%(name)s` has its own."""
    for word in text.split():
        inner = word.lstrip("(")
        yield from "(" * (len(word) - len(inner))
        clean = inner.rstrip(")")
        if clean:
            yield clean
        yield from ")" * (len(inner) - len(clean))


# -- checks


def _always(ctx: Context, target: Target) -> bool:
    return True


def _never(ctx: Context, target: Target) -> bool:
    return False


def _any(parts: list[Check]) -> Check:
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], _any(parts[1:])
    return lambda ctx, target: first(ctx, target) or rest(ctx, target)


def _all(parts: list[Check]) -> Check:
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], _all(parts[1:])
    return lambda ctx, target: first(ctx, target) and rest(ctx, target)


def _role(match: str) -> Check:
    if "%" not in match:
        role = match.lower()
        return lambda ctx, target: role in ctx.roles
    fill = _template(match)

    def check(ctx: Context, target: Target) -> bool:
        wanted = fill(target)
        return wanted is not None and wanted.lower() in ctx.roles

    return check


def _fact(name: str, match: str) -> Check:
    fact = FACTS[name]
    if "%" not in match:
        if match == NOWHERE:
            return lambda ctx, target: not fact(ctx)
        return lambda ctx, target: fact(ctx) == match
    field = _only_field(match)
    if field is not None:
        return _same(fact, field)
    fill = _template(match)

    def check(ctx: Context, target: Target) -> bool:
        mine = fact(ctx)
        return bool(mine) and fill(target) == mine

    return check


def _same(fact: Callable[[Context], str], field: str) -> Check:
    """The most frequent check: a fact of the caller equals a field of the target."""

    def check(ctx: Context, target: Target) -> bool:
        mine = fact(ctx)
        value = target.get(field)
        return bool(mine) and (value == mine or (value is not None and str(value) == mine))

    return check


def _literal(kind: str, match: str) -> Check:
    try:
        text = str(ast.literal_eval(kind))
    except (ValueError, SyntaxError) as err:
        raise ValueError(f"{kind!r} is neither a fact of the caller nor a literal") from err
    fill = _template(match)
    return lambda ctx, target: fill(target) == text


def _only_field(match: str) -> str | None:
    found = re.fullmatch(r"%\(([^()%]+)\)s", match)
    return found[1] if found else None


def _template(match: str) -> Callable[[Target], str | None]:
    """Fills in `%(field)s`; None when the target lacks a field."""
    if re.sub(r"%\([^()%]+\)s|%%", "", match).count("%"):
        raise ValueError(f"{match!r}: only %(field)s can be filled in")

    def fill(target: Target) -> str | None:
        try:
            return match % target
        except KeyError:
            return None

    return fill
