"""The conformance kit of BackupStore: what every store of backups must do, wherever it keeps them.

A store's test inherits `BackupStoreKit`, gives a pytest fixture `store` (empty), and adds what only it can show.
"""

import asyncio
from pathlib import Path

import pytest

from micronova.errors import DriverError, Rejected
from micronova.testing.volume_ground import patch
from micronova.volume.backup_store import PIECE, BackupStore, index_of, load, save

ONE, TWO = "50000000-0000-4000-8000-000000000001", "50000000-0000-4000-8000-000000000002"
NUMBER = "00000000"


class BackupStoreKit:
    """Inherit, give the fixture `store`, and run."""

    # -- pieces

    async def test_what_is_kept_is_there_and_may_be_replaced(self, store: BackupStore) -> None:
        await store.put(ONE, NUMBER, b"first")
        await store.put(ONE, NUMBER, b"second" * 1000)
        await store.put(TWO, NUMBER, b"")

        assert b"second" * 1000 == await store.get(ONE, NUMBER)
        assert b"" == await store.get(TWO, NUMBER)
        assert [ONE, TWO] == await store.backups()

    async def test_what_was_never_kept_is_an_error(self, store: BackupStore) -> None:
        await store.put(ONE, NUMBER, b"first")

        for backup, piece in ((ONE, "00000001"), (TWO, NUMBER)):
            with pytest.raises(DriverError):
                await store.get(backup, piece)

    async def test_a_removed_backup_is_gone_alone_and_removing_repeats(self, store: BackupStore) -> None:
        for backup in (ONE, TWO):
            for number in range(3):
                await store.put(backup, f"{number:08d}", b"data")

        await store.remove(ONE)
        await store.remove(ONE)

        assert [TWO] == await store.backups()
        with pytest.raises(DriverError):
            await store.get(ONE, NUMBER)
        assert b"data" == await store.get(TWO, NUMBER)

    @pytest.mark.parametrize("name", ["", "..", "a/b", "../../etc", "a b", "x" * 200])
    async def test_names_that_lead_elsewhere_are_refused(self, store: BackupStore, name: str) -> None:
        with pytest.raises(Rejected):
            await store.put(name, NUMBER, b"data")
        with pytest.raises(Rejected):
            await store.remove(name)
        with pytest.raises(Rejected):
            await store.get(ONE, name or "/")

    async def test_many_at_once_are_all_kept(self, store: BackupStore) -> None:
        data = {f"{number:08d}": bytes([number]) * 70_000 for number in range(12)}

        await asyncio.gather(*(store.put(ONE, name, one) for name, one in data.items()))

        assert list(data.values()) == await asyncio.gather(*(store.get(ONE, name) for name in data))

    async def test_who_gives_up_leaves_nothing_that_comes_later(self, store: BackupStore) -> None:
        call = asyncio.ensure_future(store.put(ONE, NUMBER, b"data"))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

        await store.remove(ONE)

        assert [] == await store.backups()

    # -- backups

    async def test_a_backup_brings_back_every_byte(self, store: BackupStore, tmp_path: Path) -> None:
        source = volume(tmp_path, {0: b"begin", 2 * PIECE - 3: b"across", 3 * PIECE: b"end"})

        index = await save(store, ONE, str(source), None)
        await load(store.get, ONE, str(tmp_path / "back"))

        assert same(source, tmp_path / "back")
        assert (4, 4 * PIECE + 5) == (index.kept, (tmp_path / "back").stat().st_size)

    async def test_an_incremental_backup_keeps_what_changed_alone(self, store: BackupStore, tmp_path: Path) -> None:
        source = volume(tmp_path, {0: b"begin", 2 * PIECE: b"stays", 3 * PIECE: b"goes"})
        await save(store, ONE, str(source), None)
        patch(str(source), 0, b"BEGIN")
        patch(str(source), 3 * PIECE, bytes(4))

        index = await save(store, TWO, str(source), await index_of(store.get, ONE))
        await load(store.get, TWO, str(tmp_path / "back"))

        assert same(source, tmp_path / "back")
        assert {"", ONE, TWO} == {piece.backup for piece in index.pieces}
        assert [TWO, ONE] == [piece.backup for piece in index.pieces if piece.hash]

    async def test_pieces_of_others_are_never_brought_back(self, store: BackupStore, tmp_path: Path) -> None:
        source = volume(tmp_path, {0: b"begin", PIECE: b"other"})
        await save(store, ONE, str(source), None)
        await store.put(ONE, NUMBER, await store.get(ONE, "00000001"))

        with pytest.raises(DriverError, match="not what it was"):
            await load(store.get, ONE, str(tmp_path / "back"))

    @pytest.mark.parametrize("piece", [NUMBER, "index"])
    async def test_pieces_cut_short_are_never_brought_back(
        self, store: BackupStore, tmp_path: Path, piece: str
    ) -> None:
        await save(store, ONE, str(volume(tmp_path, {0: b"begin"})), None)
        await store.put(ONE, piece, (await store.get(ONE, piece))[:-4])

        with pytest.raises(DriverError, match="damaged"):
            await load(store.get, ONE, str(tmp_path / "back"))

    async def test_without_its_index_there_is_no_backup(self, store: BackupStore, tmp_path: Path) -> None:
        await store.put(ONE, NUMBER, b"data")

        with pytest.raises(DriverError):
            await load(store.get, ONE, str(tmp_path / "back"))
        assert not (tmp_path / "back").exists()


def volume(folder: Path, data: dict[int, bytes]) -> Path:
    """A sparse file with these data, a little longer than four pieces."""
    path = folder / "volume"
    with path.open("xb") as file:
        file.truncate(4 * PIECE + 5)
    for offset, one in data.items():
        patch(str(path), offset, one)
    return path


def same(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes."""
    return one.read_bytes() == other.read_bytes()
