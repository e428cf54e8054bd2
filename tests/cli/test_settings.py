"""From flags to a configuration, and its record in the state folder."""

import pytest

from micronova.cli import settings
from micronova.errors import ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MICRONOVA_STATE", raising=False)


def given(tmp_path, **flags):
    return {"state": str(tmp_path), "file": None, "listen": None, "simulate": False, "bus": None, "db": None, **flags}


def test_flags_win_over_environment_and_file(tmp_path, monkeypatch):
    file = tmp_path / "mine.toml"
    file.write_text("[api]\nlisten = '127.0.0.1:1'\n[network]\nmtu = 1400\ndomain = 'a.example'\n")
    monkeypatch.setenv("MICRONOVA_API_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("MICRONOVA_NETWORK_MTU", "1450")

    loaded = settings.from_flags(given(tmp_path, file=file, listen="127.0.0.1:3"))

    options = loaded.options
    assert ("127.0.0.1:3", 1450, "a.example") == (options.api.listen, options.network.mtu, options.network.domain)
    origins = {name: origin for name, _, origin in loaded.lines()}
    assert "flag for api.listen" == origins["api.listen"]
    assert "environment MICRONOVA_NETWORK_MTU" == origins["network.mtu"]
    assert str(file) == origins["network.domain"]


def test_a_flag_that_was_not_given_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MICRONOVA_SIMULATE", "true")

    assert settings.from_flags(given(tmp_path)).options.simulate


def test_later_commands_find_the_options_of_the_last_start(tmp_path):
    loaded = settings.from_flags(given(tmp_path, listen="127.0.0.1:0", simulate=True, db=f"sqlite:///{tmp_path}/x.db"))

    settings.record(loaded)
    again = settings.recorded(str(tmp_path))

    assert loaded.options == again.options
    assert list(loaded.lines()) == list(again.lines())
    assert 0o600 == (tmp_path / settings.RECORD).stat().st_mode & 0o777


def test_a_folder_that_was_moved_is_found_where_it_is(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    settings.record(settings.from_flags(given(old, simulate=True)))
    old.rename(new)

    assert new == settings.recorded(str(new)).state


def test_a_folder_without_a_cloud_is_told_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(ConfigError, match=rf"there is no cloud in {tmp_path}; `micronova up --state {tmp_path}`"):
        settings.recorded(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"options": 7}', '{"origins": {}}', '{"options": {"x": 1}}'])
def test_a_damaged_record_is_told(tmp_path, text):
    (tmp_path / settings.RECORD).write_text(text)

    with pytest.raises(ConfigError, match="config"):
        settings.recorded(str(tmp_path))


@pytest.mark.parametrize(
    ("listen", "found"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_addresses(listen, found):
    assert found == settings.check_listen(listen)


@pytest.mark.parametrize("listen", ["", ":", ":80", "host", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_told(listen):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        settings.check_listen(listen)


def test_the_state_folder_is_the_flags_the_environments_or_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tmp_path / "state" == settings.state_of(None)

    monkeypatch.setenv("MICRONOVA_STATE", str(tmp_path / "named"))

    assert tmp_path / "named" == settings.state_of(None)
    assert tmp_path / "flag" == settings.state_of(str(tmp_path / "flag"))
