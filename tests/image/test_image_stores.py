"""One contract for all stores of image bytes."""

import errno
import os
from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.config import load
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.image.driver import ImageStore
from micronova.image.stores.fake import FakeStore
from micronova.image.stores.file import FileStore


@pytest.fixture(params=["file", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return FileStore(tmp_path / "images") if request.param == "file" else FakeStore()


async def keep(store: ImageStore, name: str, data: bytes) -> None:
    await store.begin(name)
    await store.append(name, data)
    await store.commit(name)


async def test_bytes_come_back_whole_and_in_part(store: ImageStore) -> None:
    await store.begin("a")
    await store.append("a", b"0123")
    await store.append("a", b"456789")

    await store.commit("a")

    assert b"0123456789" == await store.read("a", 0, 100)
    assert b"345" == await store.read("a", 3, 3)
    assert b"" == await store.read("a", 10, 5)


async def test_bytes_can_be_read_only_once_they_are_complete(store: ImageStore) -> None:
    await store.begin("a")
    await store.append("a", b"x")

    with pytest.raises(DriverError):
        await store.read("a", 0, 1)
    assert store.path("a") is None
    assert ["a"] == await store.unfinished()


async def test_a_second_start_forgets_the_first(store: ImageStore) -> None:
    await store.begin("a")
    await store.append("a", b"old")
    await keep(store, "a", b"new")

    assert b"new" == await store.read("a", 0, 10)
    assert [] == await store.unfinished()


async def test_no_bytes_at_all_can_be_kept(store: ImageStore) -> None:
    await store.begin("a")

    await store.commit("a")

    assert b"" == await store.read("a", 0, 1)


async def test_committing_and_removing_can_be_repeated(store: ImageStore) -> None:
    await keep(store, "a", b"x")

    await store.commit("a")
    await store.remove("a")
    await store.remove("a")

    with pytest.raises(DriverError):
        await store.read("a", 0, 1)


async def test_what_was_removed_while_it_came_in_does_not_come_back(store: ImageStore) -> None:
    await store.begin("a")
    await store.remove("a")

    with pytest.raises(DriverError):
        await store.append("a", b"x")
    with pytest.raises(DriverError):
        await store.commit("a")
    assert [] == await store.unfinished()


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden", "a" * 101, "a\0", "incoming/../x"])
async def test_a_name_that_leads_elsewhere_is_rejected(store: ImageStore, name: str) -> None:
    for refused in (store.begin(name), store.read(name, 0, 1), store.remove(name)):
        with pytest.raises(DriverError):
            await refused
    with pytest.raises(Rejected):
        store.path(name)


async def test_files_are_read_only_and_stay_where_they_are(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await keep(store, "a", b"x")

    path = store.path("a")

    assert path == str(tmp_path / "a")
    assert 0o444 == (tmp_path / "a").stat().st_mode & 0o777
    assert ["a"] == await store.names()


async def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    await store.begin("a")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)

    with pytest.raises(NoSpace, match="No space left"):
        await store.append("a", b"x")


def test_stores_are_made_from_the_configuration(tmp_path: Path) -> None:
    config = load(flags={"state": str(tmp_path)})

    assert isinstance(FileStore.configured(config, SystemClock()), FileStore)
    assert isinstance(FakeStore.configured(config, SystemClock()), FakeStore)
