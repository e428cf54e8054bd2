"""From what a switch says and what is wanted of it to lines: whatever it had, afterwards it is as wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus import EVERY, Dialogue, Nexus, NexusPort

from micronova.errors import DriverError
from micronova.network.drivers.cisco import reading
from micronova.network.drivers.cisco.nxos import NXOS
from micronova.network.drivers.cisco.plan import blocks
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch import SwitchChange, SwitchPortSpec, VlanSpec
from micronova.network.switch_changes import (
    PortState,
    State,
    compress,
    contradiction,
    expand,
    merge,
    pieces,
    unmet,
    with_all_ports,
)

IDS = st.integers(2, 24)
SOME = st.frozensets(IDS, max_size=8)
PORTS = ("Ethernet1/1", "Ethernet1/2", "Ethernet1/3")
TABLES = st.sampled_from((NXOS, CommandTable(vendor="narrow", vlans_in_line=9)))


@st.composite
def switches(draw: st.DrawFn) -> Nexus:
    """A switch as somebody may have left it."""
    nexus = Nexus(*PORTS)
    nexus.vlans.update({id: f"old-{id}" for id in draw(SOME)})
    for name in PORTS:
        nexus.ports[name] = NexusPort(
            mode=draw(st.sampled_from(("access", "trunk"))),
            access=draw(st.sampled_from((1, 30))),
            native=draw(st.sampled_from((1, 31))),
            allowed=set(draw(st.one_of(SOME, st.just(frozenset(EVERY)), st.just(frozenset({1, 30, 31}))))),
        )
    return nexus


@st.composite
def changes(draw: st.DrawFn) -> SwitchChange:
    """A change that doesn't contradict itself."""
    gone = draw(SOME)
    ids = draw(SOME) - gone
    specs = []
    for name in PORTS[:2]:
        carries = draw(st.frozensets(st.sampled_from(sorted(ids)))) if ids else frozenset()
        specs.append(SwitchPortSpec(port=name, carries=tuple(carries), drops=tuple(draw(SOME) - carries)))
    return SwitchChange(
        vlans=tuple(VlanSpec(id=id, name=f"new-{id}") for id in ids), ports=tuple(specs), gone=tuple(gone)
    )


def read(nexus: Nexus, table: CommandTable) -> State:
    """The switch as its answers say, from its own text."""
    dialogue = Dialogue(nexus, None)
    return State(
        vlans=reading.vlans(table, dialogue.do(table.show_vlans)),
        ports={name: reading.port(table, name, dialogue.do(table.show_port.format(port=name))) for name in PORTS},
    )


def tell(nexus: Nexus, table: CommandTable, change: SwitchChange) -> list[str]:
    """Say what makes the change true; the lines that were said."""
    dialogue, said = Dialogue(nexus, None), []
    dialogue.do("configure terminal")
    for block in blocks(table, read(nexus, table), change):
        for line in block:
            assert "%" not in dialogue.do(line), line
            said.append(line)
    return said


@given(switches(), changes(), TABLES)
def test_afterwards_it_is_as_wanted_and_nothing_is_left_to_say(
    nexus: Nexus, change: SwitchChange, table: CommandTable
) -> None:
    wanted = with_all_ports(change, PORTS, PORTS[2:])

    tell(nexus, table, wanted)

    assert [] == unmet(read(nexus, table), wanted)
    assert [] == tell(nexus, table, wanted)


@given(switches(), changes(), TABLES)
def test_what_was_not_named_is_as_it_was(nexus: Nexus, change: SwitchChange, table: CommandTable) -> None:
    before = read(nexus, table)

    tell(nexus, table, change)

    after = read(nexus, table)
    named = {vlan.id for vlan in change.vlans} | set(change.gone)
    assert {id: name for id, name in before.vlans.items() if id not in named} == {
        id: name for id, name in after.vlans.items() if id not in named
    }
    assert before.ports[PORTS[2]] == after.ports[PORTS[2]]
    for spec in change.ports:
        was, port = before.ports[spec.port], after.ports[spec.port]
        assert was.facts.vlans - set(spec.drops) == port.facts.vlans - set(spec.carries) | (
            was.facts.vlans & set(spec.carries)
        )
        assert was.facts.native == port.facts.native


