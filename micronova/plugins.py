"""Names in the configuration to classes: the entry-point groups `micronova.managers`, `.drivers.ROOM`, `.bus`, `.db`.

A third party's manager or driver is one pip-installed file whose package names it in one of these groups.
"""

from importlib.metadata import EntryPoint, distributions
from typing import Any

from micronova.errors import ConfigError

GROUPS = "micronova."
MANAGERS = "micronova.managers"
BUS = "micronova.bus"
DB = "micronova.db"


def drivers(room: str) -> str:
    """The group of a room's drivers."""
    return f"micronova.drivers.{room}"


class Plugins:
    """What is installed, read once."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, EntryPoint]] = {}
        for distribution in distributions():
            if GROUPS not in (distribution.read_text("entry_points.txt") or ""):
                continue  # most of what is installed; taking each file apart costs 20 times as much
            for point in distribution.entry_points:
                if point.group.startswith(GROUPS):
                    self._groups.setdefault(point.group, {})[point.name] = point

    def names(self, group: str) -> list[str]:
        """What is installed in a group, by name."""
        return sorted(self._groups.get(group, {}))

    def load(self, group: str, name: str, option: str) -> Any:
        """The class a name stands for. Raises ConfigError naming the option and what there is, or why it can't load."""
        point = self._groups.get(group, {}).get(name)
        if point is None:
            there = ", ".join(self.names(group)) or "none; after an update of micronova, run script/bootstrap again"
            raise ConfigError(f"configuration: {option}: there is no {name!r} in {group}; installed: {there}")
        try:
            return point.load()
        except (ImportError, AttributeError) as err:
            raise ConfigError(f"configuration: {option}: {point.value} can't be loaded: {err}") from err
