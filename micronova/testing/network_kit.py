"""The conformance kit of NetworkDriver: what every implementation must do, whatever it does it with.

A driver's test inherits `NetworkDriverKit`, gives a pytest fixture `driver` (prepared, erased afterwards),
and adds what only it can show, such as real packets.
"""

import asyncio

import msgspec
import pytest

from micronova.errors import DriverError, Rejected
from micronova.network.driver import (
    FloatingSpec,
    GroupSpec,
    Lease,
    NetworkDriver,
    NetworkSpec,
    PeerSpec,
    PortSpec,
    RouterSpec,
    RuleSpec,
    SegmentSpec,
    SubnetSpec,
    TunnelPeer,
    WayOutSpec,
)

SSH_AND_PING = (
    RuleSpec(direction="egress", ethertype="IPv4"),
    RuleSpec(direction="egress", ethertype="IPv6"),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="tcp", port_min=22, port_max=22),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="icmp", remotes=("10.60.0.0/24",)),
)
EVERY_KIND_OF_RULE = (
    RuleSpec(direction="egress", ethertype="IPv4", protocol="udp", port_min=53, port_max=53),
    RuleSpec(direction="egress", ethertype="IPv4", protocol="tcp"),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="icmp", port_min=8, port_max=0),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="icmp", port_min=3),
    RuleSpec(direction="ingress", ethertype="IPv6", protocol="ipv6-icmp", port_min=128),
    RuleSpec(direction="ingress", ethertype="IPv6", protocol="icmpv6"),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="132", port_min=9, port_max=19),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="vrrp"),
    RuleSpec(direction="ingress", ethertype="IPv4", protocol="47"),
    RuleSpec(direction="ingress", ethertype="IPv6", protocol="tcp", port_min=1, port_max=65535),
    RuleSpec(direction="ingress", ethertype="IPv4", remotes=("10.0.0.0/8", "10.1.0.0/16", "192.168.7.9/32")),
    RuleSpec(direction="ingress", ethertype="IPv6", remotes=("fd00::/8",)),
    RuleSpec(direction="ingress", ethertype="IPv4", remotes=("0.0.0.0/0",)),
    RuleSpec(direction="ingress", ethertype="IPv4", remote_group="friends"),
    RuleSpec(direction="egress", ethertype="IPv6", protocol="tcp", port_min=25, remote_group="strangers"),
)
FRIENDS = GroupSpec(id="friends", addresses=("10.60.0.11", "10.60.0.64/26", "10.60.0.65", "fd00:60::/64", "fd00::5"))


def network_spec(number: int) -> NetworkSpec:
    """Network `number` with one IPv4 subnet, 10.60.`number`.0/24."""
    subnet = SubnetSpec(id=f"subnet-{number:08d}", cidr=f"10.60.{number}.0/24", gateway=f"10.60.{number}.1")
    return NetworkSpec(id=f"00000000-0000-4000-8000-{number:012d}", mtu=1450, subnets=(subnet,), domain="kit.test")


def routed_spec(number: int, *others: int, floating: tuple[FloatingSpec, ...] = ()) -> NetworkSpec:
    """Network `number` behind a router that joins it with `others` and leads out."""
    network = network_spec(number)
    router = RouterSpec(
        id="router-1",
        addresses=(f"10.60.{number}.1/24",),
        subnet_ids=(network.subnets[0].id,),
        peers=tuple(
            PeerSpec(network_id=network_spec(other).id, cidrs=(network_spec(other).subnets[0].cidr,))
            for other in others
        ),
        way_out=WayOutSpec(network_id="external", snat=True),
        routes=(("172.30.0.0/16", f"10.60.{number}.77"),),
    )
    return msgspec.structs.replace(network, routers=(router,), floating=floating)


def spanning_spec(number: int, *peers: str) -> NetworkSpec:
    """Network `number` on VXLAN, joined with hosts at the addresses `peers`, of which each has one port."""
    guests = {peer: f"fa:16:3e:01:{number:02x}:{place:02x}" for place, peer in enumerate(peers, 1)}
    segment = SegmentSpec(
        network_type="vxlan",
        id=4000 + number,
        local="127.0.0.1",
        peers=tuple(TunnelPeer(address=peer, macs=(mac,)) for peer, mac in guests.items()),
        neighbours=tuple((f"10.60.{number}.{200 + place}", mac) for place, mac in enumerate(guests.values(), 1)),
    )
    return msgspec.structs.replace(network_spec(number), segment=segment)


def port_spec(number: int, *, network: int = 0, rules: tuple[RuleSpec, ...] = SSH_AND_PING) -> PortSpec:
    """Port `number` of network `network`, its address the tenth after the number."""
    return PortSpec(
        id=f"10000000-0000-4000-8000-{number:012d}",
        network_id=network_spec(network).id,
        device=f"kit{number:08d}",
        mac=f"fa:16:3e:00:{network:02x}:{number:02x}",
        ips=(f"10.60.{network}.{number + 10}",),
        rules=rules,
        leases=(Lease(ip=f"10.60.{network}.{number + 10}", hostname=f"h-kit{number:08d}"),),
    )


