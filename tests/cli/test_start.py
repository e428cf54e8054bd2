"""The word that a process in the background gives to the one that waits for it."""

import os
import socket
import subprocess
import sys

import pytest

from micronova.cli import serving
from micronova.cli.up import READY_FD, Ready
from micronova.errors import ConfigError


def command(tmp_path, *words):
    argv = [sys.executable, "-m", "micronova", *words, "--state", str(tmp_path / "s")]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)


def test_a_detached_start_that_fails_is_one_sentence_and_exit_code_1(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        done = command(tmp_path, "up", "--simulate", "--no-demo", "--detach", "--listen", address)

    assert (1, "") == (done.returncode, done.stdout)
    assert f"micronova: {address} is taken by another program; choose another address with --listen\n" == done.stderr


def test_nobody_asked_nobody_is_told(monkeypatch):
    monkeypatch.delenv(READY_FD, raising=False)

    ready = Ready()
    ready.answers("http://x")

    assert not ready.asked


def test_only_the_first_word_counts(monkeypatch, tmp_path):
    descriptor = os.open(tmp_path / "told", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setenv(READY_FD, str(descriptor))
    ready = Ready()

    ready.answers("http://x")
    ready.failed("too late")

    assert "ok http://x\n" == (tmp_path / "told").read_text()


def test_port_0_is_a_free_one_and_the_url_names_it():
    with serving.bind("127.0.0.1:0") as one, serving.bind("127.0.0.1:0") as two:
        urls = {serving.url_of(one), serving.url_of(two)}

    assert 2 == len(urls)
    assert all(url.startswith("http://127.0.0.1:") and not url.endswith(":0") for url in urls)


def test_an_address_of_all_interfaces_is_told_as_one_that_can_be_called():
    with serving.bind("0.0.0.0:0") as bound:
        assert serving.url_of(bound).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("listen", ["192.0.2.123:80", "no.such.host.invalid:80"])
def test_an_address_that_is_not_ours_is_told(listen):
    with pytest.raises(ConfigError, match=r"can't listen on|is not"):
        serving.bind(listen)
