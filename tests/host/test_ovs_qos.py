"""What guests see of the Linux driver's QoS, they see of the Open vSwitch driver's: the same tests."""

import pytest
import test_linux_qos
from ovs_lab import ovs_driver as ovs_driver
from test_linux_qos import *  # noqa: F403

from micronova.network.driver import RateSpec


@pytest.fixture(autouse=True)
def slower(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch in user space loses much of what comes at once, so what is unlimited may be slow, too."""
    if "given_back" not in request.node.name:
        monkeypatch.setattr(test_linux_qos, "SLOW", RateSpec(kbps=1000, burst_kbit=400))
        monkeypatch.setattr(test_linux_qos, "BYTES", 1_000_000 // 8)
        monkeypatch.setattr(test_linux_qos, "UNLIMITED", 2.5 * test_linux_qos.BYTES)
