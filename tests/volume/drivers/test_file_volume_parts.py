"""The file driver's parts that need no tool: records, layers on one another, locks, steps, options."""

import asyncio
import os
from pathlib import Path

import pytest

from micronova import config
from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError, NoSpace
from micronova.volume.driver import ExportSpec
from micronova.volume.drivers.file import host
from micronova.volume.drivers.file.driver import FileVolumeDriver, SharedFolderDriver
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.options import FileOptions, capabilities
from micronova.volume.drivers.file.records import ExportRecord, Records, SnapshotRecord, VolumeRecord
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.steps import in_thread

GIB = 2**30


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path)
    made.prepare()
    return made


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    folder = tmp_path / "layers"
    folder.mkdir()
    return Layers(folder, SystemClock())


def overlay(layers: Layers, name: str, backing: str, *, entry: int = 0) -> None:
    """A qcow2 layer's header and first table; `entry` is what the table holds."""
    words = ((3, 4), (512, 8), (len(backing), 4), (16, 4), (GIB, 8), (0, 4), (2, 4), (1024, 8))
    head = b"QFI\xfb" + b"".join(value.to_bytes(length, "big") for value, length in words)
    table = entry.to_bytes(8, "big") + bytes(8)
    layers.path(name).write_bytes(head.ljust(512, b"\0") + backing.encode().ljust(512, b"\0") + table)


def test_a_record_is_replaced_moved_and_dropped_as_a_whole(records: Records) -> None:
    records.volumes.put("one", VolumeRecord(layer="a.raw", size=GIB))
    records.volumes.put("one", VolumeRecord(layer="b.raw", size=2 * GIB))

    records.volumes.move("one", "two")

    assert (None, "b.raw") == (records.volumes.find("one"), records.volume("two").layer)
    assert ["two"] == list(records.volumes.all())
    records.volumes.drop("two")
    records.volumes.drop("two")
    assert ({}, []) == (records.volumes.all(), records.drafts())
    with pytest.raises(DriverError):
        records.volume("two")


def test_a_damaged_record_is_an_error_and_not_an_absent_volume(records: Records, tmp_path: Path) -> None:
    (tmp_path / "volumes" / "one.json").write_bytes(b'{"layer":')

    with pytest.raises(DriverError):
        records.volumes.find("one")


def test_a_volumes_snapshots_come_in_the_order_they_were_taken(records: Records) -> None:
    for name, volume, number in (("z", "one", 1), ("a", "one", 2), ("m", "two", 7), ("b", "one", 10)):
        records.snapshots.put(
            name, SnapshotRecord(volume=volume, layer=f"{name}.raw", size=GIB, header=0, number=number)
        )

    assert ["z", "a", "b"] == list(records.snapshots_of("one"))


def test_exports_are_found_by_their_volume(records: Records) -> None:
    for id, volume in (("e1", "one"), ("e2", "two"), ("e3", "one")):
        records.exports.put(id, ExportRecord(spec=ExportSpec(id=id, volume=volume)))

    assert ["e1", "e3"] == list(records.exports_of("one"))


def test_layers_know_what_they_stand_on(layers: Layers) -> None:
    layers.path("base.raw").write_bytes(bytes(4096))
    overlay(layers, "a.qcow2", "base.raw", entry=1 << 63)
    overlay(layers, "b.qcow2", "a.qcow2")
    overlay(layers, "c.qcow2", "a.qcow2")

    assert ("b.qcow2", "a.qcow2", "base.raw") == layers.chain("b.qcow2")
    assert {"a.qcow2": ["b.qcow2", "c.qcow2"], "base.raw": ["a.qcow2"]} == layers.standing_on()
    assert [False, True, False] == [layers.blank(name) for name in ("a.qcow2", "b.qcow2", "base.raw")]
    assert [4096, GIB] == [layers.size(name) for name in ("base.raw", "c.qcow2")]


def test_layers_that_stand_on_one_another_in_a_ring_are_an_error(layers: Layers) -> None:
    overlay(layers, "a.qcow2", "b.qcow2")
    overlay(layers, "b.qcow2", "a.qcow2")

    with pytest.raises(DriverError):
        layers.chain("a.qcow2")


