"""The rbd driver's parts, with commands that only say what Ceph's would; a real cluster is in tests/host."""

import asyncio
import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from micronova import config
from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError, NoSpace
from micronova.volume.driver import GIB, Stats
from micronova.volume.drivers.rbd import space
from micronova.volume.drivers.rbd.cluster import Cluster, code_of
from micronova.volume.drivers.rbd.driver import RbdVolumeDriver
from micronova.volume.drivers.rbd.images import header_of, size_gib
from micronova.volume.drivers.rbd.notes import VolumeNote, read
from micronova.volume.drivers.rbd.options import RbdOptions

Say = Callable[[str, str], None]
CONFIGURATION = """
[volume.backends.ceph]
driver = "rbd"

[plugin.ceph]
pool = "vms"
user = "micronova"
guest_user = "guest"
"""


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """From now on a command of this name runs these lines of shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name: str, lines: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(RbdOptions(timeout=1))


def counted(*, total: int, stored: int, left: int, quota: int) -> str:
    stats = {"stored": stored, "max_avail": left, "quota_bytes": quota}
    pools = [{"name": "other", "stats": {}}, {"name": "volumes", "stats": stats}] if total else []
    return json.dumps({"stats": {"total_bytes": total}, "pools": pools})


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (0, Stats(total_bytes=10 * GIB, free_bytes=7 * GIB, allocated_bytes=3 * GIB)),
        (4 * GIB, Stats(total_bytes=4 * GIB, free_bytes=GIB, allocated_bytes=3 * GIB)),
        (2 * GIB, Stats(total_bytes=2 * GIB, free_bytes=0, allocated_bytes=3 * GIB)),
    ],
)
async def test_space_is_what_the_pool_may_still_take(cluster: Cluster, say: Say, quota: int, expected: Stats) -> None:
    say("ceph", f"echo '{counted(total=40 * GIB, stored=3 * GIB, left=7 * GIB, quota=quota)}'")

    assert expected == await space.measure(cluster)


async def test_where_nobody_counted_a_quota_tells(cluster: Cluster, say: Say) -> None:
    pools = json.dumps([{"pool_name": "volumes", "quota_max_bytes": 5 * GIB, "flags_names": "hashpspool"}])
    say("ceph", f"case $* in *df*) echo '{counted(total=0, stored=0, left=0, quota=0)}';; *) echo '{pools}';; esac")
    say("rbd", f"echo '{json.dumps({'images': [], 'total_used_size': GIB})}'")

    assert Stats(total_bytes=5 * GIB, free_bytes=4 * GIB, allocated_bytes=GIB) == await space.measure(cluster)

    say("ceph", f"case $* in *df*) echo '{counted(total=0, stored=0, left=0, quota=0)}';; *) echo '[]';; esac")
    with pytest.raises(DriverError, match="no manager daemon"):
        await space.measure(cluster)


async def test_errors_are_told_by_their_number_and_in_one_sentence(cluster: Cluster, say: Say) -> None:
    told = {
        "echo 'noise' >&2; echo 'rbd: create error: (17) File exists' >&2; exit 17": (errno.EEXIST, "File exists"),
        "echo 'rbd: listing failed: (1) Operation not permitted' >&2; exit 1": (1, "does not let cinder"),
        "echo 'rbd: error: (122) Disk quota exceeded' >&2; exit 122": (errno.ENOSPC, "no space left"),
        "echo 'trash: (28) No space left on device' >&2; echo '(2) No such file' >&2; exit 2": (
            errno.ENOSPC,
            "no space",
        ),
    }
    for lines, (code, words) in told.items():
        say("rbd", lines)

        with pytest.raises(DriverError, match=words) as err:
            await cluster.rbd("create")

        assert (code, 1) == (code_of(err.value), len(err.value.message.splitlines()))


async def test_silence_is_told_as_absence_or_as_a_full_pool(cluster: Cluster, say: Say) -> None:
    say("rbd", "echo 'rbd: error: (110) Connection timed out' >&2; exit 110")
    say("ceph", "echo 'timed out' >&2; exit 1")
    with pytest.raises(DriverError, match="did not answer within 1 s") as err:
        await cluster.rbd("ls")
    assert errno.ETIMEDOUT == code_of(err.value)

    say("ceph", """echo '[{"pool_name": "volumes", "flags_names": "hashpspool,full"}]'""")
    with pytest.raises(NoSpace, match="is full"):
        await cluster.rbd("ls")


async def test_a_caller_that_gives_up_waits_for_what_it_began(cluster: Cluster, say: Say, tmp_path: Path) -> None:
    begun, leave, done = (tmp_path / name for name in ("begun", "leave", "done"))
    say("rbd", f"touch {begun}; while [ ! -e {leave} ]; do sleep 0.01; done; touch {done}")
    work = asyncio.ensure_future(cluster.rbd("create"))
    for _ in range(3000):
        if begun.exists():
            break
        await asyncio.sleep(0.01)

    work.cancel()
    await asyncio.sleep(0)
    leave.touch()
    await asyncio.wait([work])

    assert work.cancelled()
    assert done.exists()


def test_a_url_holds_strange_names_and_no_key() -> None:
    made = Cluster(RbdOptions(pool="a:b", user="me", conf="/etc/c=d", keyring="/k@1", timeout=3)).url("image", "moment")

    assert made.startswith(r"rbd:a\:b/image@moment:id=me:conf=\/etc\/c\=d:keyring=\/k\@1:client_mount_timeout=3:")


def test_notes_are_read_from_what_rados_tells() -> None:
    told = (
        "volume/one%2Fa/x-1\nvalue (0 bytes) :\n\n"
        "volume/two/y.2\nvalue (4 bytes) :\n00000000  68 61 6c 66   |half|\n00000004\n\n"
        "other\nvalue (0 bytes) :\n\n"
    )

    found = read(told)

    assert {"x-1": VolumeNote(host="one/a", half=False), "y.2": VolumeNote(host="two", half=True)} == found.volumes
    assert (False, True, False) == tuple(found.is_half_made(name) for name in ("x-1", "y.2", "z"))
    assert ["y.2"] == found.volumes_of("two")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, (1, 0)), (GIB, (1, 0)), (GIB + 2068480, (1, 2068480)), (GIB + GIB // 2, (2, 0)), (7 * GIB, (7, 0))],
)
def test_an_image_is_as_large_as_its_volume_and_a_containers_header(size: int, expected: tuple[int, int]) -> None:
    assert expected == (size_gib(size), header_of(size))


def test_it_is_configured_by_its_own_section(tmp_path: Path) -> None:
    file = tmp_path / "micronova.toml"
    file.write_text(CONFIGURATION)

    made = RbdVolumeDriver.configured(config.load(file, {}), SystemClock(), "ceph")

    assert ("vms", "/etc/ceph/ceph.client.micronova.keyring") == (made.options.pool, made.options.keyring_of_user())
    assert ("guest", "/etc/ceph/ceph.client.guest.keyring") == made.options.guest()
    file.write_text(CONFIGURATION.replace("pool", "pol"))
    with pytest.raises(ConfigError, match="pol"):
        RbdVolumeDriver.configured(config.load(file, {}), SystemClock(), "ceph")


async def test_a_host_without_cephs_programs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = RbdVolumeDriver(tmp_path / "host", SystemClock(), RbdOptions(), host="one")

    with pytest.raises(DriverError, match="install the package ceph-common"):
        await driver.init_host()
