"""The switches between the hosts: which VLANs their ports shall carry by what the rows say, and what that changes."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from micronova import plugins
from micronova.clock import Clock
from micronova.config import Config
from micronova.db import Tx
from micronova.errors import ConfigError, DriverError, Rejected
from micronova.network import db, reach, switch_file
from micronova.network.db import Network, SwitchPlace, SwitchState
from micronova.network.switch import LoginRefused, SwitchChange, SwitchDriver, SwitchPortSpec, VlanSpec
from micronova.network.switch_changes import is_own_name
from micronova.network.switch_file import SwitchSettings
from micronova.plugins import Plugins

LOG = logging.getLogger(__name__)
VLAN = "vlan"
FAKE = "fake"
Carried = dict[str, set[int]]
"""VLANs by host."""
EVERYBODY = ""
"""In the place of a host: all there are, as they are behind the uplinks of a switch between switches."""
LOGIN_REST = 900
"""Seconds for which a switch that refused our login is left alone: with many tries in a row it would lock us out."""
HOPELESS = 3
"""After so many parts in a row that failed, the switch is left alone for now."""


class Switch(msgspec.Struct, frozen=True):
    """A switch of the switches file, and what talks to it."""

    name: str
    settings: SwitchSettings
    driver: SwitchDriver

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """The ports by which hosts are reached; those of everybody where no host is named."""
        return self.settings.hosts or {EVERYBODY: self.settings.uplinks}

    def reaches(self, hosts: Iterable[str]) -> bool:
        """Whether it is between one of these hosts and others."""
        return not self.settings.hosts or not self.settings.hosts.keys().isdisjoint(hosts)

    def name_of(self, vlan: int) -> str:
        """The name of a VLAN of ours."""
        return f"micronova-{vlan}"

    def serves(self, network: Network) -> bool:
        """Whether the network's VLAN goes over this switch."""
        physical = self.settings.physical_network
        return network.network_type == VLAN and physical in ("", network.physical_network)


def configured(config: Config, clock: Clock) -> dict[str, Switch]:
    """The switches of the configured file by name, fake ones where the cloud is simulated; none without a file.

    Raises ConfigError.
    """
    if not config.options.network.switches_file:
        return {}
    file = Path(config.options.network.switches_file)
    installed, found = Plugins(), dict[str, Switch]()
    for name, settings in switch_file.read(file).items():
        driver = FAKE if config.options.simulate else settings.driver
        vendor: Any = installed.load(plugins.drivers("switch"), driver, f"{file}: switch.{name}.driver")
        try:
            found[name] = Switch(name, settings, vendor.configured(name, settings, file.parent, clock))
        except ConfigError as err:
            raise ConfigError(f"network.switches_file: {file}: switch.{name}: {err}") from err
    return found


def wanted(tx: Tx, switch: Switch) -> Carried:
    """The VLANs that the switch's ports of each host shall carry: those of the networks that are real there."""
    found = {}
    for host in switch.places:
        real = db.all_real_networks(tx) if host == EVERYBODY else db.real_networks(tx, host)
        there = reach.joined(tx, real)
        rows = db.find_all(tx, Network, there).values()
        found[host] = {row.segmentation_id for row in rows if switch.serves(row) and row.segmentation_id is not None}
    return found


class Plan(msgspec.Struct, frozen=True):
    """What makes a switch as the rows say, what its ports then carry, and what was wrong with it before."""

    change: SwitchChange
    carried: Carried
    trouble: str = ""


class Made(msgspec.Struct):
    """What came of a plan: VLANs that ports carry, and those of which nobody knows, as what should bring or take them
    failed. `known` is False when nothing is."""

    carried: Carried
    doubtful: Carried
    trouble: DriverError | None = None
    known: bool = True


