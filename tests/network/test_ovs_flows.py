"""The flows of the Open vSwitch driver, without a switch: what they match, who gets copies, how ports are numbered."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micronova.network.driver import (
    NetworkSpec,
    ParentSpec,
    PortSpec,
    QosSpec,
    RateSpec,
    RuleSpec,
    SegmentSpec,
    SubnetSpec,
    TunnelPeer,
)
from micronova.network.drivers.ovs import guests, judges, pipeline, processes, tables
from micronova.network.drivers.ovs.names import Numbers, integration_bridge
from micronova.network.drivers.ovs.openflow import Flow, Group, Piece
from micronova.network.drivers.ovs.pipeline import Uplink, Wired
from micronova.network.drivers.ovs.uplinks import Uplinks
from micronova.network.drivers.served.names import Names, gateway_mac
from micronova.network.drivers.served.segments import HostWires

ADDRESSES = {"friends": ("10.0.0.9", "10.0.1.0/24", "fd00::9")}
PORT = PortSpec(id="p", network_id="n", device="p1", mac="FA:16:3E:00:00:01", ips=("10.0.0.5",))
SUBNET = SubnetSpec(id="s", cidr="10.0.0.0/24", gateway="10.0.0.1")
NETWORK = NetworkSpec(id="n", mtu=1400, subnets=(SUBNET,))
PLACE = guests.Place(number=7, zone=3)


def matches(rule: RuleSpec) -> list[str]:
    """What the rule's flows match, beside the chain."""
    piece = judges.chain("ingress-x", (rule,), rule.direction, lambda group: ADDRESSES.get(group, ()))
    return [part.match.split(",", 1)[1] for part in piece if isinstance(part, Flow)]


def ingress(protocol: str | None = None, low: int | None = None, high: int | None = None, **more: object) -> RuleSpec:
    fields = {"direction": "ingress", "ethertype": "IPv4", **more}
    return RuleSpec(protocol=protocol, port_min=low, port_max=high, **fields)  # type: ignore[arg-type]


def keys(piece: Piece) -> list[str]:
    return [part.key for part in piece if isinstance(part, Flow)]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (ingress(), ["ip"]),
        (ingress(ethertype="IPv6"), ["ipv6"]),
        (ingress("tcp"), ["ip,nw_proto=6"]),
        (ingress("tcp", 22, 22), ["tcp,tp_dst=22"]),
        (ingress("udp", 0, 65535), ["udp"]),
        (ingress("tcp", 80, 81, ethertype="IPv6"), ["tcp6,tp_dst=0x50/0xfffe"]),
        (ingress("132", 9, 9), ["sctp,tp_dst=9"]),
        (ingress("icmp", 8, 0), ["icmp,icmp_type=8,icmp_code=0"]),
        (ingress("icmp", ethertype="IPv6"), ["icmp6"]),
        (ingress("vrrp"), ["ip,nw_proto=112"]),
        (ingress(remotes=("10.0.0.0/8", "fd00::/8")), ["ip,nw_src=10.0.0.0/8"]),
        (ingress(remotes=("fd00::/8",)), []),
        (ingress(remotes=("0.0.0.0/0", "10.0.0.0/8")), ["ip"]),
        (
            ingress("tcp", remote_group="friends"),
            ["ip,nw_proto=6,nw_src=10.0.0.9/32", "ip,nw_proto=6,nw_src=10.0.1.0/24"],
        ),
        (ingress(remote_group="strangers"), []),
        (ingress(direction="egress", remotes=("10.0.0.0/8",)), ["ip,nw_dst=10.0.0.0/8"]),
        (ingress("dccp", 9, 9), []),
        (ingress("dccp"), ["ip,nw_proto=33"]),
    ],
)
def test_a_rule_lets_pass_just_what_it_says(rule: RuleSpec, wanted: list[str]) -> None:
    assert wanted == matches(rule)


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_a_range_of_ports_matches_its_ports_and_no_others(one: int, other: int, asked: int) -> None:
    low, high = sorted((one, other))

    found = matches(ingress("tcp", low, high))

    hits = [text for text in found if _hits(text, asked)]
    assert (1 if low <= asked <= high else 0) == len(hits)
    assert len(found) <= 30


def _hits(match: str, port: int) -> bool:
    told = re.search(r"tp_dst=(\w+)(?:/(\w+))?", match)
    if told is None:
        return True
    return port & int(told[2] or "0xffff", 0) == int(told[1], 0)


