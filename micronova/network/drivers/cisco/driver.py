"""CliSwitch: a switch with a command line. Reads, says what differs, reads again."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from micronova.errors import DriverError, Rejected
from micronova.network.drivers.cisco import plan, reading
from micronova.network.drivers.cisco.login import Login
from micronova.network.drivers.cisco.session import Refused, Session, settled
from micronova.network.drivers.cisco.ssh import ConnectionLost, Unanswered
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.drivers.cisco.turns import Turns
from micronova.network.switch import SwitchChange, SwitchFacts, SwitchPortSpec
from micronova.network.switch_changes import PortState, State, check, unmet, vlan_facts, with_all_ports
from micronova.network.switch_file import SwitchSettings

LOG = logging.getLogger(__name__)
ATTEMPTS = 2
"""How often a change is begun when the connection is lost in its midst."""
T = TypeVar("T")


class CliSwitch:
    """One switch, by the commands of its vendor's table.

    A session lasts as long as there is something to do: switches have few places for logins, and every host that
    manages them needs one. What several callers want at once is done in one session.
    """

    def __init__(self, table: CommandTable, login: Login, settings: SwitchSettings) -> None:
        self._table = table
        self._login = login
        self._ports = settings.ports
        self._uplinks = settings.uplinks
        self._save = settings.save
        self._unsaved = False
        self._turns = Turns(self._work)

    @classmethod
    def configured(cls, table: CommandTable, name: str, settings: SwitchSettings, folder: Path) -> Self:
        """The switch of a section of the switches file. Raises ConfigError naming the key that is wrong."""
        return cls(table, Login.configured(name, settings, folder), settings)

    async def apply(self, change: SwitchChange) -> None:
        """Make the change true, as the contract says; ports that aren't in the switches file are Rejected."""
        check(change, self._table.reserved)
        strange = sorted({spec.port for spec in change.ports} - set(self._ports))
        if strange:
            raise Rejected(f"switch {self._login.name}: port {strange[0]} is nobody's in the switches file")
        if change != SwitchChange():
            await self._turns.take(change)

    async def facts(self, ports: tuple[str, ...] = ()) -> SwitchFacts:
        """What the switch has now."""
        check(SwitchChange(ports=tuple(SwitchPortSpec(port=port) for port in ports)), self._table.reserved)

        async def look(session: Session) -> State:
            return await self._read(session, ports, vlans=True)

        async with self._turns.lock:
            state = await self._in_session(look)
        return SwitchFacts(vlans=vlan_facts(state.vlans), ports=tuple(state.ports[port].facts for port in ports))

    async def close(self) -> None:
        """Nothing to let go of: no session outlives its work."""

    # -- inside

    async def _work(self, change: SwitchChange) -> None:
        wanted = with_all_ports(change, self._ports, self._uplinks)
        await self._in_session(lambda session: self._converge(session, wanted))

    async def _in_session(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Work in a session of its own; a lost one is replaced, and the work begins with reading again."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._session() as session:
                    return await work(session)
            except ConnectionLost as err:
                if attempt == ATTEMPTS:
                    raise Unanswered(err.message) from err
                LOG.warning("switch %s: connection lost, beginning again", self._login.name)
            except Refused as err:
                raise settled(err) from err
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        session = await Session.begin(self._table, self._login)
        try:
            yield session
        finally:
            await session.end()

    async def _converge(self, session: Session, wanted: SwitchChange) -> None:
        ports, vlans = [spec.port for spec in wanted.ports], _concerns_vlans(wanted)
        blocks = plan.blocks(self._table, await self._read(session, ports, vlans), wanted)
        if not blocks:
            await self._keep(session)
            return
        self._unsaved = True
        refused = await self._tell(session, blocks)
        left = unmet(await self._read(session, ports, vlans), wanted)
        if left and refused:
            raise refused
        if left:
            raise DriverError(f"switch {self._login.name} took the change, but {left[0]}", left=left[:10])
        LOG.info("switch %s changed: %s", self._login.name, "; ".join(", ".join(block) for block in blocks))
        await self._keep(session)

    async def _tell(self, session: Session, blocks: list[plan.Block]) -> Refused | None:
        """What the switch refused, if anything. It may be no matter: somebody else may have done the same."""
        refused = None
        try:
            await session.tell(blocks)
        except Refused as err:
            refused = err
        await session.leave()
        return refused

    async def _keep(self, session: Session) -> None:
        """What was changed survives the switch's restart. Where it does not, the next change tries again."""
        if not (self._save and self._unsaved):
            return
        try:
            await session.ask(self._table.save, self._login.save_seconds)
        except DriverError as err:
            LOG.warning("switch %s keeps its changes only until it restarts: %s", self._login.name, err)
            return
        self._unsaved = False

    async def _read(self, session: Session, ports: Iterable[str], vlans: bool) -> State:
        names = reading.vlans(self._table, await session.ask(self._table.show_vlans)) if vlans else {}
        found: dict[str, PortState] = {}
        for name in ports:
            text = await session.ask(self._table.show_port.format(port=name))
            found[name] = reading.port(self._table, name, text)
        return State(vlans=names, ports=found)


def _concerns_vlans(change: SwitchChange) -> bool:
    return bool(change.vlans or change.gone or any(spec.carries for spec in change.ports))