def begin(tx: Tx, switch: Switch, own: Callable[[int], bool]) -> Plan:
    """What is to be done, recorded before it is begun.

    `own` VLANs are the cloud's to name, and to remove when no host needs them.
    """
    carried = wanted(tx, switch)
    known = _places(tx, switch)
    ports = []
    for host, vlans in carried.items():
        place = known.get(host)
        before = set(place.may_carry) if place is not None else set[int]()
        _record(tx, switch, host, place, may_carry=before | vlans)
        # who else uses the VLANs of others between switches is not known here
        drops = {vlan for vlan in before - vlans if host != EVERYBODY or own(vlan)}
        for port in switch.places[host]:
            ports.append(SwitchPortSpec(port=port, carries=tuple(sorted(vlans)), drops=tuple(sorted(drops))))
    needed = set[int]().union(*carried.values())
    left = {vlan for place in known.values() for vlan in place.may_carry} - needed
    change = SwitchChange(
        vlans=tuple(VlanSpec(id=vlan, name=switch.name_of(vlan) if own(vlan) else "") for vlan in sorted(needed)),
        ports=tuple(ports),
        gone=tuple(vlan for vlan in sorted(left) if own(vlan)),
    )
    state = tx.first(SwitchState, id=switch.name)
    return Plan(change, carried, state.trouble if state is not None else "")


async def make(switch: Switch, plan: Plan) -> Made:
    """Carry out a plan.

    Where the switch can't do all of it, or failed in the same way before, each part is tried by itself, so that one
    network's trouble is not all others'.
    """
    made = Made(plan.carried, {host: set() for host in plan.carried})
    change = msgspec.structs.replace(plan.change, gone=())
    try:
        change = await _ours_only(switch, plan.change)
        await switch.driver.apply(change)
    except DriverError as err:
        made.trouble = err
        if not change.gone:  # nobody said whose they are
            _doubt(made, plan.change.gone)
        if not isinstance(err, LoginRefused) and (isinstance(err, Rejected) or str(err) == plan.trouble):
            await _make_parts(switch, change, made)
        else:
            made.known = False
    return made


async def _ours_only(switch: Switch, change: SwitchChange) -> SwitchChange:
    """The change without removing VLANs that somebody else has named: what we didn't make we leave."""
    if not change.gone:
        return change
    there = {vlan.id: vlan.name for vlan in (await switch.driver.facts()).vlans}
    ours = tuple(
        id for id in change.gone if id not in there or there[id] == switch.name_of(id) or is_own_name(id, there[id])
    )
    for id in sorted(set(change.gone) - set(ours)):
        LOG.info("switch %s: VLAN %d stays, somebody has named it %s", switch.name, id, there[id])
    return msgspec.structs.replace(change, gone=ours)


async def _make_parts(switch: Switch, change: SwitchChange, made: Made) -> None:
    in_a_row = 0
    for part in parts(change):
        try:
            await switch.driver.apply(part)
            in_a_row = 0
        except LoginRefused as err:
            made.trouble, made.known = err, False
            return
        except Rejected as err:
            made.trouble = err
            _leave_out(switch, part, made, doubtful=False)
        except DriverError as err:
            made.trouble = err
            _leave_out(switch, part, made, doubtful=True)
            in_a_row += 1
        if in_a_row == HOPELESS:
            made.known = False
            return


def _leave_out(switch: Switch, part: SwitchChange, made: Made, *, doubtful: bool) -> None:
    if doubtful:
        _doubt(made, part.gone)
    for host, ports in switch.places.items():
        specs = [spec for spec in part.ports if spec.port in ports]
        if not ports and not part.ports:  # behind the uplinks
            specs = [SwitchPortSpec(port="", carries=tuple(vlan.id for vlan in part.vlans))]
        for spec in specs:
            made.carried[host] -= set(spec.carries)
            made.doubtful[host] |= {*spec.carries, *spec.drops} if doubtful else set()


def _doubt(made: Made, vlans: Iterable[int]) -> None:
    """The VLANs may still be there: they stay in the record, to be removed later."""
    for doubtful in made.doubtful.values():
        doubtful.update(vlans)


def parts(change: SwitchChange) -> Iterator[SwitchChange]:
    """The change in pieces that fail each for itself: a VLAN on a port, what a port drops, a VLAN that goes."""
    vlans = {vlan.id: vlan for vlan in change.vlans}
    on_ports = {id for spec in change.ports for id in spec.carries}
    for vlan in change.vlans:
        if vlan.id not in on_ports:
            yield SwitchChange(vlans=(vlan,))
    for spec in change.ports:
        for id in spec.carries:
            yield SwitchChange(vlans=(vlans[id],), ports=(SwitchPortSpec(port=spec.port, carries=(id,)),))
        if spec.drops:
            yield SwitchChange(ports=(SwitchPortSpec(port=spec.port, drops=spec.drops),))
    for id in change.gone:
        yield SwitchChange(gone=(id,))