def test_chains_of_different_rules_have_different_numbers_and_none_is_zero() -> None:
    numbers = {judges.number(f"egress-{index}") for index in range(1000)}

    assert 1000 == len(numbers)
    assert 0 not in numbers


def test_a_port_that_is_down_has_no_flows() -> None:
    assert () == guests.port(msgspec.structs.replace(PORT, up=False), PLACE, (1, 2))


def test_a_secured_guest_sends_only_with_its_own_mac_and_without_a_tag() -> None:
    piece = guests.port(PORT, PLACE, (1, 2))

    [entry] = [key for key in keys(piece) if key.startswith(f"table={tables.CLASSIFY},")]
    assert "in_port=7" in entry
    assert "dl_src=fa:16:3e:00:00:01" in entry
    assert "vlan_tci=0x0000" in entry


def test_a_mac_that_others_may_have_too_is_found_where_it_was_heard() -> None:
    spec = msgspec.structs.replace(PORT, allowed_pairs=(("fa:16:3e:99:99:99", "10.0.0.77"),))

    piece = guests.port(spec, PLACE, (1, 2))

    fixed = [key for key in keys(piece) if key.startswith(f"table={tables.WHERE},")]
    learned = [part.match for part in piece if isinstance(part, Flow) and "learn(" in part.actions]
    assert ["fa:16:3e:00:00:01"] == [key.split("dl_dst=")[1] for key in fixed]
    assert ["in_port=7,dl_src=fa:16:3e:99:99:99,vlan_tci=0x0000"] == learned


def test_no_two_flows_of_a_port_are_the_same() -> None:
    spec = msgspec.structs.replace(
        PORT,
        ips=("10.0.0.5", "fd00::5"),
        allowed_pairs=((PORT.mac, "10.0.0.5/32"), ("fa:16:3e:99:99:99", "0.0.0.0/0"), (PORT.mac, "::/0")),
    )

    found = guests.port(spec, PLACE, (1, 2))

    assert len(set(found)) == len(set(keys(found)))


def test_a_carried_port_is_met_by_the_tag_of_its_carrier() -> None:
    spec = msgspec.structs.replace(PORT, parent=ParentSpec(port_id="q", device="q1", vlan=5))

    piece = guests.port(spec, msgspec.structs.replace(PLACE, carrier=9), (1, 2))

    [entry] = [part for part in piece if isinstance(part, Flow) and part.table == tables.CLASSIFY]
    [out] = [part for part in piece if isinstance(part, Flow) and part.table == tables.SEND]
    assert entry.match.startswith("in_port=9,dl_vlan=5,")
    assert out.actions.endswith("set_field:4101->vlan_vid,output:9")


def test_a_limit_is_a_meter_and_a_mark_needs_none() -> None:
    limited = msgspec.structs.replace(PORT, qos=QosSpec(egress=RateSpec(kbps=5000, burst_kbit=9000)))
    marked = msgspec.structs.replace(PORT, qos=QosSpec(dscp=8))

    assert "meter=7,kbps,burst,band=type=drop,rate=5000,burst_size=9000" == guests.meter(limited, 7)
    assert "" == guests.meter(marked, 7)
    assert any("meter:7" in part.actions for part in guests.port(limited, PLACE, (1, 2)) if isinstance(part, Flow))
    assert not any("meter:" in part.actions for part in guests.port(marked, PLACE, (1, 2)) if isinstance(part, Flow))


def wired(uplink: Uplink | None) -> Wired:
    return Wired(spec=NETWORK, zone=3, service=40_000, uplink=uplink, host_mac="02:00:00:00:00:01")


def test_a_network_that_stays_at_home_has_no_border() -> None:
    assert not any(f"table={table}," in key for key in keys(pipeline.network(wired(None))) for table in (5, 57))


@pytest.mark.parametrize(
    "stays",
    [
        f"dl_dst={gateway_mac('n')}",
        "arp,arp_spa=10.0.0.1",
        "arp,arp_tpa=10.0.0.1",
        "arp,arp_tpa=169.254.169.254",
        "udp,tp_src=68,tp_dst=67",
        "udp,tp_src=67,tp_dst=68",
    ],
)
def test_what_is_of_the_gateway_is_dropped_at_the_border_both_ways(stays: str) -> None:
    piece = pipeline.network(wired(Uplink(number=32_000, vlan=101)))

    drops = {part.key for part in piece if isinstance(part, Flow) and part.actions == "drop"}
    for table in (tables.FOREIGN, tables.ABROAD):
        assert f"table={table},priority=100,reg0=3,{stays}" in drops