class NetworkDriverKit:
    """Inherit, give the fixture `driver`, and run."""

    async def test_a_network_and_a_port_are_told_as_they_are(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))

        facts = await driver.ensure_port(port_spec(1))

        assert facts.device == port_spec(1).device
        assert [facts] == await driver.list_ports()
        assert [network_spec(0).id] == await driver.list_networks()

    async def test_repeating_everything_changes_nothing(self, driver: NetworkDriver) -> None:
        network = network_spec(0)
        await driver.ensure_network(network)
        first = await driver.ensure_port(port_spec(1))

        await driver.init_host()
        await driver.ensure_network(network)
        second = await driver.ensure_port(port_spec(1))

        assert first == second
        assert [first] == await driver.list_ports()
        assert [network.id] == await driver.list_networks()

    async def test_a_port_before_its_network_is_refused(self, driver: NetworkDriver) -> None:
        with pytest.raises(DriverError):
            await driver.ensure_port(port_spec(1))

        assert [] == await driver.list_ports()

    async def test_removing_what_is_missing_is_success(self, driver: NetworkDriver) -> None:
        await driver.remove_port(port_spec(1).id)
        await driver.remove_network(network_spec(0).id)

        assert [] == await driver.list_networks()

    async def test_a_network_with_ports_stays(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        await driver.ensure_port(port_spec(1))

        with pytest.raises(DriverError):
            await driver.remove_network(network_spec(0).id)

        assert 1 == len(await driver.list_ports())
        assert [network_spec(0).id] == await driver.list_networks()

    async def test_removed_is_gone_and_can_come_again(self, driver: NetworkDriver) -> None:
        for _ in range(2):
            await driver.ensure_network(network_spec(0))
            await driver.ensure_port(port_spec(1))

            await driver.remove_port(port_spec(1).id)
            await driver.remove_network(network_spec(0).id)

            assert [] == await driver.list_ports()
            assert [] == await driver.list_networks()

    async def test_many_ports_at_once_are_there_in_order_of_id(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        specs = tuple(port_spec(number) for number in (5, 3, 9, 1))

        await driver.ensure_ports(specs)

        assert sorted(spec.id for spec in specs) == [facts.id for facts in await driver.list_ports()]

    async def test_calls_at_the_same_time_all_take_effect(self, driver: NetworkDriver) -> None:
        await asyncio.gather(*(driver.ensure_network(network_spec(number)) for number in (0, 1, 0, 1)))

        await asyncio.gather(
            *(driver.ensure_port(port_spec(number, network=number % 2)) for number in (1, 2, 3, 4, 1, 2))
        )
        await asyncio.gather(
            driver.remove_port(port_spec(1).id),
            driver.remove_port(port_spec(1).id),
            driver.ensure_port(port_spec(2, network=0)),
        )

        expected = [port_spec(number).id for number in (2, 3, 4)]
        assert expected == [facts.id for facts in await driver.list_ports()]
        assert [network_spec(0).id, network_spec(1).id] == await driver.list_networks()

    async def test_a_call_given_up_half_way_is_completed_by_the_next(self, driver: NetworkDriver) -> None:
        for turns in range(8):
            await _give_up_after(turns, asyncio.ensure_future(driver.ensure_network(network_spec(0))))
            await driver.ensure_network(network_spec(0))
            await _give_up_after(turns, asyncio.ensure_future(driver.ensure_port(port_spec(1))))
            await driver.ensure_port(port_spec(1))
            assert 1 == len(await driver.list_ports())
            await _give_up_after(turns, asyncio.ensure_future(driver.remove_port(port_spec(1).id)))
            await driver.remove_port(port_spec(1).id)
            await _give_up_after(turns, asyncio.ensure_future(driver.remove_network(network_spec(0).id)))
            await driver.remove_network(network_spec(0).id)

            assert [] == await driver.list_ports()
            assert [] == await driver.list_networks()

    async def test_other_rules_addresses_and_leases_are_taken_over(self, driver: NetworkDriver) -> None:
        before = port_spec(1)
        await driver.ensure_network(network_spec(0))
        await driver.ensure_port(before)
        after = msgspec.structs.replace(
            before,
            ips=("10.60.0.77", "fd00:60::77"),
            rules=EVERY_KIND_OF_RULE,
            allowed_pairs=(("fa:16:3e:99:99:99", "10.60.0.128/25"),),
            leases=(Lease(ip="10.60.0.77", hostname="renamed"), Lease(ip="fd00:60::77", hostname="renamed")),
        )

        facts = await driver.ensure_port(after)

        assert [facts] == await driver.list_ports()

    async def test_a_port_without_security_is_served(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))

        facts = await driver.ensure_port(msgspec.structs.replace(port_spec(1, rules=()), secured=False))

        assert [facts] == await driver.list_ports()

    @pytest.mark.parametrize("device", ["", "x" * 16])
    async def test_a_name_that_no_interface_can_have_is_rejected(self, driver: NetworkDriver, device: str) -> None:
        await driver.ensure_network(network_spec(0))

        with pytest.raises(Rejected):
            await driver.ensure_port(msgspec.structs.replace(port_spec(1), device=device))

        assert [] == await driver.list_ports()

    async def test_a_device_is_never_given_to_two_ports(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        await driver.ensure_port(port_spec(1))

        with pytest.raises(DriverError):
            await driver.ensure_port(msgspec.structs.replace(port_spec(2), device=port_spec(1).device))

        assert [port_spec(1).id] == [facts.id for facts in await driver.list_ports()]

    async def test_one_bad_port_among_many_changes_none(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))

        with pytest.raises(DriverError):
            await driver.ensure_ports((port_spec(1), port_spec(2, network=7)))

        assert [] == await driver.list_ports()

    async def test_a_lease_that_can_not_be_is_rejected(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        wrong = Lease(ip="10.60.0.11", hostname="two words")

        with pytest.raises(Rejected):
            await driver.ensure_port(msgspec.structs.replace(port_spec(1), leases=(wrong,)))

        assert [] == await driver.list_ports()

    async def test_groups_come_change_and_go_with_the_rules_that_name_them(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        both = (port_spec(1, rules=EVERY_KIND_OF_RULE), port_spec(2, rules=EVERY_KIND_OF_RULE))
        others = GroupSpec(id="friends", addresses=("10.60.0.12", "10.60.0.96/27"))

        await driver.ensure_ports(both, (FRIENDS, GroupSpec(id="nobodys", addresses=("10.0.0.1",))))
        for group in (others, FRIENDS, GroupSpec(id="friends"), FRIENDS):
            await driver.ensure_ports((), (group,))
        await driver.ensure_port(port_spec(1, rules=()), (others,))
        await driver.remove_port(port_spec(2).id)
        await driver.ensure_ports((), (FRIENDS,))
        await driver.ensure_ports(both, (FRIENDS,))

        assert [spec.id for spec in both] == [facts.id for facts in await driver.list_ports()]

    async def test_networks_of_a_router_come_and_go_in_any_order(self, driver: NetworkDriver) -> None:
        floating = FloatingSpec(floating_ip="203.0.113.9", fixed_ip="10.60.0.11", port_id=port_spec(1).id)
        first, second = routed_spec(0, 1, floating=(floating,)), routed_spec(1, 0)

        for order in ((first, second), (second, first)):
            for spec in (*order, network_spec(0), *order):
                await driver.ensure_network(spec)
            for spec in order:
                await driver.remove_network(spec.id)

        assert [] == await driver.list_networks()

    async def test_a_network_that_spans_hosts_follows_its_peers(self, driver: NetworkDriver) -> None:
        for peers in ((), ("127.0.0.2",), ("127.0.0.2", "127.0.0.3"), ("127.0.0.3",), ("127.0.0.3",), ()):
            await driver.ensure_network(spanning_spec(0, *peers))
            await driver.ensure_port(port_spec(1))
        await driver.ensure_network(spanning_spec(1, "127.0.0.2"))

        there = await driver.list_networks()
        await driver.remove_port(port_spec(1).id)
        for number in (0, 1):
            await driver.remove_network(network_spec(number).id)

        assert [network_spec(0).id, network_spec(1).id] == there
        assert [] == await driver.list_networks()

    async def test_no_metadata_socket_without_a_network(self, driver: NetworkDriver) -> None:
        with pytest.raises(DriverError):
            await driver.metadata_socket(network_spec(0).id)

    async def test_a_metadata_socket_can_be_had_again(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))

        for _ in range(2):
            socket = await driver.metadata_socket(network_spec(0).id)
            if socket is not None:
                socket.close()

        assert [network_spec(0).id] == await driver.list_networks()

    async def test_erasing_leaves_nothing_and_can_be_repeated(self, driver: NetworkDriver) -> None:
        await driver.ensure_network(network_spec(0))
        await driver.ensure_network(network_spec(1))
        await driver.ensure_port(port_spec(1))

        await driver.erase()
        await driver.erase()

        assert [] == await driver.list_ports()
        assert [] == await driver.list_networks()


async def _give_up_after(turns: int, call: asyncio.Future[object]) -> None:
    """Let `call` run for some turns of the event loop, then cancel it and wait for its end."""
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    if not call.cancelled():
        call.exception()
