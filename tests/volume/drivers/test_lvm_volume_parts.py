"""Parts of the LVM driver: what LVM reports, whose each logical volume is, what options and hosts are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from micronova.clock import SystemClock
from micronova.config import load
from micronova.errors import ConfigError, DriverError, NoSpace, Rejected
from micronova.plugins import Plugins
from micronova.testing.volume_ground import export_spec
from micronova.volume.drivers.lvm import group, holdings, host
from micronova.volume.drivers.lvm.daemon import ExportRecord, Place
from micronova.volume.drivers.lvm.driver import LvmVolumeDriver
from micronova.volume.drivers.lvm.group import Lv
from micronova.volume.drivers.lvm.options import LvmOptions, capabilities
from micronova.wiring import make_volume_drivers

GIB = 2**30


def reported(name: str, **fields: str) -> dict[str, str]:
    """A row as lvs 2.03.16 writes it for an inactive thin volume."""
    row = {"lv_name": name, "lv_size": str(GIB), "lv_tags": "micronova", "pool_lv": "pool", "segtype": "thin"}
    row |= {"lv_active": "", "lv_device_open": "unknown", "lv_suspended": "unknown", "data_percent": ""}
    return {**row, "metadata_percent": "", "zero": "zero", "lv_health_status": "", **fields}


def report(*rows: dict[str, str]) -> bytes:
    return json.dumps({"report": [{"lv": list(rows)}]}).encode()


def lv(name: str, *tags: str, **fields: Any) -> Lv:
    return Lv(**{"name": name, "size": GIB, "tags": frozenset(tags), "pool": "pool", "kind": "thin", **fields})


def test_a_report_of_lvs_is_read() -> None:
    pool = reported("pool", pool_lv="", segtype="thin-pool", lv_tags="", lv_active="active", lv_device_open="open")
    pool |= {"data_percent": "12.50", "metadata_percent": "10.94", "lv_suspended": ""}
    part = reported("[pool_tdata]", pool_lv="", segtype="linear", zero="unknown")

    found = group.parse(report(pool, part, reported("v0-a", lv_tags="micronova,micronova.half")))

    assert ["pool", "pool_tdata", "v0-a"] == [one.name for one in found]
    assert (True, True, 12.5, 10.94, True) == (
        found[0].active,
        found[0].open,
        found[0].data_percent,
        found[0].metadata_percent,
        found[0].zero,
    )
    assert GIB // 8 == found[0].taken_bytes
    assert (False, None, {"micronova", "micronova.half"}) == (found[2].active, found[2].data_percent, found[2].tags)
    assert (True, False) == (found[0].zero, found[1].zero)


@pytest.mark.parametrize("told", [b"", b"[]", b'{"report": [{"lv": [{}]}]}', report(reported("a", lv_size="1.00g"))])
def test_a_report_that_is_none_is_told(told: bytes) -> None:
    with pytest.raises(DriverError, match="report"):
        group.parse(told)


def test_an_empty_group_has_nothing() -> None:
    assert [] == group.parse(b'{"report": [{"lv": []}]}')


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Insufficient free space: 1 extents needed, but only 0 available", NoSpace),
        ("Cannot create new thin volume, free space in thin pool vg/pool reached threshold.", NoSpace),
        ('Names including "_tdata" are reserved. Please choose a different LV name.', Rejected),
        ("Logical volume name v0-a is invalid.", Rejected),
        ('Failed to find logical volume "vg/v0-a"', DriverError),
        ("device-mapper: create ioctl failed: Invalid argument", DriverError),
    ],
)
def test_lvms_words_are_our_errors(said: str, error: type[DriverError]) -> None:
    with pytest.raises(DriverError) as caught, group.told():
        raise DriverError(f"lvm failed (5): {said}")

    assert error is type(caught.value)


def test_logical_volumes_are_sorted_by_whose_they_are() -> None:
    snapshot = lv("s-x", "micronova", holdings.of("a"), holdings.nth(2))
    earlier = lv("s-y", "micronova", holdings.of("a"), holdings.nth(1))
    there = holdings.sort(
        [
            lv("pool", kind="thin-pool", pool=""),
            lv("v1-a", "micronova"),
            lv("v0-a", "micronova"),
            lv("v0-b", "micronova", "micronova.half"),
            lv("v10-c.d", "micronova"),
            lv("v9-c.d", "micronova"),
            lv("h-1", "micronova", "micronova.half"),
            lv("v0-others"),
            lv("data"),
            lv("elsewhere", "micronova", pool="pool2"),
            snapshot,
            earlier,
        ],
        "pool",
    )

    assert {"a": "v1-a", "c.d": "v10-c.d"} == {name: one.name for name, one in there.volumes.items()}
    assert {"v0-a": "a", "v0-b": "b", "v9-c.d": "c.d", "h-1": "1"} == there.leftovers
    assert ["y", "x"] == there.snapshots_of("a")
    assert {"v0-others", "data"} == set(there.foreign)
    assert snapshot == there.snapshot("x", "a")
    with pytest.raises(DriverError):
        there.snapshot("x", "c.d")
    assert ["v0-a"] == there.leftovers_of("a")
    assert {"v1-a", "v0-a", "v0-b", "v10-c.d", "v9-c.d", "h-1", "s-x", "s-y"} == set(there.all_ours())


@pytest.mark.parametrize("name", ["a", "1-b", "v0-a", "h-s-v", "x.1"])
def test_a_name_comes_back_from_its_logical_volume(name: str) -> None:
    tagged = lv(holdings.snapshot_lv(name), "micronova", holdings.of(name), holdings.nth(1))

    there = holdings.sort([lv(holdings.volume_lv(name, 7), "micronova"), tagged], "pool")

    assert [name] == list(there.volumes)
    assert [name] == list(there.snapshots) == there.snapshots_of(name)
    assert 7 == holdings.turn_of(there.volume(name).name)


def test_a_pool_that_is_broken_or_shows_others_data_is_refused() -> None:
    options = LvmOptions(volume_group="vg", thin_pool="pool")
    pool = lv("pool", kind="thin-pool", pool="")

    with pytest.raises(DriverError, match="--zero y vg/pool"):
        host.check_pool(holdings.sort([pool], "pool"), options)
    broken = lv("pool", kind="thin-pool", pool="", zero=True, health="metadata_read_only")
    with pytest.raises(DriverError, match="--repair"):
        host.check_pool(holdings.sort([broken], "pool"), options)
    with pytest.raises(DriverError, match="no thin pool"):
        host.check_pool(holdings.sort([lv("pool", kind="linear", pool="", zero=True)], "pool"), options)


@pytest.mark.parametrize(
    "options",
    [
        LvmOptions(volume_group="../x"),
        LvmOptions(thin_pool="a b"),
        LvmOptions(thin_pool="-x"),
        LvmOptions(iqn="micronova"),
        LvmOptions(iqn="iqn.2026-01.x,y"),
        LvmOptions(address="host1"),
        LvmOptions(address="0.0.0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: LvmOptions, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        capabilities(options)


def test_other_hosts_reach_a_back_end_that_is_not_on_loopback() -> None:
    assert not capabilities(LvmOptions()).remote
    assert capabilities(LvmOptions(address="192.0.2.1")).remote
    assert capabilities(LvmOptions(address="2001:db8::1")).remote


def test_a_portal_is_written_as_initiators_read_it_and_no_password_is() -> None:
    place = {"spec": export_spec(1, 1), "port": 3260, "iqn": "iqn.x", "password": "secret"}

    old, new = ExportRecord(address="192.0.2.1", **place), ExportRecord(address="2001:db8::1", **place)

    assert ("192.0.2.1:3260", "[2001:db8::1]:3260") == (old.portal, new.connection().portal)
    assert ("secret", 1) == (new.connection().password, new.connection().lun)
    assert "secret" not in repr(old) + repr(old.connection())


def test_a_folder_of_sockets_that_is_too_deep_is_told(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="too long"):
        host.prepare(tmp_path / "state", Place(sockets=tmp_path / ("x" * 100), logs=tmp_path / "logs"))


async def test_erasing_what_never_was_does_nothing(tmp_path: Path) -> None:
    await LvmVolumeDriver(tmp_path / "none", clock=None).erase()  # type: ignore[arg-type]

    assert [] == list(tmp_path.iterdir())


def test_a_back_end_is_what_its_sections_say(tmp_path: Path) -> None:
    file = tmp_path / "micronova.toml"
    file.write_text(
        '[volume.backends.ssd]\ndriver = "lvm"\n'
        '[plugin.ssd]\nvolume_group = "fast"\nthin_pool = "thin"\naddress = "192.0.2.1"\n'
    )

    (driver,) = make_volume_drivers(load(file), SystemClock(), Plugins()).values()

    assert isinstance(driver, LvmVolumeDriver)
    assert ("fast", "thin", True) == (driver.options.volume_group, driver.options.thin_pool, driver.capabilities.remote)
