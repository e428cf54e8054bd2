"""What the Linux network driver tells the packet filter: shared chains, changes of members, others' drops."""

import msgspec
import pytest

from micronova.errors import Rejected
from micronova.network.driver import FloatingSpec, GroupSpec, RouterSpec, RuleSpec
from micronova.network.drivers.linux.rules import Ruleset
from micronova.network.drivers.served.kernel import foreign_droppers
from micronova.network.drivers.served.service_rules import paths, service_table
from micronova.network.drivers.served.usage import Usage
from micronova.testing.network_kit import network_spec, port_spec, routed_spec

RULES = Ruleset("mn_test", "100.64.0.0/16")
TRUSTING = (RuleSpec(direction="ingress", ethertype="IPv4", remote_group="web"),)
LISTED = """
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
}
table inet mn_test {
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
table bridge other {
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
table inet fine {
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
"""


def test_ports_with_the_same_rules_share_their_chains() -> None:
    usage = Usage()
    for number in range(3):
        usage.add(port_spec(number, rules=TRUSTING))

    usage.drop(port_spec(0, rules=TRUSTING))

    assert 2 == len(usage.chains())
    assert usage.is_named("web")
    assert [] == usage.unused(usage.chains_of(port_spec(0, rules=TRUSTING)))


def test_what_the_last_port_used_may_go() -> None:
    usage = Usage()
    usage.add(port_spec(1, rules=TRUSTING))
    chains = usage.chains_of(port_spec(1, rules=TRUSTING))

    usage.drop(port_spec(1, rules=TRUSTING))

    assert [] == usage.chains()
    assert list(chains) == usage.unused(chains)
    assert not usage.is_named("web")


def test_rules_that_can_not_be_are_rejected() -> None:
    with pytest.raises(Rejected):
        Usage().chains_of(port_spec(1, rules=(RuleSpec(direction="ingress", ethertype="IPv4", protocol="x y"),)))


def test_a_member_more_and_one_less_are_two_elements() -> None:
    old = GroupSpec(id="web", addresses=tuple(f"10.0.0.{number}" for number in range(100)))
    new = GroupSpec(id="web", addresses=(*old.addresses[1:], "10.0.0.200"))

    lines = [line for line in RULES.group(new, old).splitlines() if "element" in line]

    assert ["{ 10.0.0.0 }", "{ 10.0.0.200 }"] == [line[line.index("{") :] for line in lines]


def test_only_other_chains_that_drop_forwarded_ipv4_are_told() -> None:
    assert ["ip filter"] == foreign_droppers(LISTED, "mn_test")


def test_a_subnet_of_a_router_has_the_way_out_of_the_router() -> None:
    isolated = RouterSpec(id="r", addresses=("10.60.0.1/24",), subnet_ids=(network_spec(0).subnets[0].id,))
    inside = msgspec.structs.replace(network_spec(0), routers=(isolated,))

    alone, routed, kept_in = paths(network_spec(0)), paths(routed_spec(0, 1)), paths(inside)

    assert (("10.60.0.0/24",), ()) == (alone.hidden, alone.reach)
    assert (("10.60.0.0/24",), ("10.60.1.0/24", "172.30.0.0/16")) == (routed.hidden, routed.reach)
    assert ((), (), ()) == (kept_in.hidden, kept_in.plain, kept_in.reach)


def test_a_router_that_is_down_leads_nowhere() -> None:
    spec = routed_spec(0, 1)
    down = msgspec.structs.replace(spec, routers=(msgspec.structs.replace(spec.routers[0], up=False),))

    found = paths(down)

    assert ((), (), ()) == (found.hidden, found.plain, found.reach)


def test_an_address_with_two_floating_ips_leaves_as_the_first() -> None:
    both = tuple(FloatingSpec(floating_ip=f"203.0.113.{last}", fixed_ip="10.60.0.11", port_id="p") for last in (9, 5))

    text = service_table(routed_spec(0, 1, floating=both))

    assert "{ 203.0.113.5 : 10.60.0.11, 203.0.113.9 : 10.60.0.11 }" in text
    assert "{ 10.60.0.11 : 203.0.113.9 }" in text
