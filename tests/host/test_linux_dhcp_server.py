"""The DHCP server of a network that died: another takes its place, and nobody else is taken for it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from linux_guests import network, plug, port
from netlab import Lab, until
from test_linux_network import NETWORK, servers, start

from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.names import Names

pytestmark = pytest.mark.host


async def test_killed_dhcp_server_is_started_again(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    [pid] = servers(names)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not servers(names))

    await driver.ensure_network(NETWORK)

    assert 1 == len(servers(names))
    assert [pid] != servers(names)


async def test_a_process_with_the_number_of_a_dead_server_is_left_alone(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    os.kill(servers(names)[0], signal.SIGKILL)
    until(lambda: not servers(names))
    bystander = start("sleep", "60")
    [pid_file] = Path("/run", names.cloud).glob("*/pid")
    pid_file.write_text(f"{bystander.pid}\n")

    try:
        await driver.ensure_network(NETWORK)
        await driver.remove_network(NETWORK.id)

        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.communicate()


async def test_a_lease_that_the_server_has_not_written_down_yet_is_waited_for(
    lab: Lab, driver: LinuxNetworkDriver
) -> None:
    """It answers a guest first; who read its file in between would never give that lease back."""
    await driver.ensure_network(network())
    spec = port("a", 11)
    await plug(lab, driver, spec)
    [server] = lab.processes("dnsmasq")
    os.kill(server, signal.SIGSTOP)

    try:
        removal = asyncio.create_task(driver.remove_port(spec.id))
        done, _ = await asyncio.wait([removal], timeout=1)

        assert not done
    finally:
        os.kill(server, signal.SIGCONT)
    await removal
