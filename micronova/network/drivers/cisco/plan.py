"""From what a switch says and what is wanted of it to the lines it must be told. Pure."""

from micronova.errors import DriverError
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch import SwitchChange, SwitchPortSpec, VlanSpec
from micronova.network.switch_changes import PortState, State, is_unnamed, need_vlans, pieces

Block = tuple[str, ...]
"""Lines that belong together: the first opens a context, the rest are said in it."""


def blocks(table: CommandTable, state: State, change: SwitchChange) -> list[Block]:
    """What to say to a switch in `state`, nothing where it is as wanted.

    Raises DriverError when a port is to carry a VLAN that isn't there, or tagged what it has untagged.
    """
    need_vlans(state, change)
    said = [_vlan(table, state, vlan) for vlan in change.vlans]
    for spec in change.ports:
        said.append(_port(table, state.ports[spec.port], spec))
    said += [(table.remove_vlan.format(id=id),) for id in change.gone if id in state.vlans]
    return [block for block in said if block]


def _vlan(table: CommandTable, state: State, vlan: VlanSpec) -> Block:
    if vlan.id in state.vlans and not (vlan.name and is_unnamed(state, vlan.id)):
        return ()
    name = (table.name.format(name=vlan.name),) if vlan.name else ()
    return (table.vlan.format(id=vlan.id), *name)


def _port(table: CommandTable, port: PortState, spec: SwitchPortSpec) -> Block:
    """A port that only drops what it doesn't carry is left as it is, trunk or not."""
    if not spec.carries and spec.native is None and not port.trunk:
        return ()
    lines = _of_trunk(table, port, spec) if port.trunk else _to_trunk(table, port, spec)
    return (table.interface.format(port=spec.port), *lines) if lines else ()


def _to_trunk(table: CommandTable, port: PortState, spec: SwitchPortSpec) -> Block:
    """Its list first: a trunk without one carries everything from the moment it is a trunk."""
    if port.routed:
        raise DriverError(f"port {spec.port} is a routed one")
    native = port.access if spec.native is None else spec.native
    if native in spec.carries:
        raise DriverError(f"port {spec.port} has VLAN {native} untagged and can't carry it tagged")
    only, *more = pieces({*spec.carries, native}, table.vlans_in_line)
    return (
        *((table.native.format(id=native),) if native != port.native else ()),
        table.only.format(vlans=only),
        *(table.carry.format(vlans=words) for words in more),
        *table.trunk,
    )


def _of_trunk(table: CommandTable, port: PortState, spec: SwitchPortSpec) -> Block:
    native = port.native if spec.native is None else spec.native
    if native in spec.carries:
        raise DriverError(f"port {spec.port} has VLAN {native} untagged and can't carry it tagged")
    wanted = set(spec.carries) if spec.native is None else {*spec.carries, native}
    lines = [table.native.format(id=native)] if native != port.native else []
    drops = (set(spec.drops) - {native}) & port.allowed
    lines += [table.carry.format(vlans=words) for words in pieces(wanted - port.allowed, table.vlans_in_line)]
    lines += [table.drop.format(vlans=words) for words in pieces(drops, table.vlans_in_line)]
    return tuple(lines)
