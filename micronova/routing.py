"""Which handler answers a path: one routing table an API, made when the API is first asked for.

A table follows from the paths alone, and making one takes longer than all else of an application's start. So
applications of one process may share tables; what answers is each one's own.
"""

from collections.abc import Mapping
from typing import Any

from falcon.routing import CompiledRouter, map_http_methods, set_default_responders


class Tables:
    """Routing tables by the paths they know, made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], CompiledRouter] = {}

    def of(self, templates: tuple[str, ...]) -> CompiledRouter:
        """The table of these paths."""
        table = self._made.get(templates)
        if table is None:
            table, place = CompiledRouter(), _Place()
            for template in templates:
                table.add_route(template, place, _asgi=True)
            self._made[templates] = table
        return table


class Router(CompiledRouter):
    """What Falcon asks for the resource of a path. Paths are told by prefix, the longest that fits decides."""

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__()
        self._tables = tables or Tables()
        self._resources: dict[str, Mapping[str, object]] = {}
        self._prefixes: list[str] = []
        self._methods: dict[str, dict[str, Any]] = {}

    def mount(self, prefix: str, resources: Mapping[str, object]) -> None:
        """Paths below `prefix` are answered by these resources, by template ("/v2/{id}", without the prefix)."""
        self._resources[prefix] = {(prefix + path) or "/": resource for path, resource in resources.items()}
        self._prefixes = sorted(self._resources, key=len, reverse=True)

    def find(self, uri: str, req: Any = None) -> tuple[object, Any, dict[str, Any], str | None] | None:
        """The resource, its methods, what the path's fields hold, and the template; None for no such path."""
        for prefix in self._prefixes:
            if uri == prefix or uri.startswith(f"{prefix}/"):
                there = self._resources[prefix]
                found = self._tables.of(tuple(there)).find(uri, req=req)
                if found is None:
                    return None
                template = found[3] or ""
                return there[template], self._methods_of(template, there[template]), found[2], template
        return None

    def _methods_of(self, template: str, resource: object) -> dict[str, Any]:
        if template not in self._methods:
            methods = map_http_methods(resource)
            set_default_responders(methods, asgi=True)
            self._methods[template] = methods
        return self._methods[template]


class _Place:
    """Stands for whatever answers."""

    async def on_get(self, req: Any, resp: Any, **path: str) -> None:
        """Never asked."""
