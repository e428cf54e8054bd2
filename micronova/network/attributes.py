"""A resource of the API as data: its attributes, who may set them, what is kept of them. One machine for all.

An attribute says its name on the wire, the column it is kept in, how a value is checked, and whether POST and PUT may
set it. What POST leaves out gets the default; one without a default is required.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from micronova.network.checks import Check
from micronova.network.refusals import bad, wrong

Values = dict[str, Any]


class Attribute(msgspec.Struct, frozen=True):
    """One attribute. `guarded`: to set it, the caller must pass the rule `create_network:name` (update_…)."""

    name: str
    check: Check | None = None
    post: bool = False
    put: bool = False
    required: bool = False
    default: Any = None
    column: str = ""
    """The column it is kept in; the same as `name` when empty."""
    guarded: bool = False
    stored: bool = True
    """Whether a column holds just this value, so that the database may filter and sort by it."""
    omit: bool = False
    """Left out of what the collection gets when the caller didn't give it (None would mean something else)."""

    @property
    def key(self) -> str:
        return self.column or self.name


class Resource(msgspec.Struct, frozen=True):
    """A kind of resource. `noun` and `plural` as in bodies.

    A path begins with `folder`, in which `{id}` is the parent's id; it has dashes, but not inside of another one.
    """

    noun: str
    plural: str
    attributes: tuple[Attribute, ...]
    folder: str = ""
    inside: str = ""
    """The noun of its parent, for what lives inside of another resource."""
    verbs: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE")
    """What clients may do to it."""

    @property
    def path(self) -> str:
        return self.folder + (self.plural if self.inside else self.plural.replace("_", "-"))

    @property
    def ruled(self) -> str:
        """What policy rules call it."""
        return f"{self.inside}_{self.noun}" if self.inside else self.noun

    def named(self) -> dict[str, Attribute]:
        return {attribute.name: attribute for attribute in self.attributes}


class Asked(msgspec.Struct, frozen=True):
    """What a request wants to set, by column, and the further rules that the caller must pass for it."""

    values: Values
    rules: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()


def for_create(resource: Resource, given: Any) -> Asked:
    """A POST's object, checked and completed. Raises BadRequest as Neutron words it."""
    named = resource.named()
    body = _object(resource, given, named)
    refused = [name for name in body if not named[name].post]
    if refused:
        raise bad(f"Attribute '{refused[0]}' not allowed in POST")
    absent = [a.name for a in resource.attributes if a.required and a.name not in body]
    if absent:
        raise bad(f"Failed to parse request. Required attribute '{absent[0]}' not specified")
    values: Values = {}
    for attribute in resource.attributes:
        if attribute.name in body:
            values[attribute.key] = _checked(attribute, body[attribute.name])
        elif attribute.post and not attribute.omit:
            values[attribute.key] = attribute.default
    return Asked(values, _rules("create", resource, named, body), frozenset(named[name].key for name in body))


def for_update(resource: Resource, given: Any) -> Asked:
    """A PUT's object, checked. Raises BadRequest as Neutron words it."""
    named = resource.named()
    body = _object(resource, given, named)
    refused = [name for name in body if not named[name].put]
    if refused:
        raise bad(f"Cannot update read-only attribute {refused[0]}")
    values = {named[name].key: _checked(named[name], value) for name, value in body.items()}
    return Asked(values, _rules("update", resource, named, body), frozenset(values))


def _object(resource: Resource, given: Any, named: Mapping[str, Attribute]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad(f"Invalid input for {resource.noun}. Reason: it is not a dictionary.")
    body = _with_project(given)
    unknown = sorted(name for name in body if name not in named)
    if unknown:
        said = ", ".join(unknown)[:200].encode(errors="replace").decode()
        raise bad(f"Unrecognized attribute(s) '{said}'")
    return body


def _with_project(given: dict[str, Any]) -> dict[str, Any]:
    """`tenant_id` is the old word for `project_id`. Raises BadRequest when both are there and differ."""
    if "tenant_id" not in given:
        return given
    body = dict(given)
    old = body.pop("tenant_id")
    if body.setdefault("project_id", old) != old:
        raise bad("'project_id' and 'tenant_id' do not match")
    return body


def _checked(attribute: Attribute, value: Any) -> Any:
    if attribute.check is None:
        return value
    try:
        return attribute.check(value)
    except ValueError as err:
        raise wrong(attribute.name, str(err)) from err


def _rules(verb: str, resource: Resource, named: Mapping[str, Attribute], body: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{verb}_{resource.ruled}:{name}" for name in body if named[name].guarded)
