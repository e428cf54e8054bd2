"""What connections reach is brought and compared by QEMU's tools, with several secrets at once and none in clear."""

import shutil
from pathlib import Path

import pytest

from micronova import command
from micronova.errors import DriverError
from micronova.testing.volume_ground import patch
from micronova.volume.driver import FileConnection, IscsiConnection, NbdConnection, RbdConnection
from micronova.volume.drivers.reading import ToolReader, Words

MIB = 2**20
needs_tool = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def disk(path: Path, *patches: tuple[int, bytes]) -> FileConnection:
    with path.open("xb") as file:
        file.truncate(8 * MIB)
    for offset, data in patches:
        patch(str(path), offset, data)
    return FileConnection(path=str(path))


@pytest.mark.slow
@needs_tool
async def test_what_is_brought_is_the_same_and_what_differs_in_a_byte_is_not(tmp_path: Path) -> None:
    reader = ToolReader()
    source = disk(tmp_path / "a, b", (3 * MIB, b"data"))
    await reader.bring(source, str(tmp_path / "brought"))
    copy = FileConnection(path=str(tmp_path / "brought"))

    await reader.check_same(source, copy)

    assert (tmp_path / "a, b").read_bytes() == (tmp_path / "brought").read_bytes()
    assert (tmp_path / "brought").stat().st_blocks * 512 < MIB
    patch(copy.path, 5 * MIB, b"x")
    with pytest.raises(DriverError, match="not what the volume is"):
        await reader.check_same(source, copy)
    with pytest.raises(DriverError, match="qemu-img"):
        await reader.check_same(source, FileConnection(path=str(tmp_path / "nowhere")))


@pytest.mark.slow
@needs_tool
async def test_a_tool_gets_several_secrets_and_none_is_in_its_arguments(tmp_path: Path) -> None:
    keys = {"one": b"first secret, of any length at all", "two": b"0123456789abcdef"}
    for name, key in keys.items():
        words = Words()
        words.secret(name, key)
        options = f"iter-time=10,key-secret={name}"
        argv = ["qemu-img", "create", "-q", *words.objects, "-f", "luks", "-o", options, str(tmp_path / name), "1M"]
        await command.run(argv, stdin=words.opener)
    words = Words()
    for name, key in keys.items():
        words.secret(name, key)
    images = [f"driver=luks,key-secret={name},file.filename={tmp_path / name}" for name in keys]
    argv = ["qemu-img", "compare", "-q", *words.objects, "--image-opts", *images]

    await command.run(argv, stdin=words.opener, ok=(0, 1))  # noise beside noise: opened, not the same

    for key in (*keys.values(), words.opener):
        assert not any(key.decode() in word for word in argv)


def test_every_kind_of_connection_has_its_words(tmp_path: Path) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text("[client.micronova]\n\tkey = QUJDREVG\n")
    words = Words()

    nbd = words.image(
        NbdConnection(export="e", host="192.0.2.1", port=10900, tls_kind="x509", tls="/tls", tls_name="h"), "a"
    )
    iscsi = words.image(IscsiConnection(portal="192.0.2.1:3260", iqn="iqn.x:y", user="u", password="hidden"), "b")
    rbd = words.image(
        RbdConnection(pool="p", image="i", monitors=("[2001:db8::1]:3300", "m"), user="u", keyring=str(keyring)), "c"
    )

    assert nbd.endswith("file.server.port=10900,file.tls-hostname=h,file.tls-creds=a-tls")
    assert iscsi.endswith("file.target=iqn.x:y,file.lun=1,file.user=u,file.password-secret=b-chap")
    assert "file.server.0.host=2001:db8::1,file.server.0.port=3300,file.server.1.host=m,file.server.1.port=6789" in rbd
    assert ["opener", "a-tls", "b-chap", "c-ceph"] == [
        word.partition("id=")[2].partition(",")[0] for word in words.objects if word != "--object"
    ]
    assert "hidden" not in " ".join(words.objects)
    assert "QUJDREVG" not in " ".join(words.objects)


def test_a_keyring_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("[client.x]\n")

    for name in ("empty", "nowhere"):
        with pytest.raises(DriverError, match="keyring"):
            Words().image(RbdConnection(pool="p", image="i", monitors=(), user="u", keyring=str(tmp_path / name)), "a")
