"""What the Linux network driver lets cross a network's uplink, and how the tables know a network: pure text."""

from pathlib import Path

import msgspec
import pytest

from micronova.errors import ConfigError, DriverError, Rejected
from micronova.network.driver import NetworkSpec, SegmentSpec, SubnetSpec, TunnelPeer
from micronova.network.drivers.linux.rules import Ruleset
from micronova.network.drivers.linux.segments import Segments
from micronova.network.drivers.linux.uplinks import uplink
from micronova.network.drivers.linux.wirings import Wiring
from micronova.network.drivers.served.announcing import gratuitous
from micronova.network.drivers.served.links import Links
from micronova.network.drivers.served.names import Names, gateway_mac, host_mac
from micronova.network.drivers.served.segments import NO_WIRES, HostWires, check, is_lan, is_spanning, mapping
from micronova.testing.network_kit import network_spec, routed_spec, spanning_spec

RULES = Ruleset("mn_test", "100.64.0.0/16")
OWN = host_mac("192.0.2.1")


def wiring(**more: object) -> Wiring:
    fields: dict[str, object] = {"bridge": "b1", "service": "s1", "link": "l1", "zone": 7, **more}
    return Wiring(**fields)  # type: ignore[arg-type]


def test_a_network_that_ends_at_this_host_has_no_uplink() -> None:
    assert not is_spanning(network_spec(0))
    assert not is_lan(network_spec(0))
    assert is_spanning(spanning_spec(0))
    assert is_lan(msgspec.structs.replace(network_spec(0), segment=SegmentSpec(physical_network="office")))


def test_the_gateway_is_named_in_neither_direction() -> None:
    spec, mac = spanning_spec(0), gateway_mac(network_spec(0).id)

    found = uplink(spec, "u1", OWN)

    for lines in (found.comes, found.leaves):
        assert f"ether daddr {mac} drop" in lines
        assert "arp daddr ip { 10.60.0.1, 169.254.169.254 } drop" in lines
        assert "ether type ip udp sport 67 udp dport 68 drop" in lines
    assert f"ether saddr {mac} drop" in found.comes
    assert f"ether saddr {mac} ether saddr set {OWN}" == found.leaves[-1]


def test_every_address_of_a_router_is_kept_at_home() -> None:
    router = routed_spec(0).routers[0]
    spec = msgspec.structs.replace(
        spanning_spec(0), routers=(msgspec.structs.replace(router, addresses=("10.60.0.9/24", "fd00::9/64")),)
    )

    text = "\n".join(uplink(spec, "u1", OWN).comes)

    assert "{ 10.60.0.1, 10.60.0.9, 169.254.169.254 }" in text
    assert "fd00::9" in text


def test_what_hosts_do_not_serve_guests_may_serve_each_other() -> None:
    subnets = (
        SubnetSpec(id="four", cidr="10.60.0.0/24", gateway=None, dhcp=False),
        SubnetSpec(id="six", cidr="fd00::/64", gateway=None),
    )
    spec = msgspec.structs.replace(spanning_spec(0), subnets=subnets)

    text = "\n".join(uplink(spec, "u1", OWN).comes)

    assert "dport 67" not in text
    assert "dport 547" not in text
    assert "133, 134" not in text


def test_two_hosts_are_told_apart_by_their_macs() -> None:
    assert host_mac("192.0.2.1") != host_mac("192.0.2.2")


def test_a_bridge_of_the_host_keeps_its_own_connections() -> None:
    ours, theirs = wiring().elements(), wiring(lan=True).elements()

    assert {"bridges", "zones"} <= {one.group for one in ours}
    assert not {"bridges", "zones"} & {one.group for one in theirs}
    assert {"lans", "apart"} <= {one.group for one in theirs}


def test_a_network_that_stayed_as_it_was_is_told_without_chains() -> None:
    text = RULES.network(wiring(), wiring())

    assert "chain" not in text
    assert "goto" not in text
    assert "add element" in text


def test_what_a_network_no_longer_is_goes_in_the_same_step() -> None:
    text = RULES.network(wiring(), wiring(uplink=uplink(spanning_spec(0), "u1", OWN)))

    assert 'delete element bridge mn_test leaves { "u1" : goto leaves-u1 }' in text
    assert "delete chain bridge mn_test comes-u1" in text
    assert text.index("delete element bridge mn_test leaves") < text.index("delete chain bridge mn_test leaves-u1")


def test_a_trunk_stays_while_another_network_uses_it() -> None:
    one, other = wiring(trunk="t1"), wiring(bridge="b2", service="s2", link="l2", trunk="t1")

    assert 'delete element inet mn_test trunks { "t1" }' not in RULES.no_network(one, [other])
    assert 'delete element inet mn_test trunks { "t1" }' in RULES.no_network(one)


@pytest.mark.parametrize(
    "segment",
    [
        SegmentSpec(network_type="gre", id=1),
        SegmentSpec(network_type="vxlan", id=0, local="192.0.2.1"),
        SegmentSpec(network_type="vxlan", id=1, peers=(TunnelPeer(address="192.0.2.2"),)),
        SegmentSpec(network_type="vxlan", id=1, local="192.0.2.1", peers=(TunnelPeer(address="fd00::1"),)),
        SegmentSpec(network_type="vxlan", id=1, local="192.0.2.1", peers=(TunnelPeer(address="here"),)),
        SegmentSpec(
            network_type="vxlan", id=1, local="192.0.2.1", peers=(TunnelPeer(address="192.0.2.2", macs=("x",)),)
        ),
        SegmentSpec(network_type="vxlan", id=1, local="192.0.2.1", neighbours=(("10.0.0.1", "x"),)),
        SegmentSpec(network_type="vxlan", id=1, local="192.0.2.1", neighbours=(("x", "fa:16:3e:00:00:01"),)),
        SegmentSpec(network_type="vlan", physical_network="lab", id=4095),
    ],
)
def test_a_segment_that_can_not_be_is_rejected(segment: SegmentSpec) -> None:
    spec: NetworkSpec = msgspec.structs.replace(network_spec(0), segment=segment)

    with pytest.raises(Rejected):
        check(spec, HostWires(interfaces={"lab": "eth9"}))


@pytest.mark.parametrize("kind", ["flat", "vlan"])
def test_a_physical_network_that_the_host_has_not_is_told(kind: str) -> None:
    segment = SegmentSpec(network_type=kind, physical_network="other", id=5)
    spec = msgspec.structs.replace(network_spec(0), segment=segment)

    with pytest.raises(DriverError, match="physical network other"):
        check(spec, HostWires(bridges={"office": "br0"}, interfaces={"lab": "eth9"}))


def test_a_host_without_an_end_has_no_tunnel(tmp_path: Path) -> None:
    segment = SegmentSpec(network_type="vxlan", id=1)
    spec, known = msgspec.structs.replace(network_spec(0), segment=segment), Segments(Names("mn", tmp_path), NO_WIRES)

    with Links() as links:
        check(spec, NO_WIRES)

        assert known.uplink(spec, links) is None


def test_a_physical_network_may_stand_there_once() -> None:
    with pytest.raises(ConfigError, match="twice"):
        mapping("network.bridges", ("office:br0", "office:br1"))


def test_a_gratuitous_question_asks_for_its_own_address() -> None:
    frame = gratuitous("02:00:00:00:00:01", "192.0.2.77")

    assert frame[:6] == b"\xff" * 6
    assert frame[12:14] == b"\x08\x06"
    assert frame[28:32] == frame[38:42] == bytes([192, 0, 2, 77])
