"""Back ends of one host lie at places of their own: two at one place would take each other's volumes for theirs."""

from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.config import load
from micronova.errors import ConfigError
from micronova.plugins import Plugins
from micronova.volume.driver import VolumeDriver
from micronova.volume.drivers.rbd.driver import RbdVolumeDriver
from micronova.volume.drivers.rbd.options import RbdOptions
from micronova.wiring import make_volume_drivers

Kinds = tuple[str, str]
GROUP = '[plugin.two]\nthin_pool = "other"\n'


def made(folder: Path, kinds: Kinds, more: str = "", folders: Kinds = ("", "")) -> dict[str, VolumeDriver]:
    """Back ends `one` and `two` as the configuration wants them."""
    backends = "".join(
        f'[volume.backends.{name}]\ndriver = "{kind}"\nfolder = "{at and folder / at}"\n'
        for name, kind, at in zip(("one", "two"), kinds, folders, strict=True)
    )
    file = folder / "micronova.toml"
    file.write_text(backends + more)
    return make_volume_drivers(load(file, {"MICRONOVA_STATE": str(folder)}), SystemClock(), Plugins())


SAME = [
    (("lvm", "lvm"), "", ("", ""), "thin pool micronova/pool"),
    (("file", "nfs"), "", ("v", "link"), "folder .*/v"),
]


@pytest.mark.parametrize(("kinds", "more", "folders", "place"), SAME)
def test_two_back_ends_at_one_place_are_refused(
    tmp_path: Path, kinds: Kinds, more: str, folders: Kinds, place: str
) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "v")

    with pytest.raises(ConfigError, match=rf"volume\.backends\.two: {place} is that of back end one already"):
        made(tmp_path, kinds, more, folders)


OTHER = [
    (("lvm", "lvm"), GROUP, ("", "")),
    (("file", "nfs"), "", ("v", "w")),
    (("file", "file"), "", ("", "")),
    (("file", "lvm"), "", ("", "")),
]


@pytest.mark.parametrize(("kinds", "more", "folders"), OTHER)
def test_two_back_ends_at_places_of_their_own_are_made(tmp_path: Path, kinds: Kinds, more: str, folders: Kinds) -> None:
    assert ["one", "two"] == list(made(tmp_path, kinds, more, folders))


def test_pools_of_one_ceph_cluster_are_known_by_its_own_id(tmp_path: Path) -> None:
    for name in ("one.conf", "two.conf"):
        (tmp_path / name).write_text("[global]\n fsid = 0AA0-0bb0\n")

    def place(pool: str, conf: str) -> str:
        options = RbdOptions(pool=pool, conf=str(tmp_path / conf))
        return RbdVolumeDriver(tmp_path, SystemClock(), options, host="h1").place

    assert place("a", "one.conf") == place("a", "two.conf") != place("b", "one.conf")
    assert place("a", "none.conf") not in (place("a", "one.conf"), place("b", "none.conf"))
