"""What guests see of the Linux driver's routers, they see of the Open vSwitch driver's: the same tests."""

from netlab import Lab, sh
from ovs_lab import ovs_driver as ovs_driver
from test_linux_routing import *  # noqa: F403
from test_linux_routing import FLOATING, PLAIN, routed

from micronova.network.drivers.ovs.driver import OvsNetworkDriver


async def test_removing_what_was_routed_leaves_no_rule_and_no_route(lab: Lab, driver: OvsNetworkDriver) -> None:
    before = (sh("ip", "rule"), sh("ip", "-4", "route", "show", "table", "all"), sh("nft", "list", "ruleset"))
    for _ in range(2):
        await driver.ensure_network(routed("net-a", "net-b", way_out=PLAIN, floating={FLOATING: "10.9.0.11"}))
        await driver.ensure_network(routed("net-b", "net-a", routes=(("0.0.0.0/0", "10.9.0.11"),)))
    there = sh("ip", "rule")

    for id in ("net-a", "net-b"):
        await driver.remove_network(id)

    assert 2 == len(there.splitlines()) - len(before[0].splitlines())
    assert before == (
        sh("ip", "rule"),
        sh("ip", "-4", "route", "show", "table", "all"),
        sh("nft", "list", "ruleset"),
    )
