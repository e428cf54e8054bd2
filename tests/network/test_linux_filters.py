"""A port's filters as text: every value is parsed before it is written, and nothing matches more than was asked."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micronova.errors import Rejected
from micronova.network.driver import GroupSpec, RuleSpec
from micronova.network.drivers.served.filters import anti_spoofing, link_local, members, security_group, set_name
from micronova.testing.network_kit import port_spec


def rule(**fields: object) -> RuleSpec:
    return RuleSpec(direction="ingress", ethertype="IPv4", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (rule(), "meta nfproto ipv4 accept"),
        (rule(protocol="tcp", port_min=22, port_max=22), "meta nfproto ipv4 meta l4proto 6 th dport 22 accept"),
        (rule(protocol="17", port_min=1, port_max=9), "meta nfproto ipv4 meta l4proto 17 th dport 1-9 accept"),
        (rule(protocol="tcp", port_max=9), "meta nfproto ipv4 meta l4proto 6 th dport 0-9 accept"),
        (
            rule(protocol="icmp", port_min=3, port_max=4),
            "meta nfproto ipv4 meta l4proto 1 icmp type 3 icmp code 4 accept",
        ),
        (rule(protocol="gre", port_min=3, port_max=4), "meta nfproto ipv4 meta l4proto 47 accept"),
        (rule(remotes=("0.0.0.0/0", "10.0.0.0/8")), "meta nfproto ipv4 accept"),
        (rule(remotes=("10.0.0.0/9", "10.128.0.0/9")), "meta nfproto ipv4 ip saddr 10.0.0.0/8 accept"),
    ],
)
def test_a_rule_becomes_what_it_matches(spec: RuleSpec, text: str) -> None:
    assert [text, "goto cut"] == security_group((spec,), "ingress")


def test_icmp_of_ipv6_is_icmpv6() -> None:
    spec = RuleSpec(direction="egress", ethertype="IPv6", protocol="icmp", remotes=("fd00::/8",))

    texts = security_group((spec,), "egress")

    assert "meta nfproto ipv6 meta l4proto 58 ip6 daddr fd00::/8 accept" == texts[0]


def test_a_remote_group_is_one_set_for_addresses_and_one_for_ranges() -> None:
    texts = security_group((rule(remote_group="web"), rule(protocol="tcp", remote_group="web")), "ingress")

    names = [set_name(kind, "web", 4) for kind in ("single", "wide")]
    assert [f"meta nfproto ipv4 ip saddr @{name} accept" for name in names] == texts[:2]
    assert [f"meta nfproto ipv4 meta l4proto 6 ip saddr @{name} accept" for name in names] == texts[2:4]


def test_members_are_told_apart_by_version_and_kind() -> None:
    group = GroupSpec(id="web", addresses=("10.0.0.1", "10.0.0.1/32", "10.0.1.0/25", "10.0.1.128/25", "fd00::1"))

    change = members(group, None)

    assert ({4: ["10.0.0.1"], 6: ["fd00::1"]}, {4: [], 6: []}) == (change.come, change.gone)
    assert {4: ["10.0.1.0/24"], 6: []} == change.wide


def test_only_what_differs_between_members_is_told() -> None:
    old = GroupSpec(id="web", addresses=("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.0/24", "fd00:1::/64"))
    new = GroupSpec(id="web", addresses=("10.0.0.1", "10.0.0.2/32", "10.0.0.4", "10.0.1.0/24"))

    change = members(new, old)

    assert ({4: ["10.0.0.2", "10.0.0.4"], 6: []}, {4: ["10.0.0.3"], 6: []}) == (change.come, change.gone)
    assert {4: None, 6: []} == change.wide


def test_remotes_of_the_other_version_match_nothing() -> None:
    assert ["goto cut"] == security_group((rule(remotes=("fd00::/8",)),), "ingress")


def test_no_rules_drop_everything() -> None:
    assert ["goto cut"] == security_group((), "ingress")


@pytest.mark.parametrize(
    "wrong",
    [
        rule(protocol="tcp; flush ruleset"),
        rule(protocol="256"),
        rule(protocol="tcp", port_min=70000),
        rule(protocol="tcp", port_min=9, port_max=8),
        rule(protocol="icmp", port_min=256),
        rule(remotes=("everywhere",)),
    ],
)
def test_a_rule_that_can_not_be_is_rejected(wrong: RuleSpec) -> None:
    with pytest.raises(Rejected):
        security_group((wrong,), "ingress")


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_text_reaches_the_packet_filter_as_it_came(mac: str, ip: str, protocol: str) -> None:
    spec = msgspec.structs.replace(port_spec(1), mac=mac, ips=(ip,), rules=(rule(protocol=protocol, remotes=(ip,)),))

    try:
        texts = [*anti_spoofing(spec), *security_group(spec.rules, "ingress")]
    except Rejected:
        return

    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789 .:/@,!=-{}")
    assert not [char for text in texts for char in text if char not in allowed]


def test_the_link_local_address_follows_from_the_mac() -> None:
    assert "fe80::f816:3eff:fe12:3456" == str(link_local("fa:16:3e:12:34:56"))


def test_a_guest_with_a_wide_pair_is_still_held_to_its_mac() -> None:
    spec = msgspec.structs.replace(port_spec(1), allowed_pairs=((port_spec(1).mac, "0.0.0.0/0"),))

    texts = anti_spoofing(spec)

    assert f"ether saddr != {spec.mac} drop" == texts[0]
    assert f"ether type ip ether saddr {spec.mac} accept" in texts


@pytest.mark.parametrize(("name", "text"), [("ip", "meta nfproto ipv4 accept"), ("hopopt", "meta l4proto 0")])
def test_every_protocol_the_api_takes_can_be_filtered(name: str, text: str) -> None:
    rules = security_group([RuleSpec(direction="egress", ethertype="IPv4", protocol=name)], "egress")

    assert text in rules[0]


def test_an_ordinary_port_has_no_sets_of_its_own() -> None:
    assert [] == [line for line in anti_spoofing(port_spec(1)) if "{" in line]
