"""One at a time on a switch, and together what waited meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

from micronova.errors import DriverError
from micronova.network.drivers.cisco.ssh import Unanswered
from micronova.network.switch import LoginRefused, SwitchChange
from micronova.network.switch_changes import contradiction, merge


class _Asked:
    """A change somebody waits for, and how it ended."""

    def __init__(self, change: SwitchChange) -> None:
        self.change = change
        self.done = False
        self.error: DriverError | None = None


class Turns:
    """Changes of one switch: who comes while another is at work waits, and is served with all who wait."""

    def __init__(self, work: Callable[[SwitchChange], Awaitable[None]]) -> None:
        self.lock = asyncio.Lock()
        self._work = work
        self._waiting: list[_Asked] = []

    async def take(self, change: SwitchChange) -> None:
        """The change was worked on, alone or with others. Raises the DriverError it ended with.

        A caller that is cancelled takes nobody along: the others' changes are done by the next of them.
        """
        asked = _Asked(change)
        self._waiting.append(asked)
        try:
            async with self.lock:
                if not asked.done:
                    await self._serve(list(self._waiting))
        finally:
            self._waiting.remove(asked)
        if asked.error is not None:
            raise type(asked.error)(asked.error.message, **asked.error.facts) from asked.error

    async def _serve(self, all: list[_Asked]) -> None:
        """One who asks for what the switch refuses must not fail the others: then it is each for himself."""
        together = merge(asked.change for asked in all)
        groups = [all] if not contradiction(together) else [[asked] for asked in all]
        for group in groups:
            error = await self._attempt(merge(asked.change for asked in group))
            if error is None or len(group) == 1 or isinstance(error, Unanswered | LoginRefused):
                _settle(group, error)
                continue
            for asked in group:
                _settle([asked], await self._attempt(asked.change))

    async def _attempt(self, change: SwitchChange) -> DriverError | None:
        try:
            await self._work(change)
        except DriverError as err:
            return err
        return None


def _settle(group: list[_Asked], error: DriverError | None) -> None:
    for asked in group:
        asked.done, asked.error = True, error
