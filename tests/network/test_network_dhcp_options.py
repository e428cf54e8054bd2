"""DHCP options of a port: kept, merged on change, told to the host of the port."""

import pytest
from network.network_world import ALICE, room

from micronova.network.contract import NicRequest


@pytest.fixture
async def r():
    async with room() as made:
        yield made


def option(name, value, **more):
    return {"opt_name": name, "opt_value": value, **more}


async def change(r, port, *options):
    body = {"port": {"extra_dhcp_opts": list(options)}}
    return (await r.call("PUT", f"/ports/{port['id']}", body))["port"]["extra_dhcp_opts"]


async def test_options_are_kept_as_they_were_asked_for(r):
    network, _ = await r.network()
    asked = [option("bootfile-name", "pxelinux.0"), option("tag:!ipxe,67", "undionly.kpxe", ip_version=4),
             option("dns-server", "[fd00::1]", ip_version=6), option("router", "")]  # fmt: skip

    made = await r.make("port", network_id=network, extra_dhcp_opts=asked)
    bare = await r.make("port", network_id=network, extra_dhcp_opts=None)

    assert [{"ip_version": 4, **one} for one in asked] == made["extra_dhcp_opts"]
    assert {"port": made} == await r.call("GET", f"/ports/{made['id']}")
    assert [] == bare["extra_dhcp_opts"]


async def test_a_change_replaces_what_it_names_and_removes_what_it_names_without_a_value(r):
    network, _ = await r.network()
    port = await r.make("port", network_id=network, extra_dhcp_opts=[option("66", "a"), option("67", "b")])

    replaced = await change(r, port, option("67", "c"), option("66", "d", ip_version=6))
    removed = await change(r, port, option("66", None), option("150", None))
    nothing = await change(r, port)

    assert [("66", "a", 4), ("67", "c", 4), ("66", "d", 6)] == [tuple(one.values()) for one in replaced]
    assert [("67", "c", 4), ("66", "d", 6)] == [tuple(one.values()) for one in removed]
    assert nothing == removed


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        ["x"],
        [{"opt_name": "66"}],
        [option("", "x")],
        [option("66\n67", "x")],
        [option("a b", "x")],
        [option("x" * 65, "x")],
        [option("66", "")],
        [option("66", "a\nb")],
        [option("66", "x" * 256)],
        [option("66", 7)],
        [option("66", "x", ip_version=5)],
        [option("66", "x"), option("66", "y")],
        [option("66", "x", more=1)],
    ],
)
async def test_options_that_can_not_be_are_refused(r, wrong):
    network, _ = await r.network()

    refused = await r.refused("POST", "/ports", {"port": {"network_id": network, "extra_dhcp_opts": wrong}})

    assert (400, "HTTPBadRequest") == refused


async def test_the_host_of_the_port_is_told_of_its_options(r):
    network, _ = await r.network()
    requests = (NicRequest(network_id=network),)
    [nic] = await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", requests, ())
    await r.manager.plug_server(ALICE, "srv")
    before = r.driver.ports[nic.port_id].dhcp_options

    await change(r, {"id": nic.port_id}, option("bootfile-name", "pxelinux.0"))
    await r.idle()

    [told] = r.driver.ports[nic.port_id].dhcp_options
    assert ((), ("bootfile-name", "pxelinux.0", 4)) == (before, (told.name, told.value, told.ip_version))