def test_a_new_raw_layer_takes_no_space_and_is_nobody_elses_to_read(layers: Layers) -> None:
    name = layers.new_raw(GIB)

    facts = layers.path(name).stat()
    assert (GIB, 0o600) == (facts.st_size, facts.st_mode & 0o777)
    assert layers.allocated(name) < 1 << 20
    assert ([name], []) == (layers.names(), layers.drafts())


def test_files_without_records_are_leftovers_and_a_lost_file_hides_none(records: Records, layers: Layers) -> None:
    merging = FileVolumeDriver(layers.folder.parent, SystemClock())._merging
    for name in ("base.raw", "other.raw"):
        layers.path(name).write_bytes(b"")
    overlay(layers, "top.qcow2", "base.raw")
    overlay(layers, "broken.qcow2", "gone.raw")
    for name, layer in (("one", "top.qcow2"), ("two", "broken.qcow2"), ("three", "lost.raw")):
        records.volumes.put(name, VolumeRecord(layer=layer, size=GIB))

    assert ["other.raw"] == merging.leftovers()


async def test_two_that_want_the_same_two_volumes_both_get_them() -> None:
    locks, done = Locks(), []

    async def change(*names: str) -> None:
        async with locks.held(*names):
            await asyncio.sleep(0)
            done.append(names)

    async with asyncio.timeout(10):
        await asyncio.gather(*(change(*names) for names in (("a", "b"), ("b", "a"), ("a", "a"), ("b", "c"))))

    assert 4 == len(done)
    assert {} == locks._locks


async def test_a_step_is_done_when_who_waited_for_it_has_gone(tmp_path: Path) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    read, write = os.pipe()

    def step() -> None:
        loop.call_soon_threadsafe(begun.set)
        os.read(read, 1)
        (tmp_path / "done").touch()

    waiting = asyncio.ensure_future(in_thread(step))
    await begun.wait()
    waiting.cancel()
    loop.call_later(0.01, os.write, write, b"x")
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert (tmp_path / "done").exists()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(("number", "kind"), [(28, NoSpace), (122, NoSpace), (13, DriverError)])
async def test_the_systems_errors_are_told_as_ours(number: int, kind: type[DriverError]) -> None:
    def step() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DriverError) as told:
        await in_thread(step)

    assert kind is type(told.value)


@pytest.mark.parametrize("options", [FileOptions(format="vmdk"), FileOptions(tls="ssl")])
def test_options_that_make_no_sense_are_refused(options: FileOptions) -> None:
    with pytest.raises(ConfigError):
        host.check(options)


async def test_a_folder_whose_disk_is_not_mounted_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    driver = FileVolumeDriver(folder, SystemClock(), FileOptions(mounted=True, shared=True))

    with pytest.raises(DriverError):
        await driver.init_host()

    assert not folder.exists()
    assert () == (await driver.list()).volumes


def test_a_shared_folder_offers_files_and_other_hosts_need_tls_elsewhere() -> None:
    found = [capabilities(options) for options in (FileOptions(), FileOptions(tls="psk"), FileOptions(shared=True))]

    assert ["nbd", "nbd", "file"] == [one.protocol for one in found]
    assert [False, True, True] == [one.remote for one in found]
    assert [True, True, False] == [one.snapshot_in_use for one in found]


def test_back_ends_read_their_own_sections(tmp_path: Path) -> None:
    file = tmp_path / "micronova.toml"
    file.write_text(
        f'state = "{tmp_path}"\n[volume.backends.fast]\nfolder = "{tmp_path}/fast"\n[volume.backends.slow]\n'
        '[plugin.fast]\nformat = "qcow2"\n'
    )
    loaded = config.load(file)

    fast = FileVolumeDriver.configured(loaded, SystemClock(), "fast")
    slow = SharedFolderDriver.configured(loaded, SystemClock(), "slow")

    assert ("qcow2", False, tmp_path / "fast") == (fast.options.format, fast.options.shared, fast._folder)
    assert ("raw", True, tmp_path / "volumes" / "slow") == (slow.options.format, slow.options.shared, slow._folder)
