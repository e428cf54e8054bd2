"""Everything that keeps keys of encrypted volumes passes one kit; Vault by a little server that speaks its API."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from volume.vault_server import TOKEN, Vault
from volume.volume_world import ADMIN, ALICE

from micronova import config
from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError, NotFound, Rejected
from micronova.testing.key_kit import KEY, ONE, TWO, KeyManagerKit
from micronova.volume.db import EncryptionType, VolumeType
from micronova.volume.drivers.keys_local import LocalKeyManager
from micronova.volume.drivers.keys_vault import VaultKeyManager, VaultOptions
from micronova.volume.keys import KeyManager
from micronova.volume.volumes import NewVolume


class TestLocalKeys(KeyManagerKit):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> LocalKeyManager:
        self.folder = tmp_path / "keys"
        return LocalKeyManager(self.folder)

    def again(self, keys: KeyManager) -> KeyManager:
        return LocalKeyManager(self.folder)


class TestLocalKeysWithAMasterKey(KeyManagerKit):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> LocalKeyManager:
        self.folder, self.master = tmp_path / "keys", tmp_path / "master"
        self.folder.mkdir()
        self.master.write_bytes(Fernet.generate_key())
        return LocalKeyManager(self.folder, self.master)

    def again(self, keys: KeyManager) -> KeyManager:
        return LocalKeyManager(self.folder, self.master)


@pytest.fixture
def vault() -> Iterator[Vault]:
    with Vault() as made:
        yield made


def in_vault(vault: Vault, **more: str) -> VaultKeyManager:
    return VaultKeyManager(VaultOptions(**{"url": vault.url, "token": TOKEN, **more}))


class TestVaultKeys(KeyManagerKit):
    @pytest.fixture
    def keys(self, vault: Vault) -> VaultKeyManager:
        self.vault = vault
        return in_vault(vault)

    def again(self, keys: KeyManager) -> KeyManager:
        return in_vault(self.vault)


# -- local


async def test_no_file_holds_a_key_in_clear_and_none_is_for_others(tmp_path: Path) -> None:
    keys = LocalKeyManager(tmp_path / "keys")

    await keys.put(ONE, KEY)

    files = list((tmp_path / "keys").iterdir())
    assert {ONE, "seal"} == {file.name for file in files}
    assert {0o600} == {file.stat().st_mode & 0o777 for file in files}
    for file in files:
        content = file.read_bytes()
        assert not any(form in content for form in (KEY, KEY.hex().encode(), base64.b64encode(KEY)))


async def test_a_master_key_is_changed_and_what_the_old_one_sealed_is_still_opened(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    master, old, new = tmp_path / "master", Fernet.generate_key(), Fernet.generate_key()
    master.write_bytes(old)
    keys = LocalKeyManager(tmp_path / "keys", master)
    await keys.put(ONE, KEY)
    master.write_bytes(new + b"\n" + old + b"\n")
    await keys.put(TWO, KEY)

    master.write_bytes(new)

    assert KEY == await keys.get(TWO)
    with pytest.raises(DriverError, match="another master key"):
        await keys.get(ONE)


async def test_a_lost_seal_is_never_taken_for_a_key_that_is_not_there(tmp_path: Path) -> None:
    keys = LocalKeyManager(tmp_path / "keys")
    await keys.put(ONE, KEY)
    (tmp_path / "keys" / "seal").unlink()

    for call in (keys.get(ONE), keys.put(TWO, KEY)):
        with pytest.raises(DriverError):
            await call

    assert not (tmp_path / "keys" / "seal").exists()


def test_a_master_key_that_is_none_refuses_the_start(tmp_path: Path) -> None:
    file, master = tmp_path / "micronova.toml", tmp_path / "master"
    file.write_text(f'[plugin.local_keys]\nmaster_key_file = "{master}"\n')

    for content in (None, b"not a key"):
        if content is not None:
            master.write_bytes(content)
        with pytest.raises(ConfigError, match="master_key_file"):
            LocalKeyManager.configured(config.load(file), SystemClock())


# -- Vault


async def test_a_vault_that_is_sealed_for_a_moment_is_asked_again(vault: Vault) -> None:
    keys = in_vault(vault)
    await keys.put(ONE, KEY)
    vault.failing = [503, 429]

    assert KEY == await keys.get(ONE)


@pytest.mark.parametrize(("status", "kind", "words"), [(503, DriverError, "sealed"), (403, Rejected, "token")])
async def test_a_vault_that_refuses_is_told_and_never_means_that_there_is_no_key(
    vault: Vault, status: int, kind: type[DriverError], words: str
) -> None:
    keys = in_vault(vault)
    await keys.put(ONE, KEY)
    vault.failing = [status] * 9

    with pytest.raises(kind, match=words):
        await keys.get(ONE)


async def test_a_vault_that_can_keep_nothing_there_is_not_taken_for_one_without_the_key(vault: Vault) -> None:
    vault.failing = [400]

    with pytest.raises(DriverError, match="400"):
        await in_vault(vault).put(ONE, KEY)


async def test_a_vault_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        keys = VaultKeyManager(VaultOptions(url=f"http://127.0.0.1:{taken.getsockname()[1]}", token=TOKEN))

        with pytest.raises(DriverError, match="can't be reached"):
            await keys.get(ONE)


async def test_the_token_goes_to_nobody_that_vault_points_to(vault: Vault) -> None:
    vault.failing = [307]

    with pytest.raises(DriverError, match="307"):
        await in_vault(vault).get(ONE)

    assert 1 == len(vault.seen)


async def test_an_agent_may_renew_the_token_and_a_namespace_is_told(vault: Vault, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    keys = in_vault(vault, token="", token_file=str(file), namespace="team", path="/cloud/")
    with pytest.raises(Rejected):
        await keys.put(ONE, KEY)

    file.write_text(f"{TOKEN}\n")
    await keys.put(ONE, KEY)

    assert [f"cloud/{ONE}"] == list(vault.secrets)
    assert {"team"} == {headers["X-Vault-Namespace"] for _, _, headers in vault.seen}


@pytest.mark.parametrize("text", ['token = "x"', 'url = "vault:8200"\ntoken = "x"', 'url = "http://vault:8200"'])
def test_a_vault_without_what_it_needs_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "micronova.toml"
    file.write_text(f"[plugin.vault]\n{text}\n")

    with pytest.raises(ConfigError, match=r"plugin\.vault"):
        VaultKeyManager.configured(config.load(file), SystemClock())


# -- in the room


async def test_an_encrypted_volume_has_its_key_in_vault_until_it_is_removed(world, vault: Vault) -> None:
    world.volumes.keys = in_vault(vault)
    kind = EncryptionType(id="e", provider="luks", key_size=256, created_at=world.runtime.clock.now())
    row = VolumeType(id="secret", name="secret", encryption=kind, created_at=world.runtime.clock.now())
    await world.db.write(lambda tx: tx.insert(row), ADMIN, why="test")
    vault.failing = [503] * 3

    volume = await world.volume(type_ref="secret")
    key = await world.volumes.encryption_key(ADMIN, volume.id)
    copy = await world.volume(source_volume_id=volume.id)
    kept = len(vault.secrets)
    same = await world.volumes.encryption_key(ADMIN, copy.id)
    for one in (volume, copy):
        await world.volumes.delete(ALICE, one.id)
        await world.gone(one.id)

    assert (32, 2, key) == (len(key), kept, same)
    assert {} == vault.secrets
    assert not (world.folder / "volume-keys").exists()


async def test_a_volume_whose_key_can_not_be_kept_is_not_made(world, vault: Vault) -> None:
    world.volumes.keys = in_vault(vault, token="wrong")
    kind = EncryptionType(id="e", provider="luks", key_size=256, created_at=world.runtime.clock.now())
    row = VolumeType(id="secret", name="secret", encryption=kind, created_at=world.runtime.clock.now())
    await world.db.write(lambda tx: tx.insert(row), ADMIN, why="test")

    made = (await world.volumes.create(ALICE, NewVolume(size_gib=1, type_ref="secret"))).row
    await world.until(made.id, "error")

    assert () == (await world.driver.list()).volumes
    with pytest.raises((NotFound, Rejected)):
        await world.volumes.encryption_key(ADMIN, made.id)
