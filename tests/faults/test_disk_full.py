"""A disk that is full: what needs space is refused with the right status, all else goes on, nothing is left behind."""

import contextlib
import os
import subprocess

import pytest
from outside import wait_for

SIZE = 24 << 20


@pytest.fixture
def small(own):
    """A cloud whose whole state folder is on a small disk."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small disk")
    own.state.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(own.state)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield own.up()
    finally:
        own.down()
        subprocess.run(["umount", "--lazy", str(own.state)], capture_output=True, check=False)


def fill(folder):
    """Not a byte is free."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


def test_an_upload_that_does_not_fit(small):
    session = small.session()
    made = session.post("/image/v2/images", {"name": "big", "disk_format": "raw", "container_format": "bare"})

    answer = session.upload(made["id"], bytes(SIZE))

    assert answer.status_code == 413, answer.text
    assert "full" in answer.text
    assert session.get(f"/image/v2/images/{made['id']}")["status"] == "queued"
    assert not list((small.state / "images" / "incoming").iterdir())
    assert session.upload(made["id"], b"small").status_code == 204


def test_a_disk_without_any_space(small):
    session = small.session()
    image = session.image(bytes(4096))
    network = session.network("10.50.0.0/24")
    session.settled(session.boot(image, network, "before"))
    fill(small.state)

    statuses = {
        session.ask(
            "POST", "/network/v2.0/networks", {"network": {"name": "n" * 200, "description": "d" * 250}}
        ).status_code
        for _ in range(50)
    }
    reads = session.ask("GET", "/compute/v2.1/servers/detail")
    (small.state / "filler").unlink()

    assert statuses <= {201, 503, 507}, statuses
    assert statuses != {201}
    assert reads.status_code == 200
    server = wait_for(lambda: attempt(session, image, network), said="a boot after there is space again")
    assert session.settled(server)["status"] == "ACTIVE"
    assert small.pid is not None
    small.idle()
    assert small.audit() == []


def attempt(session, image, network):
    body = {"name": "after", "imageRef": image, "flavorRef": session.flavor(), "networks": [{"uuid": network}]}
    answer = session.ask("POST", "/compute/v2.1/servers", {"server": body})
    return answer.json()["server"]["id"] if answer.status_code == 202 else ""
