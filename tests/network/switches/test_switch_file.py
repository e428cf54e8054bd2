"""The switches file: what is wrong with it is told by file and key before anything is served."""

import sys
from pathlib import Path

import pytest
from switch_world import secrets

from micronova.clock import SystemClock
from micronova.errors import ConfigError
from micronova.network import switch_file
from micronova.network.drivers.cisco.ios import IOS
from micronova.network.switch_file import SwitchSettings
from micronova.plugins import Plugins, drivers

GOOD = """
[switch.rack1]
driver = "ios"
address = "192.0.2.10"
user = "micronova"
password_file = "login.secret"
fingerprint = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
uplinks = ["Port-channel1"]

[switch.rack1.hosts]
node2 = ["GigabitEthernet1/0/2", "GigabitEthernet1/0/3"]
node1 = ["GigabitEthernet1/0/1"]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "switches.toml"
    file.write_text(text)
    return file


def made(folder: Path, **keys: object) -> None:
    """The start of a switch whose section has these keys besides the necessary ones."""
    secrets(folder)
    base = {"driver": "ios", "address": "192.0.2.1", "user": "u", "password_file": "login.secret"}
    settings = SwitchSettings(**{**base, "check_host_key": False, **keys})  # type: ignore[arg-type]
    IOS.configured("rack1", settings, folder, SystemClock())


def test_a_good_file_is_read(tmp_path: Path) -> None:
    switches = switch_file.read(written(tmp_path, GOOD))

    rack = switches["rack1"]
    assert ("ios", 22, True) == (rack.driver, rack.port, rack.check_host_key)
    assert {"node1", "node2"} == set(rack.hosts)
    ports = ("GigabitEthernet1/0/1", "GigabitEthernet1/0/2", "GigabitEthernet1/0/3", "Port-channel1")
    assert ports == rack.ports


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("user =", "usr =", r"switch\.rack1\.usr: there is no such key"),
        ('driver = "ios"', "", r"switch\.rack1\.driver: is missing"),
        ('address = "192.0.2.10"', "address = 7", r"switch\.rack1\.address: expected str, got int"),
        ('address = "192.0.2.10"', 'port = 0\naddress = "x"', r"switch\.rack1\.port: "),
        ("SHA256:47", "MD5:47", r"switch\.rack1\.fingerprint: "),
        ('["GigabitEthernet1/0/1"]', '"GigabitEthernet1/0/1"', r"switch\.rack1\.hosts"),
        ("GigabitEthernet1/0/1", "Gi1/0/1\\nreload", r"switch\.rack1\.hosts"),
        ("Port-channel1", "GigabitEthernet1/0/3", r"switch\.rack1: port GigabitEthernet1/0/3 is given twice"),
        ("[switch.rack1]", "[switches]\n[switch.rack1]", r"\.switches: there is no such key"),
        ("[switch.rack1]", "[switch.rack1", "is not TOML"),
        ("rack1", "'rack 1'", "switch"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_key(tmp_path: Path, before: str, after: str, told: str) -> None:
    file = written(tmp_path, GOOD.replace(before, after))

    with pytest.raises(ConfigError, match=told) as caught:
        switch_file.read(file)

    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network\.switches_file: .*none\.toml can't be read: No such file"):
        switch_file.read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"address": ""}, "address: is missing"),
        ({"user": ""}, "user: is missing"),
        ({"password_file": ""}, "password_file or key_file"),
        ({"check_host_key": True}, "known_hosts or fingerprint"),
        ({"password_file": "none"}, "password_file: .*none can't be read"),
        ({"key_file": "none"}, "key_file: .*none can't be read"),
        ({"enable_password_file": "none"}, "enable_password_file: .*none can't be read"),
        ({"known_hosts": "none"}, "known_hosts: .*none can't be read"),
    ],
)
def test_a_switch_that_can_not_be_reached_safely_does_not_start(
    tmp_path: Path, keys: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        made(tmp_path, **keys)


def test_secrets_that_everybody_can_read_are_none(tmp_path: Path) -> None:
    file = tmp_path / "open.secret"
    file.write_text("x")
    file.chmod(0o644)

    with pytest.raises(ConfigError, match="can be read by everybody"):
        made(tmp_path, password_file="open.secret")


def test_without_the_ssh_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("micronova.network.drivers.cisco.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncssh", None)

    with pytest.raises(ConfigError, match=r"micronova\[switches\]"):
        made(tmp_path)


@pytest.mark.parametrize("vendor", ["ios", "ios_isl", "nxos", "eos", "fake"])
def test_every_vendor_is_found_by_its_name(tmp_path: Path, vendor: str) -> None:
    secrets(tmp_path)
    rack = switch_file.read(written(tmp_path, GOOD.replace('"ios"', f'"{vendor}"')))["rack1"]

    made = Plugins().load(drivers("switch"), rack.driver, "switch.rack1.driver")

    assert made.configured("rack1", rack, tmp_path, SystemClock())