def done(tx: Tx, switch: Switch, made: Made) -> None:
    """What came of it is recorded, and networks say what they are without. VLANs nobody knows of stay in the record."""
    known = _places(tx, switch)
    for host in sorted({*made.carried, *known}) if made.known else ():
        vlans = made.carried.get(host, set())
        _record(tx, switch, host, known.get(host), carries=vlans, may_carry=vlans | made.doubtful.get(host, set()))
    if isinstance(made.trouble, LoginRefused):
        again_at = tx.now + timedelta(seconds=LOGIN_REST)
        sentence = f"{made.trouble}; it is not asked again before {again_at:%Y-%m-%d %H:%M} UTC, not to be locked out"
        note(tx, switch, sentence, again_at)
    else:
        note(tx, switch, str(made.trouble or ""))


def is_done(tx: Tx, switch: Switch) -> bool:
    """Whether the switch was last made to be as the rows say now."""
    known = _places(tx, switch)
    for host, vlans in wanted(tx, switch).items():
        place = known.get(host)
        carries, may_carry = (set(place.carries), set(place.may_carry)) if place is not None else (set(), set())
        if not vlans == carries == may_carry:
            return False
    return True


def note(tx: Tx, switch: Switch, trouble: str, again_at: datetime | None = None) -> None:
    """What is wrong with the switch now; "" when it is as it shall be. Until `again_at` it is left alone."""
    known = tx.first(SwitchState, id=switch.name)
    if known is None:
        tx.insert(SwitchState(id=switch.name, trouble=trouble, asked_at=tx.now, again_at=again_at))
    else:
        tx.change(known, trouble=trouble, asked_at=tx.now, again_at=again_at)


def rests(tx: Tx, switch: Switch) -> bool:
    """Whether the switch is to be left alone for now."""
    known = tx.first(SwitchState, id=switch.name)
    return known is not None and known.again_at is not None and tx.now < known.again_at


def troubles(tx: Tx, names: Iterable[str]) -> dict[str, str]:
    """What is wrong with which of these switches."""
    wanted = sorted(names)
    rows = tx.find(SwitchState, id=wanted) if wanted else []
    return {row.id: row.trouble for row in rows if row.trouble}


def settle_networks(tx: Tx, switches: Iterable[Switch]) -> None:
    """Networks are in ERROR while a switch that is in trouble does not carry them to a host that needs them."""
    states = {row.id: row for row in tx.find(SwitchState)}
    cut = set[str]()
    for switch in switches:
        state = states.get(switch.name)
        if state is not None and state.trouble:
            cut |= _cut_off(tx, switch)
    failed = {row.id: row for row in tx.find(Network, network_type=VLAN, status="ERROR")}
    for id, row in sorted(failed.items()):
        if id not in cut:
            tx.change(row, status="ACTIVE", updated_at=tx.now)
    for id in sorted(cut - set(failed)):
        tx.change(tx.get(Network, id), status="ERROR", updated_at=tx.now)


def _cut_off(tx: Tx, switch: Switch) -> set[str]:
    """Networks that some host needs and the switch's ports of that host are not known to carry."""
    known = _places(tx, switch)
    missing = set[int]()
    for host, vlans in wanted(tx, switch).items():
        place = known.get(host)
        missing |= vlans - set(place.carries if place is not None else ())
    rows = tx.find(Network, network_type=VLAN, segmentation_id=sorted(missing)) if missing else []
    return {row.id for row in rows if switch.serves(row)}


def _places(tx: Tx, switch: Switch) -> dict[str, SwitchPlace]:
    return {row.host: row for row in tx.find(SwitchPlace, switch=switch.name)}


def _record(
    tx: Tx,
    switch: Switch,
    host: str,
    place: SwitchPlace | None,
    *,
    may_carry: Iterable[int],
    carries: Iterable[int] | None = None,
) -> None:
    place = place or tx.insert(SwitchPlace(id=f"{switch.name}/{host}", switch=switch.name, host=host))
    values = {"may_carry": tuple(sorted(may_carry))}
    if carries is not None:
        values["carries"] = tuple(sorted(carries))
    tx.change(place, **values)
