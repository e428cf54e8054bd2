"""Every store of backups passes one kit; S3 by a real server of its own."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from volume.s3_server import PRESENT, S3Server

from micronova import config
from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError, Rejected
from micronova.testing.backup_kit import NUMBER, ONE, TWO, BackupStoreKit
from micronova.volume.drivers.backup_file import FileBackupStore
from micronova.volume.drivers.backup_s3 import S3BackupStore

needs_server = pytest.mark.skipif(not PRESENT, reason="needs moto, flask and botocore")


class TestFileBackupStore(BackupStoreKit):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileBackupStore:
        return FileBackupStore(tmp_path / "backups")


@pytest.mark.slow
@needs_server
class TestS3BackupStore(BackupStoreKit):
    @pytest.fixture
    async def store(self, server: S3Server, bucket: S3BackupStore) -> AsyncIterator[S3BackupStore]:
        yield bucket
        server.mend()
        for backup in await bucket.backups():
            await bucket.remove(backup)

    async def test_clouds_share_a_bucket_and_see_nothing_of_each_other(
        self, store: S3BackupStore, server: S3Server
    ) -> None:
        other = server.store(prefix="")
        await store.put(ONE, NUMBER, b"mine")
        await other.put(ONE, NUMBER, b"theirs")

        await other.remove(ONE)

        assert b"mine" == await store.get(ONE, NUMBER)

    async def test_a_store_that_stumbles_is_asked_again(self, store: S3BackupStore, server: S3Server) -> None:
        server.fail("PUT", ONE, times=1)
        await store.put(ONE, NUMBER, b"data" * 100)
        server.fail("GET", ONE, "short", times=1)

        assert b"data" * 100 == await store.get(ONE, NUMBER)

    async def test_an_answer_that_breaks_off_for_good_is_an_error(self, store: S3BackupStore, server: S3Server) -> None:
        await store.put(ONE, NUMBER, b"data" * 100)
        server.fail("GET", ONE, "short")

        with pytest.raises(DriverError, match=r"^The backup store"):
            await store.get(ONE, NUMBER)

    async def test_many_pieces_are_removed(self, store: S3BackupStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("micronova.volume.drivers.backup_s3._DELETED_AT_ONCE", 2)
        for number in range(5):
            await store.put(ONE, f"{number:08d}", b"data")
        await store.put(TWO, NUMBER, b"data")

        await store.remove(ONE)

        assert [TWO] == await store.backups()


@pytest.mark.slow
@needs_server
async def test_what_is_wrong_with_a_store_is_told_in_a_sentence(server: S3Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        wrong: dict[str, tuple[S3BackupStore, type[DriverError]]] = {
            "The backup store can't be reached.": (server.store(endpoint=nobody), DriverError),
            "The backup store has no bucket elsewhere.": (server.store(bucket="elsewhere"), Rejected),
            "The backup store refuses the access key that this cloud has.": (
                S3BackupStore(server.options(), "not the key"),
                Rejected,
            ),
        }

        for sentence, (store, kind) in wrong.items():
            for call in (lambda store: store.put(ONE, NUMBER, b""), lambda store: store.remove(ONE)):
                with pytest.raises(DriverError) as told:
                    await call(store)
                assert (sentence, kind) == (str(told.value), type(told.value))


@pytest.mark.slow
@needs_server
async def test_a_store_whose_authority_is_not_known_is_not_believed(server: S3Server) -> None:
    with pytest.raises(Rejected, match="certificate"):
        await server.store(ca_file="").put(ONE, NUMBER, b"data")


@pytest.mark.parametrize("missing", ["endpoint", "bucket", "access_key", "secret_key"])
def test_a_store_without_what_it_needs_is_refused_at_the_start(tmp_path: Path, missing: str) -> None:
    keys = {name: "x" for name in ("endpoint", "bucket", "access_key", "secret_key") if name != missing}
    file = tmp_path / "micronova.toml"
    file.write_text("[plugin.s3]\n" + "".join(f'{name} = "{value}"\n' for name, value in keys.items()))

    with pytest.raises(ConfigError, match=missing):
        S3BackupStore.configured(config.load(file), SystemClock())


def test_the_secret_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hidden\n")
    file = tmp_path / "micronova.toml"
    file.write_text(
        f'[plugin.s3]\nendpoint = "http://x"\nbucket = "b"\naccess_key = "a"\nsecret_key_file = "{tmp_path / "key"}"\n'
    )

    store = S3BackupStore.configured(config.load(file), SystemClock())

    assert "hidden" == store._secret_key
    assert "hidden" not in repr(store)
