"""The guest image: its archive, its build from real packages, and what happens without them."""

import gzip
import os
import pathlib
import shutil
import subprocess

import pytest

from micronova.errors import DriverError
from micronova.guestimage import packages, tiny
from micronova.guestimage.cpio import Archive

needs_packages = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None, reason="needs apt-get and dpkg-deb"
)


def test_an_archive_is_what_cpio_reads(tmp_path: pathlib.Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("needs cpio")
    archive = Archive()
    archive.file("etc/deep/name", b"content", 0o640)
    archive.link("bin/sh", "/bin/busybox")
    archive.write(tmp_path / "initrd")

    (tmp_path / "plain").write_bytes(gzip.decompress((tmp_path / "initrd").read_bytes()))
    with (tmp_path / "plain").open("rb") as file:
        told = subprocess.run(["cpio", "-itv", "--quiet"], stdin=file, capture_output=True, text=True, check=True)

    names = [line.split(maxsplit=8)[8] for line in told.stdout.splitlines()]
    assert ["etc", "etc/deep", "etc/deep/name", "bin", "bin/sh -> /bin/busybox"] == names
    assert "-rw-r-----" in told.stdout


def test_the_same_content_is_the_same_archive(tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        archive = Archive()
        archive.file("init", b"#!/bin/sh\n", 0o755)
        archive.write(tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@needs_packages
@pytest.mark.host
async def test_it_is_built_once_and_found_again(tmp_path: pathlib.Path) -> None:
    told: list[str] = []

    try:
        built = await tiny.build(tmp_path, told.append)
    except DriverError as err:
        pytest.skip(str(err))
    found = await tiny.build(tmp_path, told.append)

    assert built == found
    assert 1 == told.count("built")
    assert pathlib.Path(built.kernel).read_bytes()[:4] == b"\x7fELF"
    content = gzip.decompress(pathlib.Path(built.initrd).read_bytes())
    assert b"virtio_net\n" in content
    assert b"usr/sbin/dropbear\0" in content
    assert [".lock", pathlib.Path(built.kernel).parent.name] == sorted(os.listdir(tmp_path))


async def test_without_packages_it_says_so_in_one_sentence_and_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "apt-cache"):
        (tools / name).write_text("#!/bin/sh\necho 'E: No route to the archive' >&2\nexit 100\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    with pytest.raises(DriverError, match=r"cannot be built, because .* cannot be had: .*No route to the archive$"):
        await tiny.build(tmp_path / "cache")

    assert [".lock"] == os.listdir(tmp_path / "cache")


async def test_a_kernel_nobody_offers_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-cache").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    for name in ("apt-cache", "apt-get"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(DriverError, match="knows no linux-image-cloud-amd64"):
        await packages.download(tmp_path)
