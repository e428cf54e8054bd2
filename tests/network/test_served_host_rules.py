"""What any Linux host tells the packet filter about networks, whoever switches their packets: pure text."""

from micronova.network.drivers.linux.rules import Ruleset
from micronova.network.drivers.linux.wirings import Wiring
from micronova.network.drivers.served.host_rules import HostRules
from micronova.network.drivers.served.passages import Passage

RULES = HostRules("mn_test", "100.64.0.0/16")
PASSAGE = Passage(link="l1", routed=("l2",), reach=("10.2.0.0/24", "fd00:2::/64"), floating=("192.0.2.9",))


def test_a_host_without_bridges_has_one_table_and_names_no_bridge() -> None:
    text = RULES.whole([PASSAGE])

    assert "bridge" not in text
    assert 'add element inet mn_test routed { "l1" . "l2" }' in text
    assert 'add element inet mn_test reach6 { "l1" . fd00:2::/64 }' in text


def test_what_a_network_no_longer_reaches_goes_in_the_same_step() -> None:
    text = RULES.network(Passage(link="l1"), PASSAGE)

    assert 'delete element inet mn_test floating { "l1" . 192.0.2.9 }' in text
    assert 'delete element inet mn_test links { "l1" }' not in text


def test_a_network_passes_a_host_with_bridges_as_any_other_host() -> None:
    wiring = Wiring(link="l1", bridge="b1", service="s1", zone=7, routed=("l2",))

    text = Ruleset("mn_test", "100.64.0.0/16").network(wiring)

    assert set(Passage(link="l1", routed=("l2",)).elements()) <= set(wiring.elements())
    assert 'add element inet mn_test bridges { "b1" }' in text


def test_guests_are_judged_before_anything_is_routed() -> None:
    text = Ruleset("mn_test", "100.64.0.0/16").whole([])

    assert text.index("iifname @bridges goto bridged") < text.index("iifname . oifname @routed accept")