@given(switches(), changes(), st.integers(0, 40))
def test_however_far_a_first_attempt_came_the_second_completes_it(
    nexus: Nexus, change: SwitchChange, stopped: int
) -> None:
    dialogue = Dialogue(nexus, None)
    dialogue.do("configure terminal")
    lines = [line for block in blocks(NXOS, read(nexus, NXOS), change) for line in block]
    for line in lines[:stopped]:
        dialogue.do(line)

    tell(nexus, NXOS, change)

    assert [] == unmet(read(nexus, NXOS), change)


@given(st.frozensets(st.integers(1, 4094)), st.integers(9, 80))
def test_lists_are_written_as_they_are_read(ids: frozenset[int], longest: int) -> None:
    parts = pieces(ids, longest)

    assert ids == expand(compress(ids))
    assert ids == frozenset[int]().union(*map(expand, parts))
    assert all(len(part) <= longest for part in parts)


def test_lists_are_short() -> None:
    assert "none" == compress(())
    assert "1,3,4,7-9" == compress((9, 8, 7, 4, 3, 1))
    assert frozenset({1, 3, 4, 4094}) == expand("1, 3-4 ,4094-5000")


@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        ([], EVERY),
        (["none"], set()),
        (["all"], EVERY),
        (["7"], {7}),
        (["7,9-11", "add 20-21", "add 30"], {7, 9, 10, 11, 20, 21, 30}),
        (["except 2-4093"], {1, 4094}),
    ],
)
def test_a_port_is_read_however_its_list_is_written(rows: list[str], allowed: set[int]) -> None:
    lines = "\r\n".join(f" switchport trunk allowed vlan {row}" for row in rows)
    text = f"Building configuration...\n\ninterface Gi1/0/1\n switchport mode trunk\n{lines}\nend\n"

    port = reading.port(NXOS, "Gi1/0/1", text)

    assert PortState(port="Gi1/0/1", trunk=True, allowed=frozenset(allowed)) == port


def test_an_answer_that_is_none_is_no_empty_switch() -> None:
    with pytest.raises(DriverError, match="no table of VLANs"):
        reading.vlans(NXOS, "Syntax error while parsing 'show'")
    with pytest.raises(DriverError, match="no configuration of port"):
        reading.port(NXOS, "Ethernet1/1", "")


def test_catalysts_table_of_vlans_is_read() -> None:
    text = (
        "\nVLAN Name                             Status    Ports\n"
        "---- -------------------------------- --------- -------------------------------\n"
        "1    default                          active    Gi1/0/1, Gi1/0/2, Gi1/0/3\n"
        "                                                Gi1/0/4\n"
        "100  a-name-of-32-characters-00000000 active    \n"
        "101  VLAN0101                         act/lshut Gi1/0/7\n"
        "102  VLAN0102                         suspended\n"
        "1002 fddi-default                     act/unsup \n"
    )

    names = reading.vlans(NXOS, text)

    assert [1, 100, 101, 102, 1002] == list(names)
    assert "a-name-of-32-characters-00000000" == names[100]


def test_changes_are_taken_together_unless_they_contradict() -> None:
    port = PORTS[0]
    first = SwitchChange(vlans=(VlanSpec(id=7),), ports=(SwitchPortSpec(port=port, carries=(7,)),))
    second = SwitchChange(vlans=(VlanSpec(id=8),), ports=(SwitchPortSpec(port=port, carries=(8,), drops=(9,)),))

    both = merge((first, second))

    assert (SwitchPortSpec(port=port, carries=(7, 8), drops=(9,)),) == both.ports
    assert "" == contradiction(both)
    assert contradiction(merge((first, SwitchChange(gone=(7,)))))
    assert contradiction(merge((first, SwitchChange(ports=(SwitchPortSpec(port=port, drops=(7,)),)))))