def test_what_the_gateway_forwards_leaves_as_this_host() -> None:
    piece = pipeline.network(wired(Uplink(number=32_000)))

    [rewritten] = [part for part in piece if isinstance(part, Flow) and "eth_src" in part.actions]
    assert tables.ABROAD == rewritten.table
    assert "02:00:00:00:00:01" in rewritten.actions


def test_what_is_for_everybody_goes_to_each_end_of_a_tunnel() -> None:
    peers = (("192.0.2.2", ("fa:16:3e:00:00:02",)), ("fd00::2", ()))
    told = wired(Uplink(number=50_000, tunnel=True, peers=peers))

    everybody, strangers = (part for part in pipeline.copies(told, [7, 8], [8]) if isinstance(part, Group))

    assert 3 + len(peers) == len(everybody.buckets)
    assert 1 + len(peers) == len(strangers.buckets)
    assert "set_field:fd00::2->tun_ipv6_dst" in everybody.buckets[-1]


def test_a_tunnel_without_other_ends_sends_nothing() -> None:
    everybody, _ = pipeline.copies(wired(Uplink(number=50_000, tunnel=True)), [7], [])

    assert isinstance(everybody, Group)
    assert 2 == len(everybody.buckets)


def test_a_physical_network_is_joined_by_patches_or_by_its_interface(tmp_path: Path) -> None:
    names = Names("mn", tmp_path)
    uplinks = Uplinks(names, HostWires(interfaces={"one": "br-ex", "two": "eth1"}))
    spec = msgspec.structs.replace(NETWORK, segment=SegmentSpec(network_type="vlan", physical_network="one", id=101))
    other = msgspec.structs.replace(spec, segment=SegmentSpec(network_type="vlan", physical_network="two", id=101))

    patched, plain = uplinks.way(spec, 1, "netdev", {"br-ex"}), uplinks.way(other, 1, "netdev", {"br-ex"})

    assert patched is not None
    assert patched.far is not None
    assert "br-ex" == patched.far.bridge
    assert plain is not None
    assert plain.far is None
    assert "eth1" == plain.plug.name
    assert patched.uplink.number != plain.uplink.number


def test_a_tunnel_is_the_switchs_where_the_kernel_switches(tmp_path: Path) -> None:
    segment = SegmentSpec(network_type="vxlan", id=9, local="192.0.2.1", peers=(TunnelPeer(address="192.0.2.2"),))
    uplinks = Uplinks(Names("mn", tmp_path), HostWires())
    spec = msgspec.structs.replace(NETWORK, segment=segment)

    system, user = uplinks.way(spec, 1, "system", set()), uplinks.way(spec, 1, "netdev", set())

    assert system is not None
    assert ("vxlan", True) == (system.plug.kind, system.uplink.tunnel)
    assert dict(system.plug.options) == {"key": "9", "local_ip": "192.0.2.1", "remote_ip": "flow"}
    assert user is not None
    assert ("", False) == (user.plug.kind, user.uplink.tunnel)


def test_numbers_of_all_kinds_are_apart_and_open_flows_knows_them(tmp_path: Path) -> None:
    assert Numbers.GUESTS < Numbers.PHYSICAL < Numbers.SERVICES < Numbers.TUNNELS
    assert Numbers.TUNNELS + Numbers.NETWORKS <= 0xFF00
    assert len(integration_bridge(Names("mn", tmp_path))) <= 15


def test_a_process_with_the_number_of_a_dead_daemon_is_not_taken_for_it(tmp_path: Path) -> None:
    file = tmp_path / "daemon.pid"
    file.write_text(f"{os.getpid()}\n")

    assert processes.living(file) is None
    assert os.getpid() == processes.living(file, named=False)
    processes.end(file)


def test_a_daemon_of_the_file_ends(tmp_path: Path) -> None:
    file = tmp_path / "daemon.pid"
    argv = [sys.executable, "-c", "print('up', flush=True); input()", f"--pidfile={file}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        file.write_text(str(daemon.pid))
        lived = processes.living(file)

        processes.end(file)

        assert daemon.pid == lived
        assert -15 == daemon.wait(10)
