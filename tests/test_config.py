"""The configuration: TOML file < environment < flags, and what is said of a wrong one."""

import msgspec
import pytest

from micronova import config
from micronova.errors import ConfigError


class PluginOptions(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 3


def test_flags_beat_the_environment_which_beats_the_file(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text('[network]\nmtu = 1400\ndomain = "a"\n[api]\nregion = "F"\n')

    loaded = config.load(file, {"MICRONOVA_NETWORK_MTU": "1450", "MICRONOVA_API_REGION": "E"}, {"api.region": "G"})

    assert 1450 == loaded.options.network.mtu
    assert "G" == loaded.options.api.region
    assert "a" == loaded.options.network.domain


def test_every_value_knows_where_it_came_from(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text("[network]\nmtu = 1400\n")

    origins = {name: origin for name, _, origin in config.load(file, {"MICRONOVA_HOST": "n1"}).lines()}

    assert str(file) == origins["network.mtu"]
    assert "environment MICRONOVA_HOST" == origins["host"]
    assert "default" == origins["api.listen"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[network]\nmtuu = 3\n", "unknown option network.mtuu"),
        ("[nowhere]\nx = 1\n", "unknown option nowhere"),
        ('[network]\nmtu = "many"\n', "network.mtu: expected int, got str"),
        ("[network]\nmtu = 3\n", "network.mtu: expected int >= 576"),
        ("[network\n", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_key(tmp_path, text, told):
    file = tmp_path / "m.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match="m.toml") as refused:
        config.load(file)

    assert told in str(refused.value)


def test_a_wrong_variable_is_refused_by_its_name():
    with pytest.raises(ConfigError, match="environment MICRONOVA_NETWORK_MTU: network.mtu: expected int"):
        config.load(environment={"MICRONOVA_NETWORK_MTU": "wide"})
    with pytest.raises(ConfigError, match="MICRONOVA_NETWERK_MTU names no option"):
        config.load(environment={"MICRONOVA_NETWERK_MTU": "1450"})


def test_lists_in_the_environment_are_separated_by_commas():
    loaded = config.load(environment={"MICRONOVA_NETWORK_DNS": "192.0.2.1,192.0.2.2"})

    assert ("192.0.2.1", "192.0.2.2") == loaded.options.network.dns


def test_secrets_are_hidden_when_options_are_shown():
    shown = {name: value for name, value, _ in config.load(flags={"bus.password": "hush"}).lines()}

    assert "***" == shown["bus.password"]


def test_a_plugin_has_a_section_of_its_own(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text("[plugin.tape]\nsize = 5\n[plugin.bad]\nsizes = 5\n")
    loaded = config.load(file)

    assert 5 == loaded.section("tape", PluginOptions).size
    assert 3 == loaded.section("none", PluginOptions).size
    with pytest.raises(ConfigError, match=r"\[plugin.bad\]: unknown option sizes"):
        loaded.section("bad", PluginOptions)


def test_a_back_end_that_says_nothing_of_itself_is_one(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text("[volume.backends.other]\n[volume.backends.file]\nreserved_percent = 5\n[network]\n")

    options = config.load(file, {"MICRONOVA_NETWORK_MTU": "1450"}).options

    assert {"other": 0, "file": 5} == {name: one.reserved_percent for name, one in options.volume.backends.items()}
    assert 1450 == options.network.mtu


def test_no_back_end_named_means_the_usual_one(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text("[volume.backends]\n")

    assert ["file"] == list(config.load(file, {}).options.volume.backends)
