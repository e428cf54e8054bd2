"""From the option to the switch: what the file says is what is reached, and what is wrong with it stops the start."""

from pathlib import Path

import pytest
from nexus import Nexus
from switch_world import secrets

from micronova import config
from micronova.clock import SystemClock
from micronova.errors import ConfigError
from micronova.network import switches
from micronova.testing.switch_kit import carrying

PORTS = ("Ethernet1/1", "Ethernet1/2")
TEXT = """
[switch.rack1]
driver = "nxos"
address = "127.0.0.1"
port = {port}
user = "micronova"
password_file = "login.secret"
fingerprint = "{fingerprint}"
hosts.node1 = ["Ethernet1/1"]
hosts.node2 = ["Ethernet1/2"]
"""


def written(folder: Path, text: str) -> config.Config:
    """A configuration whose option names this file."""
    secrets(folder)
    file = folder / "switches.toml"
    file.write_text(text)
    return config.load(flags={"network.switches_file": str(file), "state": str(folder)})


async def test_the_switch_of_the_file_is_the_one_that_is_told(tmp_path: Path) -> None:
    async with Nexus(*PORTS) as nexus:
        given = written(tmp_path, TEXT.format(port=nexus.port, fingerprint=nexus.key.get_fingerprint()))
        rack = switches.configured(given, SystemClock())["rack1"]

        await rack.driver.apply(carrying(rack.settings.hosts["node2"][0], 107))
        await rack.driver.close()

    assert {1, 107} == nexus.ports[PORTS[1]].allowed


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"nxos"', '"junos"', r"switch\.rack1\.driver: there is no 'junos' .* installed: eos, fake, ios"),
        ('"login.secret"', '"none.secret"', r"switch\.rack1: password_file: .*none\.secret can't be read"),
        ("fingerprint = ", 'address2 = "x"\n#', r"switch\.rack1\.address2: there is no such key"),
        ("fingerprint = ", "#", r"switch\.rack1: known_hosts or fingerprint"),
    ],
)
def test_what_is_wrong_stops_the_start_and_names_file_and_key(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    given = written(tmp_path, TEXT.format(port=22, fingerprint="SHA256:" + "x" * 43).replace(before, after))

    with pytest.raises(ConfigError, match=told) as caught:
        switches.configured(given, SystemClock())

    assert str(tmp_path / "switches.toml") in str(caught.value)
