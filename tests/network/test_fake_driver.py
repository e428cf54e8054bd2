"""The fake network passes the kit, and does what fakes are for: refuse, be slow, remember."""

import asyncio

import pytest

from micronova.clock import SystemClock
from micronova.errors import DriverError, NoSpace
from micronova.network.driver import NetworkDriver
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
