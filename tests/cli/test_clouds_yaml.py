"""The clients' file: our clouds come and go, all else in it stays as its owner wrote it."""

import os
import stat

import msgspec
import pytest

from micronova.cli import clouds_yaml
from micronova.errors import ConfigError

URL = "http://127.0.0.1:1/identity/v3"
OURS = {"micronova": clouds_yaml.entry(URL, "admin", "s3:#cret", "admin", "RegionOne")}
MINE = """\
# my clouds
cache:
  expiration_time: 3600
clouds:
  work:  # the big one
    auth:
      auth_url: 'https://keystone.example.org/v3'
      password: "1234"
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "openstack" / "clouds.yaml"


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_missing_file_is_made_for_its_owner_only(file):
    clouds_yaml.put(file, OURS)

    assert OURS == clouds_yaml.read(file)
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_what_is_read_is_plain_values(file):
    clouds_yaml.put(file, OURS)

    read = clouds_yaml.read(file)

    assert {str} == {type(value) for value in read["micronova"]["auth"].values()}
    assert OURS == msgspec.json.decode(msgspec.json.encode(read))


def test_other_clouds_keep_their_words_comments_and_quotes(file):
    write(file, MINE)

    clouds_yaml.put(file, OURS)

    assert file.read_text().startswith(MINE)
    assert {"work", "micronova"} == set(clouds_yaml.read(file))


def test_putting_the_same_again_does_not_touch_the_file(file):
    write(file, MINE)
    clouds_yaml.put(file, OURS)
    before = file.stat().st_mtime_ns, file.stat().st_ino

    clouds_yaml.put(file, OURS)

    assert before == (file.stat().st_mtime_ns, file.stat().st_ino)


def test_a_new_address_takes_the_place_of_the_old(file):
    write(file, MINE)
    clouds_yaml.put(file, OURS)
    moved = {"micronova": clouds_yaml.entry(URL.replace(":1/", ":2/"), "admin", "x", "admin", "RegionOne")}

    clouds_yaml.put(file, moved)

    assert moved["micronova"] == clouds_yaml.read(file)["micronova"]
    assert file.read_text().startswith(MINE)


def test_removing_gives_back_the_file_as_it_was(file):
    write(file, MINE)
    clouds_yaml.put(file, OURS)

    clouds_yaml.remove(file, {"micronova": "s3:#cret"})

    assert MINE == file.read_text()


def test_a_file_that_held_only_ours_goes_with_them(file):
    clouds_yaml.put(file, OURS)

    clouds_yaml.remove(file, {"micronova": "s3:#cret"})

    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["clouds: 7\n", "clouds: {micronova: 7}\n", "clouds: {micronova: {auth: x}}\n", "a: b\n"]
)
def test_what_is_not_ours_is_not_ours_to_remove(file, text):
    write(file, text)

    clouds_yaml.remove(file, {"micronova": "s3:#cret"})

    assert text == file.read_text()


def test_a_cloud_of_our_name_with_another_password_stays(file):
    clouds_yaml.put(file, OURS)

    clouds_yaml.remove(file, {"micronova": "another's"})

    assert OURS == clouds_yaml.read(file)


def test_a_cloud_that_has_moved_to_another_port_since_is_removed(file):
    moved = {"micronova": clouds_yaml.entry(URL.replace(":1/", ":2/"), "admin", "s3:#cret", "admin", "RegionOne")}
    clouds_yaml.put(file, moved)

    clouds_yaml.remove(file, {"micronova": "s3:#cret"})

    assert not file.exists()


@pytest.mark.parametrize("text", ["clouds: [", "- a\n- b\n", "clouds: 7\n", "clouds:\n- a\n", "\x00"])
def test_a_file_we_do_not_understand_is_left_as_it_is(file, text):
    write(file, text)

    with pytest.raises(ConfigError, match="left as it is"):
        clouds_yaml.put(file, OURS)

    assert text == file.read_text()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "clouds:\n", "clouds: {}\n"])
def test_an_empty_file_or_table_is_filled(file, text):
    write(file, text)

    clouds_yaml.put(file, OURS)

    assert OURS == clouds_yaml.read(file)


def test_a_link_stays_a_link(file, tmp_path):
    real = tmp_path / "dotfiles.yaml"
    real.write_text(MINE)
    file.parent.mkdir()
    file.symlink_to(real)

    clouds_yaml.put(file, OURS)

    assert file.is_symlink()
    assert "micronova" in clouds_yaml.read(real)


def test_a_place_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "openstack").write_text("a file where a folder must be")

    with pytest.raises(ConfigError, match="can't be"):
        clouds_yaml.put(tmp_path / "openstack" / "clouds.yaml", OURS)


def test_the_file_is_where_clients_look(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert tmp_path / ".config/openstack/clouds.yaml" == clouds_yaml.user_file()

    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "x"))

    assert tmp_path / "x/openstack/clouds.yaml" == clouds_yaml.user_file()
