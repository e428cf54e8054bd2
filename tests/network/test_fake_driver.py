"""The fake network passes the kit, and does what fakes are for: refuse, be slow, remember."""

import asyncio

import msgspec
import pytest

from micronova.clock import SystemClock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.network.driver import NetworkDriver, SegmentSpec, TunnelPeer
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.testing.network_kit import NetworkDriverKit, network_spec, port_spec


@pytest.fixture
def fake() -> FakeNetworkDriver:
    return FakeNetworkDriver(SystemClock())


class TestFakeNetworkDriver(NetworkDriverKit):
    @pytest.fixture
    async def driver(self, fake: FakeNetworkDriver) -> NetworkDriver:
        await fake.init_host()
        return fake


class TestSlowFakeNetworkDriver(NetworkDriverKit):
    @pytest.fixture
    async def driver(self) -> NetworkDriver:
        return FakeNetworkDriver(SystemClock(), delay=0.0001)


async def test_a_refusal_happens_as_often_as_asked_and_has_no_effect(fake: FakeNetworkDriver) -> None:
    await fake.ensure_network(network_spec(0))
    fake.refuse("the switch is on fire", times=2, operation="ensure_port")

    for _ in range(2):
        with pytest.raises(DriverError, match="on fire"):
            await fake.ensure_port(port_spec(1))

    assert {} == fake.ports
    await fake.ensure_port(port_spec(1))


async def test_a_refusal_of_one_operation_lets_others_pass(fake: FakeNetworkDriver) -> None:
    fake.refuse("no", operation="remove_port")

    await fake.ensure_network(network_spec(0))

    with pytest.raises(DriverError):
        await fake.remove_port("any")


async def test_a_refusal_may_be_of_a_kind(fake: FakeNetworkDriver) -> None:
    fake.refuse("full", error=NoSpace)

    with pytest.raises(NoSpace):
        await fake.ensure_network(network_spec(0))


async def test_a_fake_that_relents_refuses_no_more(fake: FakeNetworkDriver) -> None:
    fake.refuse("no", times=100)
    fake.relent()

    await fake.ensure_network(network_spec(0))

    assert [network_spec(0).id] == list(fake.networks)


async def test_a_slow_call_has_its_effect_at_its_end() -> None:
    slow = FakeNetworkDriver(SystemClock(), delay=0.01)
    call = asyncio.ensure_future(slow.ensure_network(network_spec(0)))
    await asyncio.sleep(0)
    before = dict(slow.networks)

    await call

    assert {} == before
    assert [network_spec(0).id] == list(slow.networks)


async def test_calls_are_remembered_in_order(fake: FakeNetworkDriver) -> None:
    await fake.ensure_network(network_spec(0))
    await fake.ensure_port(port_spec(1))

    assert ["ensure_network", "ensure_port"] == [call.operation for call in fake.calls]
    assert port_spec(1).id == fake.calls[-1].subject


@pytest.mark.parametrize(
    "segment",
    [
        SegmentSpec(id=5),
        SegmentSpec(network_type="vlan", id=5),
        SegmentSpec(network_type="vlan", physical_network="rack", id=4095),
        SegmentSpec(network_type="vxlan", id=5),
        SegmentSpec(network_type="vxlan", local="192.0.2.1", id=1 << 24),
        SegmentSpec(network_type="pigeon"),
    ],
)
async def test_a_network_is_on_a_segment_that_can_be(fake: FakeNetworkDriver, segment: SegmentSpec) -> None:
    with pytest.raises(Rejected, match="can't be on"):
        await fake.ensure_network(msgspec.structs.replace(network_spec(0), segment=segment))

    assert {} == fake.networks


async def test_the_newest_segment_is_what_the_network_is_on(fake: FakeNetworkDriver) -> None:
    alone = SegmentSpec(network_type="vxlan", local="192.0.2.1", id=5)
    joined = msgspec.structs.replace(alone, peers=(TunnelPeer(address="192.0.2.2", macs=("fa:16:3e:00:00:01",)),))

    for segment in (alone, joined):
        await fake.ensure_network(msgspec.structs.replace(network_spec(0), segment=segment))

    assert [joined] == [spec.segment for spec in fake.networks.values()]
