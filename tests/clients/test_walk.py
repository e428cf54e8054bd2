"""The walk: a real virtual machine, booted and used with the unmodified client."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from outside import wait_for

from .conftest import ssh

CREATE = "--os-cloud micronova server create --image tiny --flavor m1.tiny --network private --key-name mykey --wait"
USER_DATA = "#!/bin/sh\necho told-by-user-data > /tmp/told\necho user data of $(hostname) ran\n"
BOOT_WAIT = 240


def console_until(openstack, server, marker, wait=BOOT_WAIT):
    """The console of a server, which shows `marker`."""

    def shows():
        said = openstack(f"console log show {server}").out
        return said if marker in said else ""

    return wait_for(shows, wait, every=0.5, said=f"{marker!r} on the console of {server}")


def address_of(openstack, server):
    return openstack.json(f"server show {server}")["addresses"]["private"][0]


@pytest.fixture(scope="module")
def web(stage, openstack, executable):
    """Two servers, both at their login prompts: web1 as in the first example, web2 with user data and options."""
    given = stage.folder / "user-data"
    given.write_text(USER_DATA)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(executable, f"{CREATE} web1")
        two = pool.submit(
            openstack,
            f"server create --image tiny --flavor m1.tiny --network private --key-name mykey --user-data {given}",
            "--property",
            "role=web",
            "--config-drive",
            "False",
            "--wait",
            "web2",
        )
        first, second = one.result(), two.result()
    assert first.code == 0, first.err
    assert re.search(r"status +\| ACTIVE", first.out), first.out
    for name in ("web1", "web2"):
        console_until(openstack, name, f"{name} login:" if "--simulate" not in stage.flags else "login:")
    return {"web1": first, "web2": second}


def test_the_command_of_the_readme_boots_a_server(web, openstack):
    shown = openstack.json("server show web1")

    assert ("ACTIVE", "mykey") == (shown["status"], shown["key_name"])
    assert re.fullmatch(r"10\.20\.0\.\d+", shown["addresses"]["private"][0])
    assert {"web1", "web2", "hello"} <= {one["Name"] for one in openstack.json("server list")}


def test_the_program_itself_shows_the_console(web, executable):
    said = executable("--os-cloud micronova console log show web1")

    assert said.code == 0
    assert "login:" in said.out


def test_name_key_and_user_data_came_from_the_metadata_service(real, web, openstack):
    address = address_of(openstack, "web2")

    told = ssh(real, address, "hostname; cat /tmp/told; wget -qO- http://169.254.169.254/latest/meta-data/hostname")
    console = openstack("console log show web2").out

    assert ["web2", "told-by-user-data"] == told.split()[:2]
    assert told.split()[2].startswith("web2")
    assert "metadata from metadata service" in console
    assert "user data of web2 ran" in console


def test_another_key_does_not_open_a_guest(real, web, openstack):
    made = openstack("keypair create other")
    wrong = real.folder / "other"
    wrong.touch(mode=0o600)
    wrong.write_text(made.out)

    with pytest.raises(AssertionError, match="denied"):
        ssh(real, address_of(openstack, "web1"), "true", key=wrong)
    openstack("keypair delete other")


def test_guests_reach_each_other(real, web, openstack):
    one, two = (address_of(openstack, name) for name in ("web1", "web2"))

    ping = ssh(real, one, f"ping -c 2 -W 5 {two}")
    tcp = ssh(real, one, f"nc -w 10 {two} 22 < /dev/null | head -c 7")

    assert " 0% packet loss" in ping
    assert tcp == "SSH-2.0"


def test_stop_start_and_reboot(web, openstack, stage):
    openstack("server stop web1")
    wait_for(lambda: openstack.json("server show web1")["status"] == "SHUTOFF", 120, every=0.5, said="SHUTOFF")

    openstack("server start web1")
    wait_for(lambda: openstack.json("server show web1")["status"] == "ACTIVE", 120, every=0.5, said="ACTIVE")
    openstack("server reboot --hard --wait web1")

    assert openstack.json("server show web1")["status"] == "ACTIVE"
    assert {"create", "stop", "start", "reboot"} <= {one["Action"] for one in openstack.json("server event list web1")}


def test_a_stopped_cloud_finds_its_servers_again(web, openstack, stage):
    before = {one["Name"]: one["ID"] for one in openstack.json("server list")}
    url = stage.entry()["auth"]["auth_url"].removesuffix("/identity/v3").removeprefix("http://")

    stopped = stage.down()
    again = stage.run("up", "--detach", "--no-demo", "--listen", url, *stage.flags)
    after = {one["Name"]: one["ID"] for one in openstack.json("server list")}

    assert (0, 0) == (stopped.returncode, again.returncode), stopped.stderr + again.stderr
    assert before == after
    for name in ("web2", "hello"):
        wait_for(lambda name=name: openstack.json(f"server show {name}")["status"] == "ACTIVE", 180, every=0.5)
    assert stage.run("audit").returncode == 0


def test_a_deleted_server_is_gone(web, openstack, executable, stage):
    said = executable("--os-cloud micronova server delete --wait web1")
    openstack("server delete --wait web2")

    assert said.code == 0, said.err
    assert "No Server found for web1" in openstack.fails("server show web1")
    assert {"web1", "web2"}.isdisjoint(one["Name"] for one in openstack.json("server list"))
    assert stage.run("audit").returncode == 0


def test_down_leaves_the_users_own_clouds_alone(stage):
    """The file is looked at while the cloud runs; what `down --erase` makes of it is a test of tests/host."""
    text = (Path(stage.home) / ".config" / "openstack" / "clouds.yaml").read_text()

    assert "# my clouds, by hand" in text
    assert "work:   # the big one" in text
    assert "micronova-demo:" in text
